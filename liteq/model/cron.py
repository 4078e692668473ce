"""Cron expressions: from text to ticks. The only file that imports croniter, and only when one is compiled.

croniter expands the fields; liteq checks the text before (``cron_check``), walks the calendar on wall-clock
time (``cron_walk``) and places the result in the time zone here, by the promise of Debian's cron(8):

- A schedule is a *wildcard* when the text of its minute or its hour begins with ``*``; else it is *fixed*.
- A clock set forward by less than three hours: wildcard ticks in the gap do not happen; fixed ones happen
  once, at the first instant after it.
- A clock set back by less than three hours: wildcard ticks happen in both passes, fixed ones in the first
  only.
- A greater shift gets no special care: what the clock does not show does not happen, what it shows twice
  happens twice.
"""

from datetime import datetime, timedelta, tzinfo
from functools import cache, lru_cache
from typing import Literal, Protocol, cast

import msgspec

from liteq.errors import InvalidSchedule
from liteq.model.cron_check import both_days, read_fields, warnings_about
from liteq.model.cron_fields import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    FIELDS,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    YEAR,
    Field,
)
from liteq.model.cron_hash import has_hash, resolve_hashes
from liteq.model.cron_walk import LAST, Calendar, DayRule
from liteq.model.ticks import END_OF_TIME
from liteq.model.wall_clock import end_of_change, instant_of, offset_at, offsets, transition_between, wall_at
from liteq.timezones import load_zone

_CARE = 3 * 60 * 60
_TICK = timedelta(seconds=1)


