"""What does a worker hold: while it drains 100,000 jobs, under a supervisor, and with payloads of up to a megabyte?"""

from pathlib import Path
from statistics import median

import msgspec

from benchmarks.harness import Plan, Row, Table, load
from benchmarks.jobs import declare, declare_echo
from benchmarks.process import WorkerProcess, command_line, worker_argv, worker_process
from benchmarks.spans import span_s, wait_for_workers, wait_until_left
from benchmarks.wanted import below

MARKS = (10, 50, 100)
CHUNK = 1_000
MEGABYTE = 1_000_000
WORK = "app.work()"
QUIET = ("--log-level", "error")
PAYLOADS = ((1, 10_000), (100, 1_000), (1_000, 200))
"""KB of a payload, and how many jobs have one."""
FLAT_MB = 2.0
"""What a worker may gain on the way and still be called flat."""


class Held(msgspec.Struct):
    """The resident bytes of one process at each mark in percent, and at its peak."""

    rss: dict[int, int]
    peak: int


def measure(plan: Plan) -> list[Table]:
    """Give the memory on the way, with payloads, and what is wanted of it."""
    before, jobs = load(), plan.size(100_000, 3_000)
    with plan.room() as room:
        found = {
            WORK: drained(room / "a.db", jobs, worker_argv(room / "a.db", "full")),
            "liteq work": drained(room / "b.db", jobs, command_line(room / "b.db", "work", *QUIET)),
            "liteq work --processes 2": drained(
                room / "c.db", jobs, command_line(room / "c.db", "work", *QUIET, "--processes", "2"), workers=2
            ),
        }
    rows = [_row(what, number, held) for what, processes in found.items() for number, held in enumerate(processes)]
    title = f"resident MB while {jobs:,} jobs are drained, durability full"
    tables = [Table(title=title, rounds=1, load=(before, load()), rows=rows), _payloads(plan)]
    return [*tables, Table(title="memory, judged", rounds=1, load=(before, load()), rows=_judged(found))]


def drained(path: Path, jobs: int, argv: list[str], workers: int = 1) -> list[Held]:
    """Have idle workers drain so many jobs; give what the process and its children held on the way."""
    found = declare(path, "full")
    marks: dict[int, list[int]] = {}
    with found.app as app:
        worker = WorkerProcess(argv)
        try:
            wait_for_workers(app, workers)
            # In one commit: workers that are quicker than the caller would never see it all.
            app.enqueue_many(found.noop.call() for _ in range(jobs))
            for mark in MARKS:
                wait_until_left(app, jobs * (100 - mark) // 100)
                marks[mark] = worker.rss()
            peaks = worker.peaks()
        finally:
            worker.stop()
    return [Held({mark: seen[number] for mark, seen in marks.items()}, peak) for number, peak in enumerate(peaks)]


def _row(what: str, number: int, held: Held) -> Row:
    role = "worker" if number or what == WORK else "supervisor"
    marks: Row = {f"at {mark} %": rss / MEGABYTE for mark, rss in held.rss.items()}
    return {"what": what, "process": role, **marks, "peak": held.peak / MEGABYTE}


def _payloads(plan: Plan) -> Table:
    before = load()
    rows = [_payload(plan, kilobytes, plan.size(jobs, 20)) for kilobytes, jobs in PAYLOADS]
    title = "jobs with a payload, one worker process, durability full"
    return Table(title=title, rounds=plan.rounds, load=(before, load()), rows=rows)


def _payload(plan: Plan, kilobytes: int, jobs: int) -> Row:
    each_ms: list[float] = []
    peaks: list[float] = []
    for _ in range(plan.rounds):
        with plan.room() as room, declare(room / "jobs.db", "full").app as app:
            echo = declare_echo(app)
            app.enqueue_many((echo.call("x" * (kilobytes * 1_000)) for _ in range(jobs)), chunk=CHUNK)
            with worker_process(room / "jobs.db", "full", "--echo") as worker:
                wait_until_left(app, 0)
            each_ms.append(span_s(app, 1) / jobs * 1_000)
            peaks.append(worker.peak_rss / MEGABYTE)
    return {
        "payload KB": kilobytes,
        "jobs": jobs,
        "ms/job": median(each_ms),
        "min": min(each_ms),
        "max": max(each_ms),
        "us/KB": median(each_ms) / kilobytes * 1_000,
        "peak resident MB": median(peaks),
    }


def _judged(found: dict[str, list[Held]]) -> list[Row]:
    rows: list[Row] = []
    for what, processes in found.items():
        workers = processes[-1:] if what == WORK else processes[1:]
        peak = max(held.peak for held in workers)
        growth = max(held.rss[MARKS[-1]] - held.rss[MARKS[0]] for held in workers)
        rows.append(below(f"{what}: worker, peak resident MB", peak / MEGABYTE, 50))
        rows.append(below(f"{what}: worker, growth from 10 % to 100 %, MB", growth / MEGABYTE, FLAT_MB))
    return rows
