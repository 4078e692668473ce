"""Durations and instants on their way in: from what users write to whole milliseconds."""

import math
from datetime import UTC, datetime, timedelta

from liteq.errors import InvalidOption
from liteq.model.names import shown

MAX_DURATION_MS = 36_525 * 24 * 3600 * 1000
"""A hundred years."""

_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_LAST_MS = (_LAST - _EPOCH) // _MILLISECOND


def to_ms(value: object, *, what: str, minimum_ms: int = 0, allow_zero: bool = True) -> int:
    """Give a duration, a ``timedelta`` or a number of seconds, as whole milliseconds.

    It is rounded to the nearest millisecond, but what is above zero never becomes zero.

    Raises:
        TypeError: neither a ``timedelta`` nor a number; ``True`` and ``"1"`` are no numbers.
        InvalidOption: negative, NaN, infinite, below ``minimum_ms``, above 100 years, or zero where
            ``allow_zero`` is false. The message begins with ``what``.
    """
    if isinstance(value, bool) or not isinstance(value, (timedelta, int, float)):
        raise TypeError(f"{what} must be a timedelta or a number of seconds, not {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidOption(f"{what} must be a finite number of seconds, not {value}")
    exact = value / _MILLISECOND if isinstance(value, timedelta) else value * 1000
    if exact < 0:
        raise InvalidOption(f"{what} must be zero or more, not {shown(value)}")
    if exact > MAX_DURATION_MS:
        raise InvalidOption(f"{what} must be at most 100 years, not {shown(value)}")
    if not exact and not allow_zero:
        raise InvalidOption(f"{what} must be above zero")
    milliseconds = max(round(exact), 1) if exact else 0
    if milliseconds < minimum_ms:
        raise InvalidOption(f"{what} must be at least {minimum_ms} ms, not {shown(value)}")
    return milliseconds


def instant_ms(value: object, *, what: str) -> int:
    """Give an aware ``datetime`` as whole milliseconds since 1970 in UTC, rounded down.

    A wall time that a clock change skips (a gap) is moved to the gap's end: 02:30 becomes 03:00 where the
    clock goes from 02:00 to 03:00. One that occurs twice (a fold) is its first pass, unless ``fold=1`` asks
    for the second. Both are recognised as PEP 495 says: the offset of a wall time depends on ``fold`` there.

    Raises:
        TypeError: the value is no ``datetime``.
        InvalidOption: it has no time zone, or lies before 1970 or after 9999.
    """
    if not isinstance(value, datetime):
        raise TypeError(f"{what} must be a datetime, not {type(value).__name__}")
    before, after = value.replace(fold=0).utcoffset(), value.replace(fold=1).utcoffset()
    if before is None or after is None:
        raise InvalidOption(f"{what} needs a time zone: {shown(value.isoformat())} has none")
    milliseconds = (value - _EPOCH) // _MILLISECOND
    if not 0 <= milliseconds <= _LAST_MS:
        raise InvalidOption(f"{what} must be from 1970 to 9999, not {shown(value.isoformat())}")
    return _end_of_gap_ms(value, before, after) if after > before else milliseconds


def _end_of_gap_ms(value: datetime, before: timedelta, after: timedelta) -> int:
    """Find the instant of the clock change: the first millisecond at which the later offset holds."""
    wall_ms = (value.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
    early, late = wall_ms - after // _MILLISECOND, wall_ms - before // _MILLISECOND
    while early + 1 < late:
        middle = (early + late) // 2
        local = (_EPOCH + middle * _MILLISECOND).astimezone(value.tzinfo)
        if local.utcoffset() == before:
            early = middle
        else:
            late = middle
    return late