class CronSpec(msgspec.Struct, frozen=True):
    """A compiled expression in its time zone. Immutable: any number of threads may ask it at once."""

    calendar: Calendar
    zone: tzinfo
    fixed: bool
    hashed: bool
    """A field is ``H``: the ticks are those of the name that it was compiled with."""
    warnings: tuple[str, ...]
    """What is legal in the expression but seldom meant, a sentence each."""

    def next_fire(self, after_ms: int) -> int | None:
        """Give the first tick strictly later than ``after_ms``, in ms since 1970; None when there is none.

        Instants before 1970 count as 1970; asked from the year 9999 on, the answer is None.
        """
        if after_ms >= END_OF_TIME:
            return None
        after = max(after_ms // 1000, -1)
        wall = wall_at(self.zone, after)
        before, later = offsets(self.zone, wall)
        ahead = self._search(wall, after)
        if later < before and wall.fold == 0 and self._repeats(before - later):
            ahead = _earlier(ahead, self._search_second_pass(after, before - later))
        return None if ahead is None else ahead * 1000

    def next_fires(self, after_ms: int, count: int) -> list[int]:
        """Give up to ``count`` ticks strictly later than ``after_ms``, in order, in ms since 1970."""
        ticks: list[int] = []
        while len(ticks) < count and (tick := self.next_fire(ticks[-1] if ticks else after_ms)) is not None:
            ticks.append(tick)
        return ticks

    def touched(self, tick_ms: int) -> Literal["gap", "fold"] | None:
        """Tell what the zone does to a tick.

        ``gap``: the tick stands for a time that the clock skips. ``fold``: the clock shows the tick's time
        twice.
        """
        tick = tick_ms // 1000
        wall = wall_at(self.zone, tick)
        before, later = offsets(self.zone, wall)
        if later < before:
            return "fold"
        skipped = offset_at(self.zone, tick) - offset_at(self.zone, tick - 1)
        if self.fixed and 0 < skipped < _CARE:
            first = self.calendar.next_after(wall - timedelta(seconds=skipped) - _TICK)
            if first is not None and first < wall:
                return "gap"
        return None

    def _search(self, wall: datetime, after: int) -> int | None:
        """Find the first tick later than ``after`` among the times that are shown after ``wall``."""
        while (candidate := self.calendar.next_after(wall)) is not None:
            tick = self._place(candidate, after)
            if tick is not None:
                return tick
            # What keeps this time from firing keeps all that is left of the gap or fold: in a day that a zone
            # leaves out there may be 86,400 times.
            wall = end_of_change(self.zone, candidate) - _TICK
        return None

    def _search_second_pass(self, after: int, shift: int) -> int | None:
        """Find the first tick among the times that a clock set back by ``shift`` will show again."""
        start = transition_between(self.zone, after, after + shift)
        return self._search(wall_at(self.zone, start) - _TICK, after)

    def _place(self, wall: datetime, after: int) -> int | None:
        """Give the instant later than ``after`` at which ``wall`` fires, or None when it does not."""
        before, later = offsets(self.zone, wall)
        first, second = instant_of(wall, before), instant_of(wall, later)
        if later > before:
            if not self.fixed or later - before >= _CARE:
                return None
            first = transition_between(self.zone, second, first)
        if first > after:
            return first
        return second if second > after and later < before and self._repeats(before - later) else None

    def _repeats(self, shift: int) -> bool:
        return not self.fixed or shift >= _CARE


def compile_cron(expr: str, *, timezone: str, name: str = "") -> CronSpec:
    """Compile an expression for a time zone; ``name`` is what ``H`` draws its values from.

    The last few thousand results are kept, since the firing path asks by text. Raises InvalidSchedule, naming
    the field, for an expression that is not fully understood or would never fire, and for an unknown time
    zone.
    """
    return _compile(expr, timezone, name)


@lru_cache(maxsize=16_384)
def _compile(expr: str, timezone: str, name: str) -> CronSpec:
    zone = load_zone(timezone)
    written = read_fields(expr)
    fields = resolve_hashes(written, name)
    calendar = _expand(fields)
    _check_it_fires(calendar, written)
    return CronSpec(
        calendar=calendar,
        zone=zone,
        fixed=not written[0].startswith("*") and not written[1].startswith("*"),
        hashed=has_hash(written),
        warnings=warnings_about(written),
    )


class _Parsed(Protocol):
    """What liteq reads of a ``croniter`` object."""

    expanded: list[list[int | str]]
    nth_weekday_of_month: dict[int, set[int | str]]
    nearest_weekday: set[int]


def _expand(fields: tuple[str, ...]) -> Calendar:
    # Here, since loading it takes up to a third of a second that most programs never need.
    from croniter import CroniterError, croniter  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        parsed = cast("_Parsed", croniter(" ".join(fields), 0))
    except CroniterError as error:
        raise InvalidSchedule(f"cron: {' '.join(fields)!r} cannot be read: {error}") from None
    values = dict(zip(FIELDS, parsed.expanded, strict=False))
    return Calendar(
        seconds=_numbers(SECOND, values.get(SECOND, [0])),
        minutes=_numbers(MINUTE, values[MINUTE]),
        hours=_numbers(HOUR, values[HOUR]),
        months=_numbers(MONTH, values[MONTH]),
        years=None if values.get(YEAR, ["*"]) == ["*"] else _numbers(YEAR, values[YEAR]),
        days=_shared(_day_rule(parsed, either=both_days(fields))),
    )


def _day_rule(parsed: _Parsed, *, either: bool) -> DayRule:
    dates, weekdays = parsed.expanded[2], parsed.expanded[4]
    nth = parsed.nth_weekday_of_month.items()
    return DayRule(
        dates=frozenset(_numbers(DAY_OF_MONTH, dates)),
        weekdays=frozenset(_numbers(DAY_OF_WEEK, weekdays)),
        last_date="l" in dates,
        nearest=next(iter(parsed.nearest_weekday), None),
        nth=frozenset((weekday, LAST if n == "l" else int(n)) for weekday, ns in nth for n in ns),
        either=either,
    )


@lru_cache(maxsize=1024)
def _shared(rule: DayRule) -> DayRule:
    """Give the one rule that stands for all equal ones: ten thousand schedules rarely know a hundred."""
    return rule


@cache
def _all_of(field: Field) -> tuple[int, ...]:
    return tuple(range(field.low, field.high + 1))


def _numbers(field: Field, values: list[int | str]) -> tuple[int, ...]:
    if "*" in values:
        return _all_of(field)
    return tuple(sorted(value for value in values if isinstance(value, int)))


def _check_it_fires(calendar: Calendar, written: tuple[str, ...]) -> None:
    if written[3].startswith("h"):
        if not all(calendar.fires_in(month) for month in range(1, 13)):
            raise InvalidSchedule(f"day of month: {written[2]!r} is missing in some month that H may draw")
    elif not any(calendar.fires_in(month) for month in calendar.months):
        when = f"month {written[3]!r}" + (f" of year {written[6]!r}" if calendar.years else "")
        raise InvalidSchedule(f"day of month: {written[2]!r} never comes in {when}: it would never fire")


def _earlier(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
