"""What is stored for a schedule that is declared, changed or resumed: worked out from values, without a clock."""

import warnings
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from liteq.errors import InvalidOption, InvalidSchedule
from liteq.model.firing import Advance, ScheduleRecord, ScheduleRow, Template, Tick, TickOutcome
from liteq.model.schedule import AnySchedule, Cron, Every, Manual, decode_schedule
from liteq.model.schedules import ScheduleWarning
from liteq.scheduler import release_for

MOST_BACKFILLED = 10_000


class Declaration(Struct, frozen=True):
    """A schedule as a program declares it: not yet bound to a moment."""

    name: str
    schedule: AnySchedule
    template: Callable[[], Template]


def row_for(found: ScheduleRecord | None, wanted: Declaration, *, declared: bool, now: int) -> ScheduleRow | None:
    """Give the row that the declaration makes of what is stored, None where that says the same already."""
    template = wanted.template().encode()
    old = None if found is None else _readable(found)
    schedule = wanted.schedule
    if found is not None and old is not None and found.error is None and old.declared() == schedule.declared():
        if found.job == template:
            return None
        # Only the job has changed: whatever is due stays due.
        return _row(found, wanted.name, old, template, declared=declared, next_fire_at=found.next_fire_at)
    bound = _bound(schedule, old, wanted.name, now)
    next_fire_at = bound.next_fire_ms(now)
    if found is not None and old is not None and _ticks_alike(old, bound):
        next_fire_at = found.next_fire_at
    elif next_fire_at is None and not isinstance(bound, Manual):
        text = f"schedule {wanted.name!r} has no tick left: {bound.describe()}"
        warnings.warn(text, ScheduleWarning, stacklevel=2)
    return _row(found, wanted.name, bound, template, declared=declared, next_fire_at=next_fire_at)


def _row(
    found: ScheduleRecord | None,
    name: str,
    schedule: AnySchedule,
    template: bytes,
    *,
    declared: bool,
    next_fire_at: int | None,
) -> ScheduleRow:
    return ScheduleRow(
        name=name,
        revision=None if found is None else found.revision,
        declared=declared,
        spec=schedule.encode(),
        job=template,
        next_fire_at=next_fire_at,
        tzdata=release_for(schedule),
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
    return same_bounds and replace(old, options=new.options) == new


def resumed(record: ScheduleRecord, *, catch_up: bool, now: int) -> tuple[Advance, Tick | None]:
    """Give the step that a resumed schedule takes, and the trace of what it missed while it was paused."""
    schedule = decode_schedule(record.spec)
    limit = schedule.options.max_runs
    spent = limit is not None and record.runs >= limit
    upcoming = None if spent else schedule.next_fire_ms(now)
    trace: Tick | None = None
    due_at = record.next_fire_at
    if due_at is not None and due_at <= now:
        if catch_up:
            upcoming = due_at
        else:
            missed = schedule.missed(due_at - 1, now, limit=1)
            trace = Tick(schedule_id=record.id, fire_at=due_at, outcome=TickOutcome.PAUSED, ticks=max(missed.count, 1))
    elif due_at is None and not isinstance(schedule, Every | Cron):
        upcoming = None
    step = Advance(
        schedule_id=record.id,
        revision=record.revision,
        expected=record.next_fire_at,
        next_fire_at=upcoming,
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
