"""How urgent a job is: a number, with names for the usual ones."""

from enum import IntEnum

from liteq.errors import InvalidOption
from liteq.model.names import shown

PRIORITY_MIN = -32768
PRIORITY_MAX = 32767


class Priority(IntEnum):
    """The usual priorities; any integer from -32768 to 32767 is one. Higher runs first."""

    LOW = -100
    NORMAL = 0
    HIGH = 100
    CRITICAL = 1000


def check_priority(value: object) -> int:
    """Give back the priority as a plain ``int``.

    Raises:
        TypeError: the value is no integer; ``True`` and ``1.0`` are none either.
        InvalidOption: it lies outside -32768 to 32767, the range of a 16-bit integer.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"priority must be an int, not {type(value).__name__}")
    if not PRIORITY_MIN <= value <= PRIORITY_MAX:
        raise InvalidOption(f"priority must be from {PRIORITY_MIN} to {PRIORITY_MAX}, not {shown(value)}")
    return int(value)
