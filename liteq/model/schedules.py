"""``cron``, ``every``, ``at`` and ``manual``: how a schedule is written.

All of them take the options of ``ScheduleOptions`` by keyword, and raise InvalidOption or TypeError for
those.
"""

import warnings
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Unpack

from liteq.errors import InvalidOption, InvalidSchedule
from liteq.model.cron_check import MAX_LENGTH
from liteq.model.instants import instant_ms, to_ms
from liteq.model.schedule import At, Cron, Every, Manual
from liteq.model.schedule_options import ScheduleOptions, read_options

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo  # 2 ms to load

_MAX_PERIOD_MS = 3653 * 86_400_000
_FINEST_MS = 1000


class ScheduleWarning(UserWarning):
    """A schedule that is legal, but seldom what was meant."""


def cron(expr: str, *, timezone: "str | ZoneInfo" = "UTC", **options: Unpack[ScheduleOptions]) -> Cron:
    """Give a schedule by minute, hour, day of month, month, day of week, and if wanted second and year.

    ``timezone`` is UTC unless named, never the machine's: a schedule that lives in a file must mean the same
    on every machine that opens it. Raises InvalidSchedule, naming the field, for an expression that is not
    fully understood or would never fire; warns (ScheduleWarning) of what is seldom meant.
    """
    schedule = cron_later(expr, timezone=timezone, **options)
    for sentence in schedule.compiled().warnings:
        warnings.warn(sentence, ScheduleWarning, stacklevel=2)
    return schedule


def cron_later(expr: str, *, timezone: "str | ZoneInfo" = "UTC", **options: Unpack[ScheduleOptions]) -> Cron:
    """Give the same schedule unread, for decorators: a mistake in the expression shows at its first use."""
    key = getattr(timezone, "key", timezone)  # zoneinfo need not be loaded to see that it is none of its own
    return Cron(expr=_text(expr, "cron"), timezone=_text(key, "time zone"), options=read_options(options))


def every(
    period: timedelta | float | None = None,
    *,
    weeks: float = 0,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    **options: Unpack[ScheduleOptions],
) -> Every:
    """Give a schedule by elapsed time: ``every(minutes=10)``, or a ``timedelta``, or a number of seconds.

    It ticks at ``start_at`` and each period after it; without ``start_at``, first one period after the
    schedule is made. Raises InvalidOption for a period that is not 1 ms to ten years or no longer than the
    jitter; warns (ScheduleWarning) below one second, since due schedules are looked for about once a second.
    """
    kept = read_options(options)
    units = {"weeks": weeks, "days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
    period_ms = to_ms(_period(period, units), what="every", allow_zero=False)
    if period_ms > _MAX_PERIOD_MS:
        raise InvalidOption("every must be at most ten years")
    if kept.max_jitter_ms >= period_ms:
        raise InvalidOption("jitter must be shorter than the period, or a tick's job could overtake the next one's")
    if period_ms < _FINEST_MS:
        text = f"every {period_ms} ms: due schedules are looked for about once a second"
        warnings.warn(text, ScheduleWarning, stacklevel=2)
    return Every(period_ms=period_ms, first_at=kept.start_at, options=kept)


def at(moment: datetime, **options: Unpack[ScheduleOptions]) -> At:
    """Give a schedule that ticks once. Raises InvalidOption when ``moment`` has no time zone."""
    return At(fire_at=instant_ms(moment, what="at"), options=read_options(options))


def manual(**options: Unpack[ScheduleOptions]) -> Manual:
    """Give a schedule that fires only when somebody triggers it."""
    return Manual(options=read_options(options))


def _period(period: timedelta | float | None, units: dict[str, float]) -> timedelta | float:
    if period is None:
        try:
            return timedelta(**units)
        except (ValueError, OverflowError) as error:
            raise InvalidOption(f"every: {error}") from None
    if any(units.values()):
        raise InvalidOption("every takes a period or units such as minutes=10, not both")
    return period


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if len(value) > MAX_LENGTH:
        raise InvalidSchedule(f"{what}: {len(value):,} characters are too many; {MAX_LENGTH} are allowed")
    return value
