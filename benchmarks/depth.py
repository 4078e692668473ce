"""Does it matter how much lies in the file? A million jobs that wait, a hundred thousand delayed, a million finished.

Each file is filled once; every round works on a fresh copy of it, synced beforehand so that the kernel does not write
it back meanwhile. All files are drained alike: one worker ends after 20,000 jobs, and each 500th of these enqueues 500
more from within, so that the depth stays what it was, at a thousand as well as at a million. The wall and CPU time of
that topping up are taken off on all sides; the worker's start and end and the checkpoint that cuts the log are left in.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.harness import Plan, Row, Sample, Table, each, load, percentile, ratios, timed
from benchmarks.jobs import BOTH, Durability, declare
from benchmarks.wanted import at_least
from liteq import Liteq, Task

CHUNK = 10_000
TOP_UP = 500
BATCH = 1_000
LATER_S = 30 * 24 * 3_600


class File(msgspec.Struct, frozen=True):
    """A filled file: what lies in it, and how many rows of that."""

    what: str
    path: Path
    rows: int


class Found(msgspec.Struct):
    """The samples of one file by what was done, and the microseconds of single calls."""

    samples: dict[str, list[Sample]] = {}
    calls_us: dict[str, list[float]] = {}

    def add(self, what: str, sample: Sample) -> None:
        """Keep a sample, and the lengths of its single calls."""
        self.samples.setdefault(what, []).append(sample)
        self.calls_us.setdefault(what, []).extend(length / 1000 for length in sample.each_ns)


class TopUp:
    """An app with a task that does nothing, but that each 500th run enqueues 500 more; knows what that cost."""

    def __init__(self, path: Path, durability: Durability) -> None:
        self.app = Liteq(path, durability=durability)
        self.noop: Task[[], None] = self.app.task(name="noop")(self._run)
        self.wall_s = self.cpu_s = 0.0
        self._runs = 0

    def _run(self) -> None:
        self._runs += 1
        if self._runs % TOP_UP == 0:
            spent = Sample(jobs=TOP_UP)
            with timed(spent):
                self.app.enqueue_many(self.noop.call() for _ in range(TOP_UP))
            self.wall_s += spent.wall_s
            self.cpu_s += spent.cpu_s


def measure(plan: Plan) -> list[Table]:
    """Give a table of single jobs, one of the drains, one of sizes, and the ratios that are wanted."""
    before = load()
    with plan.room() as room:
        files = filled(plan, room)
        found = {one.what: Found() for one in files}
        for _ in range(plan.rounds):
            for one in files:
                with plan.room() as fresh:
                    for kind in BOTH:
                        path = copied(one.path, fresh / f"{kind}.db")
                        work_on(path, kind, plan, found[one.what])
        sizes = [_size(one) for one in files]
    loads = (before, load())
    return [
        Table(title="one job at a time and 1,000 a call, by depth", rounds=plan.rounds, load=loads, rows=_steps(found)),
        Table(title="drain by depth, one worker", rounds=plan.rounds, load=loads, rows=_drains(found)),
        Table(title="size of the file", rounds=1, load=loads, rows=sizes),
        Table(title="depth, judged", rounds=plan.rounds, load=loads, rows=_judged(files, found)),
    ]


def filled(plan: Plan, room: Path) -> list[File]:
    """Make the files; the finished rows are those of a million jobs that were really run."""
    few, some, many = 1_000, plan.size(100_000, 5_000), plan.size(1_000_000, 10_000)
    files = [
        File(f"{few:,} pending", room / "few.db", few),
        File(f"{some:,} pending", room / "some.db", some),
        File(f"{many:,} pending", room / "many.db", many),
        File(f"{some:,} delayed, {few:,} pending", room / "delayed.db", some + few),
        File(f"{many:,} finished, {few:,} pending", room / "finished.db", many + few),
    ]
    for one in files[:3]:
        _fill(one.path, one.rows)
    _fill(files[3].path, some, delay_s=LATER_S)
    copied(files[2].path, files[4].path)
    with declare(files[4].path, "normal").app as app:
        assert app.work(burst=True).completed == many
    for one in files[3:]:
        _fill(one.path, few)
    return files


def copied(source: Path, target: Path) -> Path:
    """Copy a file that nobody has open, down to the disk; give the copy."""
    shutil.copyfile(source, target)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return target


def work_on(path: Path, kind: Durability, plan: Plan, found: Found) -> None:
    """Drain, then bring single jobs through, then enqueue; in this order the depth is what it says in each."""
    topped, singles = TopUp(path, kind), plan.size(300, 50)
    with topped.app as app:
        found.add(f"drain {kind}", _drained(topped, plan.size(20_000, 1_000)))
        claims = app.claims(wait=False)
        found.add(f"claim + complete {kind}", _each(singles, lambda: next(claims).complete()))
        claims.close()
        found.add(f"enqueue {kind}", _each(singles, topped.noop.enqueue))
        many = Sample(jobs=plan.size(10, 2) * BATCH)
        with timed(many):
            for _ in range(many.jobs // BATCH):
                app.enqueue_many(topped.noop.call() for _ in range(BATCH))
        found.add(f"enqueue_many {kind}", many)


def _drained(topped: TopUp, jobs: int) -> Sample:
    sample = Sample(jobs=jobs)
    with timed(sample):
        result = topped.app.work(burst=True, max_jobs=jobs)
    assert result.completed == jobs
    sample.wall_s -= topped.wall_s
    sample.cpu_s -= topped.cpu_s
    return sample


def _each(jobs: int, call: Callable[[], object]) -> Sample:
    sample = Sample(jobs=jobs)
    with timed(sample):
        each(sample, call)
    return sample


def _fill(path: Path, jobs: int, *, delay_s: float | None = None) -> None:
    found = declare(path, "normal")
    with found.app as app:
        call = found.noop.call() if delay_s is None else found.noop.call().using(delay=delay_s)
        app.enqueue_many((call for _ in range(jobs)), chunk=CHUNK)
        app.engine.settle()


def _steps(found: dict[str, Found]) -> list[Row]:
    rows: list[Row] = []
    for kind in BOTH:
        for what, one in found.items():
            row: Row = {"what": what, "durability": kind}
            for step in ("enqueue", "claim + complete"):
                calls = one.calls_us[f"{step} {kind}"]
                row |= {f"{step} us": median(calls), f"{step} p99": percentile(calls, 99)}
            many = one.samples[f"enqueue_many {kind}"]
            rows.append(row | {"enqueue_many jobs/s": round(median(sample.jobs / sample.wall_s for sample in many))})
    return rows


def _drains(found: dict[str, Found]) -> list[Row]:
    rows: list[Row] = []
    shallow = next(iter(found.values()))
    for kind in BOTH:
        name = f"drain {kind}"
        for what, one in found.items():
            samples = one.samples[name]
            rates = [sample.jobs / sample.wall_s for sample in samples]
            rows.append(
                {
                    "what": what,
                    "durability": kind,
                    "jobs": samples[0].jobs,
                    "jobs/s": round(median(rates)),
                    "min": round(min(rates)),
                    "max": round(max(rates)),
                    "CPU us/job": median(sample.cpu_s / sample.jobs * 1e6 for sample in samples),
                    "of the first": median(ratios(samples, shallow.samples[name])),
                }
            )
    return rows


def _size(one: File) -> Row:
    with Liteq(one.path) as app:
        facts = app.stats().file
    return {
        "what": one.what,
        "rows": one.rows,
        "MB": facts.bytes / 1e6,
        "free inside MB": facts.free_bytes / 1e6,
        "bytes/job": round((facts.bytes - facts.free_bytes) / one.rows),
    }


def _judged(files: list[File], found: dict[str, Found]) -> list[Row]:
    few, _, many, _, finished = (found[one.what].samples for one in files)
    rows: list[Row] = []
    for kind in BOTH:
        name = f"drain {kind}"
        for one, other in ((files[2], many), (files[4], finished)):
            ratio = median(ratios(other[name], few[name]))
            rows.append(at_least(f"drain rate, {one.what}, over {files[0].what}, {kind}", ratio, 0.8))
    return rows
