"""Wall-clock time and instants: which of them a time zone repeats, and which it leaves out.

A *fold* is the hour that a clock set back shows twice, a *gap* the one that a clock set forward never shows.
The ``fold`` attribute of PEP 495 asks a zone about both: inside a fold, ``fold=0`` and ``fold=1`` give the
offsets of the first and the second pass; inside a gap, those before and after it. Instants here are whole
seconds since 1970, UTC: zone-aware datetimes of one zone compare by wall clock, which goes wrong exactly
where it matters.
"""

from bisect import bisect_left
from datetime import datetime, timedelta, tzinfo

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  wall-clock time
_SECOND = timedelta(seconds=1)
_NOTHING = timedelta(0)


def wall_at(zone: tzinfo, instant: int) -> datetime:
    """Give the naive wall-clock time of an instant; its ``fold`` is 1 in the second pass of a fold."""
    return datetime.fromtimestamp(instant, zone).replace(tzinfo=None)


def offset_at(zone: tzinfo, instant: int) -> int:
    """Give the zone's distance from UTC at an instant, in seconds, positive to the east."""
    return _offset(zone, datetime.fromtimestamp(instant, zone))


def offsets(zone: tzinfo, wall: datetime) -> tuple[int, int]:
    """Give the offsets of a wall-clock time, in seconds, for ``fold=0`` and for ``fold=1`` (PEP 495).

    Equal for nearly all times; the second is the smaller inside a fold and the greater inside a gap.
    """
    return _offset(zone, wall.replace(fold=0)), _offset(zone, wall.replace(fold=1))


def instant_of(wall: datetime, offset: int) -> int:
    """Give the instant at which a clock that is ``offset`` seconds ahead of UTC shows ``wall``."""
    return (wall - _EPOCH) // _SECOND - offset


def transition_between(zone: tzinfo, low: int, high: int) -> int:
    """Give the first instant of (``low``, ``high``] with the offset that holds at ``high``.

    There must be one change of the offset in between.
    """
    target = offset_at(zone, high)
    return low + 1 + bisect_left(range(low + 1, high), 1, key=lambda instant: offset_at(zone, instant) == target)


def end_of_change(zone: tzinfo, wall: datetime) -> datetime:
    """Give the wall-clock time at which the gap or the fold around ``wall`` is over.

    Where there is neither, that is a second later.
    """
    before, later = offsets(zone, wall)
    if before == later:
        return wall + _SECOND
    one, other = instant_of(wall, before), instant_of(wall, later)
    change = transition_between(zone, min(one, other), max(one, other))
    return _EPOCH + timedelta(seconds=change + max(before, later))


def _offset(zone: tzinfo, moment: datetime) -> int:
    return (zone.utcoffset(moment) or _NOTHING) // _SECOND
