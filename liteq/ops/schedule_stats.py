"""How the scheduler of a file is doing, in one struct."""

import msgspec

from liteq.model.firing import TickOutcome
from liteq.model.transitions import FINISHED, State
from liteq.store.engine import Engine

OVERDUE_AFTER_MS = 5_000
RATED_TICKS = 10_000

WITH_JOB = (TickOutcome.FIRED, TickOutcome.TRIGGERED, TickOutcome.BACKFILLED)


class SchedulerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All schedules of a file at one moment. Instants in ms since 1970."""

    at: int
    schedules: int
    paused: int
    broken: int
    """Schedules that cannot fire: what is stored cannot be read here."""
    due: int
    """Schedules whose tick has come and was not fired yet."""
    overdue: int
    """Those among them that wait for more than five seconds: no scheduler runs, or it cannot keep up."""
    next_fire_at: int | None
    """The next execution time of all, which lies in the past while one is due."""
    fired: int
    skipped: dict[str, int]
    """Ticks that got no job of their own, by the reason."""
    average_lateness_ms: float | None
    success_rate: float | None
    """Completed jobs over finished ones among the newest 10,000 ticks; None while there are none."""


def collect_scheduler_status(engine: Engine, *, now: int) -> SchedulerStatus:
    """Give how the scheduler is doing."""
    totals = engine.schedule_totals(now=now, overdue_since=now - OVERDUE_AFTER_MS)
    fired = late_ms = 0
    skipped: dict[str, int] = {}
    for count in engine.tick_counts():
        if count.outcome is TickOutcome.FIRED:
            fired += count.ticks
            late_ms += count.late_ms
        elif count.outcome not in WITH_JOB:
            skipped[count.outcome.value] = skipped.get(count.outcome.value, 0) + count.ticks
    return SchedulerStatus(
        at=now,
        schedules=totals.schedules,
        paused=totals.paused,
        broken=totals.broken,
        due=totals.due,
        overdue=totals.overdue,
        next_fire_at=engine.next_tick(),
        fired=fired,
        skipped=skipped,
        average_lateness_ms=late_ms / fired if fired else None,
        success_rate=success_rate(engine.states_of_ticks(newest=RATED_TICKS)),
    )


def success_rate(states: dict[State, int]) -> float | None:
    """Give the share of completed jobs among the finished, None when none has finished."""
    finished = sum(jobs for state, jobs in states.items() if state in FINISHED)
    return states.get(State.COMPLETED, 0) / finished if finished else None
