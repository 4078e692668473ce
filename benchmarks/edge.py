"""What wears the disk out: bytes and syncs for each job, by enqueueing and by running, and those of an idle worker?

Each run is a process of its own (``python -m benchmarks.edge WHAT PATH DURABILITY JOBS``) and counts what it wrote from
its first job to the checkpoint that cuts the log to nothing. The syncs are counted by strace, where that can be had, in
one run more, less those of a run without jobs.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import cast

import msgspec

from benchmarks.harness import Plan, Row, Sample, Table, load, timed
from benchmarks.jobs import BOTH, Durability, Jobs, declare, declare_echo
from benchmarks.process import ROOT, WorkerProcess, command_line, worker_argv, written_by
from benchmarks.spans import wait_for_workers, wait_until_left
from benchmarks.wanted import at_most

BATCH = 1_000
LARGE = 100_000
HOUR_S = 3_600


class Found(msgspec.Struct, frozen=True):
    """What one process wrote, and the CPU seconds of it."""

    written: int
    cpu_s: float


class Seen(msgspec.Struct, frozen=True):
    """A worker at one moment: bytes written, CPU seconds, and when the file and its log were written, how large."""

    written: int
    cpu_s: float
    files: tuple[tuple[int, int], ...]


def singly(found: Jobs, jobs: int) -> None:
    """Enqueue each job by a call of its own."""
    for _ in range(jobs):
        found.noop.enqueue()


def together(found: Jobs, jobs: int) -> None:
    """Enqueue a thousand jobs by each call."""
    for _ in range(0, jobs, BATCH):
        found.app.enqueue_many(found.noop.call() for _ in range(BATCH))


def drain(found: Jobs, jobs: int) -> None:
    """Run what there is."""
    assert found.app.work(burst=True).completed == jobs


def fill(found: Jobs, jobs: int) -> None:
    """Put in the jobs that are to be run."""
    found.app.enqueue_many(found.noop.call() for _ in range(jobs))


def fill_large(found: Jobs, jobs: int) -> None:
    """Put in jobs with a payload of 100 KB each."""
    echo = declare_echo(found.app)
    found.app.enqueue_many((echo.call("x" * LARGE) for _ in range(jobs)), chunk=BATCH)


class Kind(msgspec.Struct, frozen=True):
    """What is measured, what comes before, and of how many jobs."""

    label: str
    run: Callable[[Jobs, int], None]
    before: Callable[[Jobs, int], None] | None
    jobs: int
    quick: int


KINDS = {
    "one": Kind("enqueue, one a call", singly, None, 2_000, 100),
    "many": Kind("enqueue_many, 1,000 a call", together, None, 50_000, 2_000),
    "drain": Kind("drain, one worker", drain, fill, 50_000, 2_000),
    "large": Kind("drain, payloads of 100 KB", drain, fill_large, 500, 20),
}


def measure(plan: Plan) -> list[Table]:
    """Give a table of what jobs write, one of what an idle worker does, and what is wanted of that."""
    before = load()
    rows = [_row(plan, name, kind) for kind in (BOTH[:1] if plan.quick else BOTH) for name in KINDS]
    jobs = Table(title="written to the disk", rounds=plan.rounds, load=(before, load()), rows=rows)
    before = load()
    idle = _idle(plan)
    loads = (before, load())
    judged = [
        at_most(f"{row['worker']}: bytes written an hour while idle", cast("float", row["bytes an hour"]), 0)
        for row in idle
    ]
    return [
        jobs,
        Table(title="an idle worker, durability full", rounds=1, load=loads, rows=idle),
        Table(title="edge, judged", rounds=1, load=loads, rows=judged),
    ]


def one_run(name: str, path: Path, durability: Durability, jobs: int) -> Found:
    """Do it in this process; give what that wrote."""
    kind, found = KINDS[name], declare(path, durability)
    if kind.before is None:
        found.app.count_jobs()
    else:
        kind.before(found, jobs)
    found.app.engine.settle()
    written, sample = written_by("self"), Sample(jobs=jobs)
    with timed(sample):
        if jobs:
            kind.run(found, jobs)
        found.app.engine.settle()
        found.app.close()
    return Found(written_by("self") - written, sample.cpu_s)


def _row(plan: Plan, name: str, durability: Durability) -> Row:
    kind = KINDS[name]
    jobs = plan.size(kind.jobs, kind.quick)
    found = [_measured(plan, name, durability, jobs) for _ in range(plan.rounds)]
    each = [one.written / jobs for one in found]
    return {
        "what": kind.label,
        "durability": durability,
        "jobs": jobs,
        "bytes/job": round(median(each)),
        "min": round(min(each)),
        "max": round(max(each)),
        "syncs": _syncs(plan, name, durability, jobs),
        "CPU us/job": median(one.cpu_s / jobs * 1e6 for one in found),
    }


def _measured(plan: Plan, name: str, durability: Durability, jobs: int, *prefix: str) -> Found:
    with plan.room() as room:
        words = [*prefix, sys.executable, "-m", "benchmarks.edge", name, str(room / "jobs.db"), durability, str(jobs)]
        told = subprocess.run(words, cwd=ROOT, check=True, capture_output=True).stdout
    return msgspec.json.decode(told, type=Found)


def _syncs(plan: Plan, name: str, durability: Durability, jobs: int) -> int | None:
    """Give how often so many jobs made the disk write what it had, None without strace."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    counts: list[int] = []
    for number in (0, jobs):
        with tempfile.NamedTemporaryFile() as told:
            trace = (strace, "-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", told.name)
            try:
                _measured(plan, name, durability, number, *trace)
            except subprocess.CalledProcessError:
                return None
            counts.append(sum("sync(" in line for line in Path(told.name).read_text().splitlines()))
    return counts[1] - counts[0]


