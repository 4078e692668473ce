"""The requirement liteq was written for, checked: ``python -m benchmarks.target [--folder DIR]``; exit 1 on a miss.

A thousand jobs enqueued one by one, durably, and run by a worker process within 30 s; an enqueue within 50 ms and from
enqueue to result within 500 ms for 99 of 100; the worker below 50 MB. All with full durability.
"""

import argparse
import random
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.harness import Plan, Row, Sample, Table, each, load, percentile
from benchmarks.jobs import declare
from benchmarks.process import WorkerProcess, command_line, worker_process
from benchmarks.wanted import below, met

JOBS = 1_000
SINGLES = 200
SINGLES_S = 30
"""After that long no more are sent: a queue that is slow should miss the limit, not hang."""
DEFAULT_FOLDER = Path("/var/tmp")  # noqa: S108  a fresh folder of its own is made in it, on a real disk


class Found(msgspec.Struct):
    """The figures: s, ms, ms, bytes."""

    all_s: float = 0.0
    enqueue_ms: float = 0.0
    end_to_end_ms: float = 0.0
    peak_rss: int = 0


def thousand(path: Path, found: Found) -> None:
    """Enqueue the thousand, then let a burst worker run them; its start and end are part of the time."""
    jobs = declare(path, "full")
    begun = time.perf_counter()
    sample = Sample(jobs=JOBS)
    each(sample, jobs.noop.enqueue)
    worker = WorkerProcess(command_line(path, "work", "--burst"))
    try:
        worker.join(120)
    finally:
        worker.stop()
    found.all_s = time.perf_counter() - begun
    assert jobs.app.count_jobs(state="completed") == JOBS
    jobs.app.close()
    found.enqueue_ms = percentile(sample.each_ns, 99) / 1e6
    found.peak_rss = max(found.peak_rss, worker.peak_rss)


def singles(path: Path, found: Found) -> None:
    """Enqueue one job at a time to an idle worker and wait for its result."""
    jobs = declare(path, "full")
    lengths: list[float] = []
    with worker_process(path, "full") as worker:
        jobs.noop.enqueue().wait(30)
        until = time.perf_counter() + SINGLES_S
        while len(lengths) < SINGLES and time.perf_counter() < until:
            time.sleep(random.uniform(0.02, 0.06))
            begun = time.perf_counter()
            jobs.noop.enqueue().wait(30)
            lengths.append((time.perf_counter() - begun) * 1000)
    jobs.app.close()
    found.end_to_end_ms = percentile(lengths, 99)
    found.peak_rss = max(found.peak_rss, worker.peak_rss)


def judged(found: Found) -> list[Row]:
    """Set each figure beside its limit."""
    return [
        below(f"{JOBS:,} jobs enqueued one by one and run, s", found.all_s, 30),
        below("enqueue p99, ms", found.enqueue_ms, 50),
        below("enqueue to result p99, idle worker, ms", found.end_to_end_ms, 500),
        below("worker process, peak resident MB", found.peak_rss / 1e6, 50),
    ]


def main() -> int:
    """Measure once, print the table, give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.target", description="Check the requirement.")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where the files lie: the disk to measure")
    plan = Plan(parser.parse_args().folder)
    found, before = Found(), load()
    for measure in (thousand, singles):
        with plan.room() as room:
            measure(room / "jobs.db", found)
    rows = judged(found)
    print(Table(title="requirement, durability full", rounds=1, load=(before, load()), rows=rows).text())
    return 0 if all(met(row) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
