"""The values about schedules that cross the engine's wall, and what is to become of ticks that are due."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from liteq.model.schedule import AnySchedule
from liteq.model.ticks import Missed

LATE_WITHOUT_GRACE_MS = 60_000
"""With ``misfire="skip"`` and no grace of its own: a tick that is later than this counts as missed."""


class TickOutcome(StrEnum):
    """What became of a tick. The words are stored; they never change their meaning."""

    FIRED = "fired"
    TRIGGERED = "triggered"
    BACKFILLED = "backfilled"
    BUFFERED = "buffered"
    COALESCED = "coalesced"
    MISSED = "skipped: missed"
    GRACE = "skipped: grace"
    CATCHUP = "skipped: catch-up bound"
    OVERLAP = "skipped: overlap"
    PAUSED = "skipped: paused"
    UNIQUE = "skipped: unique key"
    MAX_RUNS = "skipped: max_runs"
    REMOVED = "skipped: removed"
    REPLACED = "skipped: replaced"
    FAILED = "failed"


class ScheduleRow(Struct, frozen=True, kw_only=True):
    """A schedule to be stored. ``revision`` is that of the row it replaces, None for a new one.

    ``anew``: it ticks otherwise than that row, and counts its runs from 0.
    """

    name: str
    revision: int | None
    declared: bool
    spec: bytes
    job: bytes
    next_fire_at: int | None
    tzdata: str
    anew: bool = False


class ScheduleRecord(Struct, frozen=True, kw_only=True):
    """One row of the schedule table, as stored.

    ``advanced_at`` is the moment at which ``next_fire_at`` was computed, ``runs`` counts the ticks that fired or wait
    for an earlier job, ``error`` says why the schedule cannot fire.
    """

    id: int
    name: str
    revision: int
    declared: bool
    spec: bytes
    job: bytes
    next_fire_at: int | None
    advanced_at: int
    tzdata: str
    runs: int
    created_at: int
    paused_at: int | None
    paused_reason: str | None
    error: str | None


class Advance(Struct, frozen=True, kw_only=True):
    """A step of a schedule, valid only while it stands at ``expected`` in this revision: who comes second loses.

    ``runs`` are added to its count; ``spec`` replaces the stored value where a clock was set back.
    """

    schedule_id: int
    revision: int
    expected: int | None
    next_fire_at: int | None
    tzdata: str
    runs: int = 0
    spec: bytes | None = None
    error: str | None = None
    even_paused: bool = False


class Tick(Struct, frozen=True, kw_only=True):
    """What became of a tick, or of ``ticks`` of them from ``fire_at`` on; ``late_ms`` of those that made a job."""

    schedule_id: int
    fire_at: int
    outcome: TickOutcome
    ticks: int = 1
    job_id: int | None = None
    late_ms: int = 0


class TickRecord(Struct, frozen=True, kw_only=True):
    """The trace of a tick as stored, or of ``ticks`` of them from ``fire_at`` on."""

    id: int
    schedule_id: int
    fire_at: int
    decided_at: int
    outcome: TickOutcome
    ticks: int
    job_id: int | None


class Buffered(Struct, frozen=True):
    """A schedule's oldest tick that waits for an earlier job to end, and how many wait in all."""

    tick_id: int
    schedule_id: int
    fire_at: int
    waiting: int


class TickCount(Struct, frozen=True):
    """How many ticks of one schedule had one outcome, and how late they were together."""

    schedule_id: int
    outcome: TickOutcome
    ticks: int
    late_ms: int


class ScheduleTotals(Struct, frozen=True):
    """How many schedules there are: in all, due now, due for some time, paused, and unable to fire."""

    schedules: int
    due: int
    overdue: int
    paused: int
    broken: int


class Plan(Struct, frozen=True):
    """What is to become of a schedule's due ticks, as far as that can be said without looking at its jobs."""

    fire: tuple[int, ...]
    """Ticks that get a job unless an earlier one is in the way, oldest first."""
    skip: tuple[tuple[int, TickOutcome, int], ...]
    """Ticks that get none: the first of them, why, and how many."""
    next_fire_at: int | None


def plan_ticks(schedule: AnySchedule, *, due_at: int, now: int) -> Plan:
    """Decide about the ticks from ``due_at``, which is one, to ``now``, by the misfire policy and the grace.

    The answer takes milliseconds however long ago ``due_at`` is.
    """
    options = schedule.options
    following = schedule.next_fire_ms(due_at)
    if following is None or following > now:
        found = Missed(ticks=(due_at,), count=1, exact=True)
    else:
        limit = options.max_catchup if options.misfire == "all" else 1
        found = schedule.missed(due_at - 1, now, limit=limit)
        following = schedule.next_fire_ms(now)
    oldest_allowed = now - _grace_ms(schedule)
    fire = tuple(tick for tick in found.ticks if tick >= oldest_allowed)
    return Plan(fire, tuple(_skipped(schedule, found, fire, due_at)), following)


def _grace_ms(schedule: AnySchedule) -> int:
    grace = schedule.options.misfire_grace_ms
    if grace is not None:
        return grace
    return LATE_WITHOUT_GRACE_MS if schedule.options.misfire == "skip" else 2**62


_WHY: dict[Literal["coalesce", "skip", "all"], TickOutcome] = {
    "coalesce": TickOutcome.COALESCED,
    "skip": TickOutcome.MISSED,
    "all": TickOutcome.CATCHUP,
}


def _skipped(
    schedule: AnySchedule, found: Missed, fire: tuple[int, ...], due_at: int
) -> Iterator[tuple[int, TickOutcome, int]]:
    misfire, grace = schedule.options.misfire, schedule.options.misfire_grace_ms
    too_late = TickOutcome.MISSED if grace is None else TickOutcome.GRACE
    older = found.count - len(found.ticks)
    if older:
        # What is folded into a job that is too late itself was dropped with it.
        yield due_at, _WHY[misfire] if fire else too_late, older
    stale = len(found.ticks) - len(fire)
    if stale:
        yield found.ticks[0], too_late, stale
