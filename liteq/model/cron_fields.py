"""The seven fields of a cron expression: names, bounds, words. Nothing here reads an expression."""

import msgspec


class Field(msgspec.Struct, frozen=True):
    """One field. ``low`` to ``high`` are the values it can hold; ``words[i]`` is a name for ``low + i``."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many values the field can hold."""
        return self.high - self.low + 1


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY_OF_MONTH = Field("day of month", 1, 31)
MONTH = Field("month", 1, 12, MONTHS)
DAY_OF_WEEK = Field("day of week", 0, 6, WEEKDAYS)  # and 7, which is Sunday again
SECOND = Field("second", 0, 59)
YEAR = Field("year", 1970, 2099)

FIELDS = (MINUTE, HOUR, DAY_OF_MONTH, MONTH, DAY_OF_WEEK, SECOND, YEAR)
"""In the order in which they are written: five, or six with the second, or seven with the year."""

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""What crontab(5) says they stand for."""
