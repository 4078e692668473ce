"""How soon does an idle worker, a process of its own, begin a job? And what does it cost while it idles?"""

import random
import time
from pathlib import Path
from statistics import median

from benchmarks.harness import Plan, Row, Table, load, percentile
from benchmarks.jobs import BOTH, Durability, Jobs, declare
from benchmarks.process import WorkerProcess, worker_process

PAUSE_S = (0.05, 0.5)
"""Between two jobs, at random: long enough that the next commit does not hide a wake-up that was missed."""


def pickups(found: Jobs, jobs: int) -> tuple[list[float], list[float]]:
    """Enqueue jobs one at a time; give the ms until each began, from just before and from just after the call."""
    moments = []
    for _ in range(jobs):
        before = time.time_ns()
        job = found.stamp.enqueue()
        moments.append((before, time.time_ns(), job))
        time.sleep(random.uniform(*PAUSE_S))
    begun = [job.wait(30).result for _, _, job in moments]
    pairs = list(zip(moments, begun, strict=True))
    return [(at - m[0]) / 1e6 for m, at in pairs], [(at - m[1]) / 1e6 for m, at in pairs]


def idle_cpu(worker: WorkerProcess, seconds: float) -> float:
    """Give the CPU seconds a minute of a worker that has nothing to do."""
    time.sleep(2)
    before, begun = worker.cpu_s(), time.perf_counter()
    time.sleep(seconds)
    return (worker.cpu_s() - before) / (time.perf_counter() - begun) * 60


def measure(plan: Plan) -> list[Table]:
    """Give the latencies of each durability, the medians of the rounds, and the cost of idling."""
    before = load()
    rows: list[Row] = []
    for kind in BOTH:
        with plan.room() as room:
            rows += _rows(plan, room, kind)
    with plan.room() as room:
        rows += _rows(plan, room, "full", "--coroutines")
    return [Table(title="pickup by an idle worker process, ms", rounds=plan.rounds, load=(before, load()), rows=rows)]


def _rows(plan: Plan, room: Path, kind: Durability, *flags: str) -> list[Row]:
    jobs = plan.size(60, 15)
    found = declare(room / "jobs.db", kind)
    with found.app, worker_process(room / "jobs.db", kind, *flags) as worker:
        found.stamp.enqueue().wait(30)
        rounds = [pickups(found, jobs) for _ in range(plan.rounds)]
        idle = idle_cpu(worker, plan.size(60, 5))
    sides = ("since before enqueue()", "since enqueue() returned")
    return [_row(what, kind, flags, [r[n] for r in rounds], idle) for n, what in enumerate(sides)]


def _row(what: str, kind: Durability, flags: tuple[str, ...], rounds: list[list[float]], idle: float) -> Row:
    p99 = [percentile(one, 99) for one in rounds]
    return {
        "what": what,
        "durability": kind,
        "worker": "with an event loop" if flags else "functions only",
        "jobs": len(rounds[0]),
        "p50": median(percentile(one, 50) for one in rounds),
        "p99": median(p99),
        "p99 min": min(p99),
        "p99 max": max(p99),
        "idle CPU s/min": idle,
    }
