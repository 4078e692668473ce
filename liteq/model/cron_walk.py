"""Walking the calendar that a cron expression describes, on wall-clock time without a zone."""

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator
from datetime import MAXYEAR, datetime, timedelta
from functools import lru_cache

import msgspec

LAST = 0
"""In ``DayRule.nth``: the last such weekday of the month, as 1 is the first."""

_SECOND = timedelta(seconds=1)
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class DayRule(msgspec.Struct, frozen=True, cache_hash=True):
    """Which days of a month fire. Weekdays count from Sunday, 0."""

    dates: frozenset[int]
    weekdays: frozenset[int]
    last_date: bool = False
    nearest: int | None = None
    """Fires on the weekday, Monday to Friday, nearest to this date, instead of ``dates``."""
    nth: frozenset[tuple[int, int]] = frozenset()
    """Weekdays with their number in the month, 1 to 5 or LAST; if any, they stand instead of ``weekdays``."""
    either: bool = False
    """Both day fields are restricted: crontab(5) then fires on a day that matches *either*."""


@lru_cache(maxsize=4096)
def days_in_month(rule: DayRule, first: int, length: int) -> tuple[int, ...]:
    """Give the dates that fire in a month of ``length`` days whose 1st falls on weekday ``first``."""
    by_date = _matching_dates(rule, first, length)
    by_weekday = _matching_weekdays(rule, first, length)
    return tuple(sorted(by_date | by_weekday if rule.either else by_date & by_weekday))


def _matching_dates(rule: DayRule, first: int, length: int) -> set[int]:
    if rule.nearest is not None:
        return {_nearest_workday(rule.nearest, first, length)}
    dates = {date for date in rule.dates if date <= length}
    return dates | {length} if rule.last_date else dates


def _matching_weekdays(rule: DayRule, first: int, length: int) -> set[int]:
    weekdays = [(date, (first + date - 1) % 7) for date in range(1, length + 1)]
    if not rule.nth:
        return {date for date, weekday in weekdays if weekday in rule.weekdays}
    return {
        date
        for date, weekday in weekdays
        if (weekday, (date + 6) // 7) in rule.nth or (date + 7 > length and (weekday, LAST) in rule.nth)
    }


def _nearest_workday(date: int, first: int, length: int) -> int:
    """Stay inside the month, as Quartz and croniter do; a date that the month lacks is its last."""
    date = min(date, length)
    weekday = (first + date - 1) % 7
    if weekday == 6:
        return date - 1 if date > 1 else date + 2
    if weekday == 0:
        return date + 1 if date < length else date - 2
    return date


class Calendar(msgspec.Struct, frozen=True):
    """The wall-clock times of one expression, each field sorted. Immutable: threads may share it."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    years: tuple[int, ...] | None
    """None: every year."""
    days: DayRule

    def next_after(self, wall: datetime) -> datetime | None:
        """Give the first matching time strictly later than ``wall``, both naive; None when none is left."""
        start = wall + _SECOND
        today = self._dates(start.year, start.month)
        if self._has_year(start.year) and start.month in self.months and start.day in today:
            clock = self._clock_from(start.hour, start.minute, start.second)
            if clock is not None:
                return datetime(start.year, start.month, start.day, *clock)  # noqa: DTZ001  wall-clock time
        day = self._day_after(start)
        if day is None:
            return None
        return datetime(*day, self.hours[0], self.minutes[0], self.seconds[0])  # noqa: DTZ001  wall-clock time

    def fires_in(self, month: int) -> bool:
        """Tell whether any year has a day in ``month`` that fires.

        Without a year field nothing else needs looking at: every month begins on each weekday in turn, and
        February 29 falls on each of them within forty years, so the answer is exact.
        """
        if self.years is not None:
            return any(self._dates(year, month) for year in self.years)
        return any(days_in_month(self.days, first, _LONGEST[month - 1]) for first in range(7))

    def _clock_from(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        for h in self.hours[bisect_left(self.hours, hour) :]:
            if h > hour:
                return h, self.minutes[0], self.seconds[0]
            for m in self.minutes[bisect_left(self.minutes, minute) :]:
                if m > minute:
                    return h, m, self.seconds[0]
                at = bisect_left(self.seconds, second)
                if at < len(self.seconds):
                    return h, m, self.seconds[at]
        return None

    def _day_after(self, day: datetime) -> tuple[int, int, int] | None:
        for year, month in self._months_from(day.year, day.month):
            dates = self._dates(year, month)
            at = bisect_left(dates, day.day + 1) if (year, month) == (day.year, day.month) else 0
            if at < len(dates):
                return year, month, dates[at]
        return None

    def _months_from(self, year: int, month: int) -> Iterator[tuple[int, int]]:
        years = range(year, MAXYEAR) if self.years is None else self.years[bisect_left(self.years, year) :]
        for y in years:
            for m in self.months:
                if (y, m) >= (year, month):
                    yield y, m

    def _has_year(self, year: int) -> bool:
        return self.years is None or year in self.years

    def _dates(self, year: int, month: int) -> tuple[int, ...]:
        weekday, length = monthrange(year, month)
        return days_in_month(self.days, (weekday + 1) % 7, length)
