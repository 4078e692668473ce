"""How often something may happen: a number of times in a second, minute, hour or day."""

import re

import msgspec

from liteq.errors import InvalidOption
from liteq.model.names import shown

_UNITS_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_WRITTEN = re.compile(r"([0-9]{1,9}) ?/ ?(second|minute|hour|day)", re.ASCII)


class Rate(msgspec.Struct, frozen=True):
    """So many times in so many milliseconds."""

    times: int
    per_ms: int

    @property
    def interval_ms(self) -> int:
        """How far apart the times are if they are spread evenly, rounded up: at least 1."""
        return -(-self.per_ms // self.times)

    def __str__(self) -> str:
        unit = next((name for name, ms in _UNITS_MS.items() if ms == self.per_ms), f"{self.per_ms} ms")
        return f"{self.times:,}/{unit}"


def read_rate(value: object, *, what: str) -> Rate:
    """Give the rate that a text like ``20/minute`` means; the units are second, minute, hour and day.

    Raises:
        TypeError: the value is no ``str``.
        InvalidOption: it cannot be read, is zero, or is more than one in a millisecond.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str like '20/minute', not {type(value).__name__}")
    found = _WRITTEN.fullmatch(value)
    if found is None:
        raise InvalidOption(f"{what} must be like '20/minute' (second, minute, hour, day), not {shown(value)}")
    rate = Rate(int(found[1]), _UNITS_MS[found[2]])
    if not 1 <= rate.times <= rate.per_ms:
        raise InvalidOption(f"{what} must be from 1/day to 1000/second, not {shown(value)}")
    return rate
