"""Durations and instants in plain English, for sentences about schedules."""

from liteq.clock import to_datetime

_WEEK = 7 * 86_400_000
_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000), ("millisecond", 1))


def instant_words(ms: int) -> str:
    """Give an instant to the second: ``2027-01-01 00:00:00 UTC``."""
    return f"{to_datetime(ms):%Y-%m-%d %H:%M:%S} UTC"


def duration_words(ms: int) -> str:
    """Give a duration, to follow *every*: ``10 minutes``, ``1 hour and 30 minutes``, ``day``."""
    if ms % _WEEK == 0:
        return "week" if ms == _WEEK else f"{ms // _WEEK} weeks"
    parts: list[str] = []
    for unit, length in _UNITS:
        number, ms = divmod(ms, length)
        if number:
            parts.append(f"{number} {unit}{'s' if number > 1 else ''}")
    if len(parts) == 1:
        return parts[0].removeprefix("1 ")
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
