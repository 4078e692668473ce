"""A schedule that fires each second, taken through the whole pipeline: schedule, dispatch, queue, worker, history."""

import time

import msgspec

from liteq.app import Liteq
from liteq.job import JobContext
from liteq.model.firing import TickOutcome
from liteq.model.schedules import cron
from liteq.model.transitions import State

NAME = "demo-heartbeat"
TICKS = 3
PATIENCE_S = 10.0


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """One tick and its job. Durations in milliseconds from the tick itself."""

    fire_at: int
    job_id: int
    dispatched_ms: int
    finished_ms: int


def beat(ctx: JobContext) -> str:
    """Say for which second it runs."""
    return f"{ctx.fire_at:%H:%M:%S}"


def watch_ticks(app: Liteq) -> list[Beat]:
    """Store the schedule, let a worker fire and run it for some seconds, and give what its history says."""
    app.schedule(NAME, cron("* * * * * *"), app.task(name="demo.beat", queue="ticks")(beat).call())
    until = time.monotonic() + PATIENCE_S
    with app.worker():
        while len(beats := _history(app)) < TICKS and time.monotonic() < until:
            time.sleep(0.05)
    app.schedules.pause(NAME, reason="the demonstration is over")
    return beats


def _history(app: Liteq) -> list[Beat]:
    beats: list[Beat] = []
    for trace in reversed(app.schedules[NAME].ticks(limit=TICKS)):
        if trace.outcome is not TickOutcome.FIRED or trace.job_id is None:
            continue
        record = app.get_job(trace.job_id).record
        if record.state is State.COMPLETED and record.finished_at is not None:
            beats.append(
                Beat(
                    fire_at=trace.fire_at,
                    job_id=trace.job_id,
                    dispatched_ms=trace.decided_at - trace.fire_at,
                    finished_ms=record.finished_at - trace.fire_at,
                )
            )
    return beats
