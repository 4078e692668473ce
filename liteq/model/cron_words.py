"""A cron calendar in plain English.

The sentence is built from the expanded values, never from the text, so it says what will happen. Where no
idiom fits, it names the fields and lists their values.
"""

import re
from collections.abc import Callable, Iterable
from itertools import product

from liteq.model.cron_fields import HOUR, MINUTE, SECOND, Field
from liteq.model.cron_walk import LAST, Calendar, DayRule

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_PLACES = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", LAST: "last"}
_FEW = 4
_A_TIME = re.compile(r"at \d\d:")
_ALL_DATES = frozenset(range(1, 32))
_ALL_WEEKDAYS = frozenset(range(7))


def describe_calendar(calendar: Calendar) -> str:
    """Give the calendar as words: ``at 09:30 on Monday to Friday``."""
    months = "" if len(calendar.months) == 12 else listed(calendar.months, lambda month: _MONTHS[month - 1])
    clock = _clock(calendar)
    days = _days(calendar.days, months, otherwise="every day" if _A_TIME.match(clock) else "")
    sentence = f"{clock} {days}".rstrip()
    return sentence if calendar.years is None else f"{sentence}, in {listed(calendar.years, str)}"


def listed(values: Iterable[int], show: Callable[[int], str]) -> str:
    """Give sorted numbers as words, runs of three and more shortened: ``1 to 5, 8 and 9``."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return _joined(
        [word for run in runs for word in ([f"{show(run[0])} to {show(run[-1])}"] if len(run) > 2 else map(show, run))]
    )


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _clock(calendar: Calendar) -> str:
    if calendar.seconds == (0,):
        return _minutes(calendar.minutes, calendar.hours)
    times = list(product(calendar.hours, calendar.minutes, calendar.seconds))[: _FEW + 1]
    if len(times) <= _FEW:
        return "at " + _joined([f"{hour:02}:{minute:02}:{second:02}" for hour, minute, second in times])
    step = _even_step(calendar.seconds, SECOND)
    seconds = _every(step, "second") if step else f"at second {listed(calendar.seconds, str)}"
    minutes = _minutes(calendar.minutes, calendar.hours)
    if minutes == "every minute":
        return seconds if step else f"{seconds} of every minute"
    if minutes.startswith("every minute "):
        return f"{seconds} of {minutes}"
    return f"{seconds} within the minute, {minutes}"


def _minutes(minutes: tuple[int, ...], hours: tuple[int, ...]) -> str:
    if len(minutes) * len(hours) <= _FEW:
        return "at " + _joined([_time(hour, minute) for hour, minute in product(hours, minutes)])
    step, hour_step = _even_step(minutes, MINUTE), _even_step(hours, HOUR)
    often = _every(step, "minute") if step else f"at minute {listed(minutes, str)}"
    if hour_step == 1:
        return often if step else f"{often} of every hour"
    if hours[-1] - hours[0] < len(hours):
        if step:
            return f"{often} from {_time(hours[0], 0)} to {_time(hours[-1], minutes[-1])}"
        if len(minutes) == 1:
            return f"every hour from {_time(hours[0], minutes[0])} to {_time(hours[-1], minutes[0])}"
    if hour_step and len(hours) > _FEW:
        return f"{often} of every {_ordinal(hour_step)} hour"
    return f"{often} of the hour{'s' if len(hours) > 1 else ''} {listed(hours, str)}"


def _even_step(values: tuple[int, ...], field: Field) -> int | None:
    """Give n when the values are every n-th of the field, round its cycle without a seam."""
    step = field.width // len(values)
    return step if len(values) > 1 and values == tuple(range(field.low, field.high + 1, step)) else None


def _every(step: int, unit: str) -> str:
    return f"every {unit}" if step == 1 else f"every {step} {unit}s"


def _days(rule: DayRule, months: str, *, otherwise: str) -> str:
    """Give the days and the months; ``otherwise`` stands for the days when all of them fire."""
    dates, weekdays = _dates(rule, months or "the month"), _weekdays(rule, months or "the month")
    if rule.either:
        phrase = f"{dates} and also {weekdays}" if dates and weekdays else otherwise
    elif dates or rule.nth:
        return dates or weekdays
    else:
        phrase = weekdays or otherwise
    return f"{phrase} in {months}".lstrip() if months else phrase


def _dates(rule: DayRule, month: str) -> str:
    if rule.nearest is not None:
        return f"on the weekday nearest to the {_ordinal(rule.nearest)} of {month}"
    if rule.dates == _ALL_DATES:
        return ""
    dates = sorted(rule.dates)
    step = dates[1] - dates[0] if len(dates) > _FEW else 1
    if step > 1 and dates == list(range(dates[0], dates[-1] + 1, step)) and not rule.last_date:
        first, last = _ordinal(dates[0]), _ordinal(dates[-1])
        return f"on every {_ordinal(step)} day from the {first} to the {last} of {month}"
    words = [listed(dates, _ordinal)] if dates else []
    return f"on the {_joined([*words, 'last day'] if rule.last_date else words)} of {month}"


def _weekdays(rule: DayRule, month: str) -> str:
    if rule.nth:
        pairs = sorted(rule.nth, key=lambda pair: (pair[1] or len(_PLACES), _from_monday(pair[0])))
        return f"on the {_joined([f'{_PLACES[nth]} {_WEEKDAYS[weekday]}' for weekday, nth in pairs])} of {month}"
    if rule.weekdays == _ALL_WEEKDAYS:
        return ""
    return f"on {listed(sorted(map(_from_monday, rule.weekdays)), lambda day: _WEEKDAYS[day % 7])}"


def _from_monday(weekday: int) -> int:
    return weekday or 7


def _time(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


def _ordinal(number: int) -> str:
    if number in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
