"""What is stored for a schedule that is declared, changed or resumed: worked out from values, without a clock."""

import warnings
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from liteq.errors import InvalidOption, InvalidSchedule
from liteq.model.firing import Advance, ScheduleRecord, ScheduleRow, Tick, TickOutcome
from liteq.model.schedule import AnySchedule, Cron, Every, Manual, decode_schedule
from liteq.model.schedules import ScheduleWarning
from liteq.model.template import Template
from liteq.schedule_steps import release_for

MOST_BACKFILLED = 10_000


class Declaration(Struct, frozen=True):
    """A schedule as a program declares it: not yet bound to a moment."""

    name: str
    schedule: AnySchedule
    template: Callable[[], Template]


def row_for(found: ScheduleRecord | None, wanted: Declaration, *, declared: bool, now: int) -> ScheduleRow | None:
    """Give the row that the declaration makes of what is stored, None where that says the same already."""
    made = wanted.template()
    if made.job.unique is not None and wanted.schedule.options.overlap == "cancel_running":
        raise InvalidOption("overlap='cancel_running' with a unique key would cancel the one job and skip the other")
    template = made.encode()
    old = None if found is None else _readable(found)
    schedule = wanted.schedule
    if found is not None and old is not None and found.error is None and old.declared() == schedule.declared():
        if found.job == template:
            return None
        # Only the job has changed: whatever is due stays due.
        return _row(found, wanted.name, old, template, declared=declared, next_fire_at=found.next_fire_at)
    bound = _bound(schedule, old, wanted.name, now)
    next_fire_at = bound.next_fire_ms(now)
    kept = found is not None and found.error is None and old is not None and _ticks_alike(old, bound)
    if found is not None and kept:
        next_fire_at = found.next_fire_at
    elif found is not None and found.next_fire_at is not None and old is not None and _same_beat(old, bound):
        # Other bounds, the same beat: what is due and still within them stays due, what was fired is not fired again.
        next_fire_at = bound.next_fire_ms(found.next_fire_at - 1)
    elif next_fire_at is None and not isinstance(bound, Manual):
        text = f"schedule {wanted.name!r} has no tick left: {bound.describe()}"
        warnings.warn(text, ScheduleWarning, stacklevel=2)
    anew = old is None or not _same_beat(old, bound)
    return _row(found, wanted.name, bound, template, declared=declared, next_fire_at=next_fire_at, anew=anew)


def _row(
    found: ScheduleRecord | None,
    name: str,
    schedule: AnySchedule,
    template: bytes,
    *,
    declared: bool,
    next_fire_at: int | None,
    anew: bool = False,
) -> ScheduleRow:
    return ScheduleRow(
        name=name,
        revision=None if found is None else found.revision,
        declared=declared,
        spec=schedule.encode(),
        job=template,
        anew=anew,
        next_fire_at=next_fire_at,
        # A tick that is kept is still the one that the old release had.
        tzdata=found.tzdata if found is not None and found.next_fire_at == next_fire_at else release_for(schedule),
    )


def _readable(found: ScheduleRecord) -> AnySchedule | None:
    try:
        return decode_schedule(found.spec)
    except InvalidSchedule:
        # Whatever it was, the declaration takes its place.
        return None


def _bound(schedule: AnySchedule, old: AnySchedule | None, name: str, now: int) -> AnySchedule:
    if isinstance(schedule, Cron):
        # Here an expression that a decorator only recorded is read.
        schedule.compiled()
    if isinstance(schedule, Every) and isinstance(old, Every):
        same_beat = old.period_ms == schedule.period_ms and old.options.start_at == schedule.options.start_at
        if same_beat and schedule.first_at is None:
            return replace(schedule, first_at=old.first_at)
    return schedule.bind(name=name, now_ms=now)


def _ticks_alike(old: AnySchedule, new: AnySchedule) -> bool:
    """Tell whether two values tick at the same instants, whatever becomes of the ticks."""
    bounds = ("start_at", "end_at", "max_runs")
    same_bounds = all(getattr(old.options, name) == getattr(new.options, name) for name in bounds)
    return same_bounds and _same_beat(old, new)


def _same_beat(old: AnySchedule, new: AnySchedule) -> bool:
    return replace(old, options=new.options) == new


def resumed(record: ScheduleRecord, *, catch_up: bool, now: int) -> tuple[Advance, Tick] | None:
    """Give the step past what was missed in the pause and its trace, None where nothing was or all is to be made up."""
    schedule = decode_schedule(record.spec)
    due_at = record.next_fire_at
    if due_at is None or due_at > now or catch_up:
        return None
    missed = schedule.missed(due_at - 1, now, limit=1)
    trace = Tick(schedule_id=record.id, fire_at=due_at, outcome=TickOutcome.PAUSED, ticks=max(missed.count, 1))
    step = Advance(
        schedule_id=record.id,
        revision=record.revision,
        expected=due_at,
        next_fire_at=schedule.next_fire_ms(now),
        tzdata=release_for(schedule),
    )
    return step, trace


def ticks_between(schedule: AnySchedule, first: int, last: int) -> list[int]:
    if isinstance(schedule, Manual):
        raise InvalidOption("a manual schedule has no ticks to fill in; trigger makes a job")
    ticks: list[int] = []
    tick = schedule.next_fire_ms(first - 1)
    while tick is not None and tick <= last:
        ticks.append(tick)
        if len(ticks) > MOST_BACKFILLED:
            raise InvalidOption(f"that is more than {MOST_BACKFILLED:,} ticks; fill in a shorter time")
        tick = schedule.next_fire_ms(tick)
    return ticks