def _idle(plan: Plan) -> list[Row]:
    """Look at two workers at once, each with a file of its own, once they have nothing to do any more."""
    seconds = plan.size(60, 3)
    with plan.room() as room, ExitStack() as running:
        alone, under = room / "alone.db", room / "under.db"
        commands = {
            "app.work()": (alone, worker_argv(alone, "full")),
            "liteq work, with its supervisor": (under, command_line(under, "work", "--log-level", "error")),
        }
        workers = {what: _at_rest(running, path, argv) for what, (path, argv) in commands.items()}
        time.sleep(plan.size(10, 1))
        before = {what: _seen(worker, commands[what][0]) for what, worker in workers.items()}
        time.sleep(seconds)
        after = {what: _seen(worker, commands[what][0]) for what, worker in workers.items()}
    return [_idle_row(what, seconds, seen, after[what]) for what, seen in before.items()]


def _seen(worker: WorkerProcess, path: Path) -> Seen:
    states = (one.stat() for one in path.parent.glob(f"{path.name}*") if one.is_file())
    return Seen(worker.written(), worker.cpu_s(), tuple((state.st_mtime_ns, state.st_size) for state in states))


def _idle_row(what: str, seconds: float, before: Seen, after: Seen) -> Row:
    wrote = after.written - before.written
    return {
        "worker": what,
        "seconds": seconds,
        "bytes": wrote,
        "bytes an hour": round(wrote * HOUR_S / seconds),
        "file and log": "untouched" if after.files == before.files else "written",
        "CPU s/min": (after.cpu_s - before.cpu_s) / seconds * 60,
    }


def _at_rest(running: ExitStack, path: Path, argv: list[str]) -> WorkerProcess:
    """Start a worker that has done a few jobs."""
    found = declare(path, "full")
    with found.app as app:
        worker = WorkerProcess(argv)
        running.callback(worker.stop)
        wait_for_workers(app, 1)
        fill(found, 100)
        wait_until_left(app, 0)
    return worker


def main() -> None:
    """Run one kind in this process and print what was found."""
    name, path, durability, jobs = sys.argv[1:]
    found = one_run(name, Path(path), cast("Durability", durability), int(jobs))
    sys.stdout.write(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main()
