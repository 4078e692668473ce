"""How soon does an idle worker, a process of its own, begin a job? And what does it cost while it idles?"""

import random
import time
from pathlib import Path
from statistics import median

from benchmarks.harness import Plan, Row, Table, load, percentile
from benchmarks.jobs import Durability, Jobs, declare
from benchmarks.process import WorkerProcess, worker_process
from benchmarks.raw import BOTH

PAUSE_S = (0.02, 0.08)
"""Between two jobs, at random: the worker is idle again by then, and not in step with any clock."""


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
    rows = [row for kind in BOTH for row in _rows(plan, kind)]
    return [Table(title="pickup by an idle worker process, ms", rounds=plan.rounds, load=(before, load()), rows=rows)]


def _rows(plan: Plan, kind: Durability) -> list[Row]:
    jobs = plan.size(150, 40)
    rounds = []
    with plan.room() as room:
        with declare(room / "jobs.db", kind).app as app:
            found = declare(Path(app.path), kind)
            with worker_process(room / "jobs.db", kind) as worker:
                found.stamp.enqueue().wait(30)
                rounds = [pickups(found, jobs) for _ in range(plan.rounds)]
                idle = idle_cpu(worker, plan.size(20, 5))
            found.app.close()
    sides = ("since before enqueue()", "since enqueue() returned")
    return [_row(what, kind, [r[n] for r in rounds], idle) for n, what in enumerate(sides)]


def _row(what: str, kind: Durability, rounds: list[list[float]], idle: float) -> Row:
    p99 = [percentile(one, 99) for one in rounds]
    return {
        "what": what,
        "durability": kind,
        "jobs": len(rounds[0]),
        "p50": median(percentile(one, 50) for one in rounds),
        "p99": median(p99),
        "p99 min": min(p99),
        "p99 max": max(p99),
        "idle CPU s/min": idle,
    }
