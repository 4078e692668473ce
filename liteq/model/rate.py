"""How many jobs may start in a time: ``Rate``, and the arithmetic of its tokens.

The tokens come at even intervals (the generic cell rate algorithm, ITU-T I.371: a leaky bucket that is kept as one
instant). What is stored of a rate is the instant of its next token, in microseconds; None before the first.
"""

import re
from functools import lru_cache
from typing import Self

import msgspec

from liteq.errors import InvalidOption
from liteq.model.names import shown

GRACE_US = 50_000
"""A token that is taken so late leaves the times of those behind it as they are: lateness does not add up."""
SHORTEST_INTERVAL_US = 100
LONGEST_PERIOD_MS = 366 * 86_400_000
LARGEST_BURST = 10_000
LONGEST_TEXT = 80

_UNITS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_WORDS = {
    "ms": "ms",
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
_LONG = {"s": "second", "min": "minute", "h": "hour", "d": "day"}
_FORM = r"(?a)(\d{1,9}) ?(?:/| per ) ?(\d{1,9})? ?([a-z]{1,7})(?: burst (\d{1,9}))?"
_HOW = "write '100/minute', '5/s', '3 per 10s' or '100/hour burst 20'"


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """``count`` starts in each ``per_ms``, evenly spaced; after a rest up to ``burst`` of them at once.

    In any period at most ``count + burst - 1`` start.

    Raises:
        InvalidOption: a number outside its range, or more than 10,000 a second.
    """

    count: int
    per_ms: int
    burst: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or self.per_ms < 1:
            raise InvalidOption(f"a rate lets at least one job start; to stop all, pause the queue ({_HOW})")
        if self.per_ms > LONGEST_PERIOD_MS:
            raise InvalidOption("the period of a rate must be at most 366 days")
        if not 1 <= self.burst <= LARGEST_BURST:
            raise InvalidOption(f"the burst of a rate must be from 1 to {LARGEST_BURST}, not {shown(self.burst)}")
        if self.count * SHORTEST_INTERVAL_US > self.per_ms * 1_000:
            raise InvalidOption(f"a rate must be at most {1_000_000 // SHORTEST_INTERVAL_US:,} a second")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``COUNT/PERIOD`` or ``COUNT per PERIOD``, with ``burst N`` behind it where wanted.

        A period is a unit, ``s``, ``minute``, ``h``, ``days``, ``ms`` and so on, with a number before it where wanted.
        """
        found = re.fullmatch(_FORM, " ".join(text.lower().split())) if len(text) <= LONGEST_TEXT else None
        unit = None if found is None else _WORDS.get(found[3])
        if found is None or unit is None:
            raise InvalidOption(f"{shown(text)} is no rate: {_HOW}")
        return cls(count=int(found[1]), per_ms=int(found[2] or 1) * _UNITS[unit], burst=int(found[4] or 1))

    def __str__(self) -> str:
        """Give the text that ``parse`` reads back as the same rate."""
        unit = next(unit for unit in reversed(_UNITS) if self.per_ms % _UNITS[unit] == 0)
        times = self.per_ms // _UNITS[unit]
        period = _LONG.get(unit, f"1{unit}") if times == 1 else f"{times}{unit}"
        return f"{self.count}/{period}" + (f" burst {self.burst}" if self.burst > 1 else "")

    @property
    def interval_us(self) -> int:
        """The time from one token to the next, rounded up: never faster than was promised."""
        return -(-self.per_ms * 1_000 // self.count)

    def tokens(self, next_us: int | None, now: int) -> int:
        """Give how many may start at ``now``, in milliseconds."""
        return max(0, (now * 1_000 - self._since(next_us, now)) // self.interval_us + 1)

    def spend(self, next_us: int | None, now: int, *, tokens: int = 1) -> int:
        """Give the instant of the next token after so many were taken; a negative number gives some back."""
        return self._since(next_us, now) + tokens * self.interval_us

    def next_at(self, next_us: int | None, now: int) -> int:
        """Give the millisecond in which a token is there, ``now`` if one is."""
        return max(now, -(-self._since(next_us, now) // 1_000))

    def full_at(self, next_us: int) -> int:
        """Give the millisecond from which what is stored says no more than nothing would."""
        return -(-(next_us + max(GRACE_US, (self.burst - 1) * self.interval_us)) // 1_000)

    def _since(self, next_us: int | None, now: int) -> int:
        """Give the instant since which tokens lie there."""
        now_us, interval = now * 1_000, self.interval_us
        if next_us is None:
            return now_us - (self.burst - 1) * interval
        if next_us > now_us + interval:
            # No token is ever further away: the clock was set back, or a slower rate was in force. It counts no more.
            return now_us
        if now_us - next_us <= GRACE_US:
            return next_us
        return max(next_us, now_us - max((self.burst - 1) * interval, (GRACE_US - 1) // interval * interval))


@lru_cache(maxsize=1024)
def stored_rate(text: str) -> Rate:
    """Read a rate that ``str`` made."""
    return Rate.parse(text)


def check_rate(value: object, *, what: str = "rate") -> Rate:
    """Give the rate that a user means: a ``Rate`` or its text. Raises TypeError and InvalidOption."""
    if isinstance(value, Rate):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a Rate or a str like '100/minute', not {type(value).__name__}")
    return Rate.parse(value)
