"""What do schedules cost: many due at once, many due again and again, many that idle? And how late do they fire?"""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Plan, Row, Table, load, percentile
from benchmarks.jobs import BOTH, Durability, declare
from benchmarks.process import WorkerProcess, worker_process
from liteq import Call, Liteq, cron, every
from liteq.clock import SystemClock, to_datetime
from liteq.model.schedule import AnySchedule
from liteq.scheduler import Scheduler

AT_ONCE = 500
FAR = timedelta(days=300)


class SetClock(SystemClock):
    """The machine's clock, but for the time of day, which stands where it was put."""

    def __init__(self) -> None:
        self.ms = super().now_ms()

    def now_ms(self) -> int:
        return self.ms


def measure(plan: Plan) -> list[Table]:
    """Give a table for each question."""
    return [_due_at_once(plan), _beside(plan), _precision(plan)]


def store(app: Liteq, call: Call[Any], schedules: int, make: Callable[[int], AnySchedule]) -> None:
    """Store so many schedules of one job."""
    for first in range(0, schedules, AT_ONCE):
        with app.engine.transaction():
            for number in range(first, min(first + AT_ONCE, schedules)):
                app.schedules.add(f"s{number:05}", make(number), call)


def _due_at_once(plan: Plan) -> Table:
    before = load()
    schedules = plan.size(10_000, 500)
    rows: list[Row] = []
    for kind in BOTH:
        for what, make in (("every", lambda _: every(hours=1)), ("cron", lambda _: cron("0 * * * *"))):
            rounds = [_fire_all(plan, kind, schedules, make) for _ in range(plan.rounds)]
            rows.append(
                {
                    "what": what,
                    "durability": kind,
                    "schedules": schedules,
                    "s": median(wall for wall, _, _ in rounds),
                    "CPU us each": median(cpu / schedules * 1e6 for _, cpu, _ in rounds),
                    "longest lock ms": max(lock for _, _, lock in rounds),
                }
            )
    return Table(title="schedules due in one second", rounds=plan.rounds, load=(before, load()), rows=rows)


def _fire_all(
    plan: Plan, kind: Durability, schedules: int, make: Callable[[int], AnySchedule]
) -> tuple[float, float, float]:
    """Give the seconds and CPU seconds that firing all of them takes, and the longest write lock in ms."""
    clock = SetClock()
    with plan.room() as room, Liteq(room / "jobs.db", durability=kind, clock=clock) as app:
        store(app, app.command(["true"]), schedules, make)
        scheduler = Scheduler(app.engine, clock)
        scheduler.fire_due()
        clock.ms += 3_600_000
        with _locks_timed(app) as locks:
            wall, cpu = time.perf_counter(), time.process_time()
            fired = scheduler.fire_due()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        assert len(fired) == app.count_jobs() == schedules
    return wall, cpu, max(locks) * 1000


@contextmanager
def _locks_timed(app: Liteq) -> Generator[list[float]]:
    """Note how long each transaction of the block holds the write lock, its commit included."""
    engine: Any = app.engine
    plain = engine.transaction
    held: list[float] = []

    @contextmanager
    def timed() -> Generator[None]:
        begun = 0.0
        with plain():
            begun = time.perf_counter()
            yield
        held.append(time.perf_counter() - begun)

    engine.transaction = timed
    try:
        yield held
    finally:
        del engine.transaction


def _beside(plan: Plan) -> Table:
    """Measure a process that only fires: with much to fire, and with nothing."""
    before = load()
    schedules, seconds = plan.size(10_000, 500), plan.size(30, 4)
    rows: list[Row] = []
    for what in ("each every 10 s", "none due"):
        with plan.room() as room, declare(room / "jobs.db", "full").app as app:
            store(app, app.command(["true"]), schedules, _spread if what == "each every 10 s" else _far)
            with firing_process(room / "jobs.db", "full") as firing:
                time.sleep(3)
                cpu, jobs, begun = firing.cpu_s(), app.count_jobs(), time.perf_counter()
                time.sleep(seconds)
                cpu, took = firing.cpu_s() - cpu, time.perf_counter() - begun
            rows.append(
                {
                    "what": what,
                    "schedules": schedules,
                    "seconds": seconds,
                    "jobs": app.count_jobs() - jobs,
                    "% of a core": cpu / took * 100,
                    "CPU s/min": cpu / took * 60,
                }
            )
    return Table(title="a process that only fires, full durability", rounds=1, load=(before, load()), rows=rows)


def _spread(number: int) -> AnySchedule:
    return every(seconds=10, start_at=to_datetime(SystemClock().now_ms() + number % 10_000), overlap="allow")


def _far(number: int) -> AnySchedule:
    return every(days=360, start_at=to_datetime(SystemClock().now_ms() + number) + FAR)


@contextmanager
def firing_process(path: Path, durability: Durability) -> Generator[WorkerProcess]:
    """Run a process that only fires beside the block."""
    firing = WorkerProcess([sys.executable, "-m", "benchmarks.firing", str(path), durability])
    try:
        yield firing
    finally:
        firing.stop()


def _precision(plan: Plan) -> Table:
    """Measure from the tick to the commit that fires it, and to the moment in which its job begins."""
    before = load()
    seconds = plan.size(60, 4)
    with plan.room() as room:
        found = declare(room / "jobs.db", "full")
        with found.app as app:
            store(
                app, found.stamp.call(), 100, lambda _: cron("* * * * * *", timezone="Europe/Berlin", overlap="allow")
            )
            with worker_process(room / "jobs.db", "full"):
                time.sleep(seconds)
            traces = [trace for one in app.schedules for trace in one.ticks(limit=1_000)]
            fired = [trace.decided_at - trace.fire_at for trace in traces]
            begun = [
                job.result / 1e6 - (job.record.fire_at or 0) for job in app.list_jobs(state="completed", limit=100_000)
            ]
    rows: list[Row] = [
        {
            "what": what,
            "ticks": len(late),
            "p50 ms": percentile(late, 50),
            "p99 ms": percentile(late, 99),
            "worst ms": max(late),
        }
        for what, late in (("tick decided", fired), ("job began", begun))
    ]
    return Table(title="100 cron schedules, each every second", rounds=1, load=(before, load()), rows=rows)
