"""``H`` in a cron expression: a value drawn from the schedule's name, so that many schedules spread out.

Written out here and not left to croniter, whose draw could change with a release and gives ``H`` in the day
of month up to 31, so that some names would skip the short months. Jenkins, where ``H`` comes from, stops at
28 as well.
"""

import re

from liteq.model.cron_check import HASH
from liteq.model.cron_fields import DAY_OF_MONTH, FIELDS, Field
from liteq.model.draw import drawn_from

_IN_EVERY_MONTH = 28


def has_hash(fields: tuple[str, ...]) -> bool:
    """Tell whether a field is hashed, so that the ticks depend on the schedule's name."""
    return any(HASH.fullmatch(text) for text in fields)


def resolve_hashes(fields: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Give the fields with each ``H`` replaced by what ``name`` draws: always the same."""
    pairs = zip(FIELDS, fields, strict=False)
    return tuple(_drawn(field, match, name) if (match := HASH.fullmatch(text)) else text for field, text in pairs)


def _drawn(field: Field, match: re.Match[str], name: str) -> str:
    low = int(match["low"] or field.low)
    high = int(match["high"] or (_IN_EVERY_MONTH if field is DAY_OF_MONTH else field.high))
    width = high - low + 1
    step = int(match["step"] or width)
    value = low + drawn_from(f"{field.name}:{name}") % min(step, width)
    return f"{value}-{high}/{step}" if value + step <= high else str(value)
