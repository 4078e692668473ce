"""Ticks that have passed: the newest of them, found without counting through the rest.

Everything here asks only ``next_fire``, the first tick strictly later than an instant, which never falls as
the instant rises. That makes the past searchable by halving: ten years of minutes cost some forty questions.
"""

from collections.abc import Callable

import msgspec

NextFire = Callable[[int], int | None]

END_OF_TIME = 253_370_764_800_000
"""9999-01-01 in ms: nothing ticks from there on, for Python's calendar ends within the year."""

_COUNTED = 100


class Missed(msgspec.Struct, frozen=True):
    """The ticks that have passed, as far as anybody will want to know."""

    ticks: tuple[int, ...]
    """The newest ones, the oldest of them first, in ms since 1970."""
    count: int
    """How many ticks there were in all."""
    exact: bool
    """False: there were ``count`` or more."""


def latest(next_fire: NextFire, after_ms: int, now_ms: int) -> int | None:
    """Give the last tick later than ``after_ms`` and not later than ``now_ms``, or None."""

    def next_due(start_ms: int) -> int | None:
        tick = next_fire(start_ms)
        return None if tick is None or tick > now_ms else tick

    tick = next_due(after_ms)
    if tick is None or next_due(tick) is None:
        return tick
    end = now_ms
    while tick < end:
        middle = (tick + end) // 2
        later = next_due(middle)
        if later is None:
            end = middle
        else:
            tick = later
    return tick


def missed(next_fire: NextFire, after_ms: int, now_ms: int, *, limit: int) -> Missed:
    """Give the newest ``limit`` ticks later than ``after_ms`` and not later than ``now_ms``.

    They are counted as far as that is cheap: up to ``limit`` or a hundred, whichever is more.
    """
    most = max(limit, _COUNTED)
    oldest: list[int] = []
    tick = next_fire(after_ms)
    while tick is not None and tick <= now_ms and len(oldest) <= most:
        oldest.append(tick)
        tick = next_fire(tick)
    if len(oldest) <= most:
        return Missed(ticks=tuple(oldest[max(len(oldest) - limit, 0) :]), count=len(oldest), exact=True)
    return Missed(ticks=_newest(next_fire, after_ms, now_ms, limit), count=len(oldest), exact=False)


def _newest(next_fire: NextFire, after_ms: int, now_ms: int, limit: int) -> tuple[int, ...]:
    ticks: list[int] = []
    end, gap = now_ms, 1000
    while len(ticks) < limit:
        tick = _latest_near(next_fire, after_ms, end, gap)
        if tick is None:
            break
        gap = ticks[-1] - tick if ticks else gap
        ticks.append(tick)
        end = tick - 1
    return tuple(reversed(ticks))


def _latest_near(next_fire: NextFire, after_ms: int, end_ms: int, gap_ms: int) -> int | None:
    """Find the last tick up to ``end_ms``, looking ``gap_ms`` back first, then ever further."""
    while end_ms - gap_ms > after_ms:
        tick = next_fire(end_ms - gap_ms)
        if tick is not None and tick <= end_ms:
            return latest(next_fire, tick - 1, end_ms)
        gap_ms *= 4
    return latest(next_fire, after_ms, end_ms)
