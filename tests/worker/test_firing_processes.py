"""Several processes fire the same schedules, and are killed: every tick makes exactly one job."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from liteq import Liteq, at, cron, every
from liteq.clock import to_datetime

FIRING = """
import sys
from liteq import Liteq
from liteq.scheduler import Scheduler
from liteq.worker.scheduling import SchedulerLoop

app = Liteq(sys.argv[1], durability="normal")
SchedulerLoop(Scheduler(app.engine, app.clock)).run()
"""
PROCESSES = 4
SECONDS = 6.0
KILL_EVERY_S = 0.5
SCHEDULES = 30


def start(path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", FIRING, str(path)])


def fire_and_kill(path: Path, seconds: float) -> int:
    """Keep four processes firing for so long, killing one every half second; give how many were killed."""
    draw = random.Random(7)  # noqa: S311  no secret
    processes = [start(path) for _ in range(PROCESSES)]
    killed = 0
    try:
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            time.sleep(KILL_EVERY_S)
            place = draw.randrange(PROCESSES)
            processes[place].kill()
            processes[place].wait()
            processes[place] = start(path)
            killed += 1
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return killed


def declare(app: Liteq, start_ms: int, end_ms: int) -> None:
    """Store schedules of two kinds whose every tick must get a job, however late."""
    call = app.command(["true"])
    end = to_datetime(end_ms)
    for number in range(SCHEDULES):
        if number % 2:
            kind = cron("* * * * * *", end_at=end, misfire="all", overlap="allow")
            app.schedules.add(f"cron {number}", kind, call)
        else:
            first = to_datetime(start_ms + number)
            app.schedules.add(
                f"every {number}", every(seconds=1, start_at=first, end_at=end, misfire="all", overlap="allow"), call
            )


def wanted_ticks(app: Liteq, after_ms: int, end_ms: int) -> set[tuple[int, int]]:
    wanted: set[tuple[int, int]] = set()
    for stored in app.schedules:
        tick = stored.schedule.next_fire_ms(after_ms)
        while tick is not None and tick <= end_ms:
            wanted.add((stored.record.id, tick))
            tick = stored.schedule.next_fire_ms(tick)
    return wanted


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Liteq]:
    with Liteq(tmp_path / "jobs.db", durability="normal") as app:
        yield app


def test_every_tick_makes_one_job_though_the_processes_that_fire_are_killed(app: Liteq, tmp_path: Path) -> None:
    begun = app.clock.now_ms()
    end = begun + int(SECONDS * 1000)
    declare(app, begun + 1_000, end)
    after = max(stored.record.advanced_at for stored in app.schedules)

    killed = fire_and_kill(tmp_path / "jobs.db", SECONDS + 1)
    app.fire_due()

    made = Counter((job.record.schedule_id, job.record.fire_at) for job in app.list_jobs(limit=100_000))
    assert killed >= SECONDS
    assert [tick for tick, jobs in made.items() if jobs > 1] == []
    assert wanted_ticks(app, after, end) <= set(made)
    traced = sum(stored.counts.get("fired", 0) for stored in app.schedules)
    assert traced == sum(made.values()) == app.count_jobs()


def test_two_processes_that_race_for_one_tick_make_one_job(app: Liteq, tmp_path: Path) -> None:
    moment = to_datetime(app.clock.now_ms() + 1_500)
    for number in range(200):
        app.schedules.add(f"once {number}", at(moment), app.command(["true"]))
    racers = [start(tmp_path / "jobs.db") for _ in range(2)]
    try:
        deadline = time.monotonic() + 20
        while app.count_jobs() < 200 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()

    assert app.count_jobs() == 200
    assert {stored.counts["fired"] for stored in app.schedules} == {1}
