"""Reading the text of a cron expression: what liteq understands, and a refusal for all else.

croniter expands what passes here. Its own grammar is wider: it reads ``5-5`` as *every*, ``31-L`` likewise,
``5-0`` in the month as May to December, ``6-2/2`` with the wrong step after the wrap, ``*/90`` as hourly,
``0-6,1#2`` as ``1#2``, ``@daily`` as a random time once ``H`` is enabled, and drops one day field beside
``#`` or ``W``.
"""

import re
from typing import NoReturn

from liteq.errors import InvalidSchedule
from liteq.model.cron_fields import DAY_OF_MONTH, DAY_OF_WEEK, FIELDS, NICKNAMES, YEAR, Field

MAX_LENGTH = 255
ANY_DAY = ("*", "?")

HASH = re.compile(r"h(?:\((?P<low>\d{1,2})-(?P<high>\d{1,2})\))?(?:/(?P<step>\d{1,4}))?", re.ASCII)
_STAR = re.compile(r"\*(?:/(?P<step>\d{1,4}))?", re.ASCII)
_RANGE = re.compile(r"(?P<low>\d{1,4}|[a-z]{3})(?:-(?P<high>\d{1,4}|[a-z]{3}|l))?(?:/(?P<step>\d{1,4}))?", re.ASCII)
_NEAREST = re.compile(r"(\d{1,2})w|w(\d{1,2})", re.ASCII)
_LAST_WEEKDAY = re.compile(r"l[0-7]", re.ASCII)
_NTH_WEEKDAY = re.compile(r"([0-7]|[a-z]{3}(?:-[a-z]{3})?)#[1-5]", re.ASCII)

_HINTS = (
    (r"", "has an empty entry in its list"),
    (r"r(\W.*)?", "is random, so it would differ from process to process; write H"),
    (r"h(\W.*)?", "H stands alone in its field: H, H/10, H(0-29) or H(0-29)/10"),
    (r"([0-7]|[a-z]{3})l", "cannot be read; the last Friday of a month is written L5"),
    (r"l|lw|l-\d+", "is not supported here"),
    (r"[a-z]{4,}.*", "cannot be read; names have three letters, such as MON or JAN"),
    (r".+#.*", "cannot be read; the second Friday of a month is written FRI#2, up to #5"),
)


def read_fields(expr: str) -> tuple[str, ...]:
    """Give the five, six or seven fields in lower case, a nickname such as ``@daily`` spelled out.

    Raises InvalidSchedule, naming the field, for everything that is not understood completely. Whether the
    days exist at all is for the caller to see, from the calendar.
    """
    fields = _split(expr)
    for field, text in zip(FIELDS, fields, strict=False):
        _check_field(field, text)
    _check_day_fields(fields[2], fields[4])
    return fields


def warnings_about(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Give a sentence for each thing that is legal but seldom meant."""
    minute, _, date, _, weekday, *rest = fields
    found: list[str] = []
    if both_days(fields) and "*" in (date[0], weekday[0]):
        found.append(f"day of month {date!r} and day of week {weekday!r}: it fires on days that match either, not both")
    if rest and rest[0].startswith("*") and not minute.startswith("*"):
        found.append(f"second {rest[0]!r}: the sixth field is the second, so it fires many times within a minute")
    return tuple(found)


def both_days(fields: tuple[str, ...]) -> bool:
    """Tell whether both day fields are restricted: crontab(5) then fires on days that match either."""
    return fields[2] not in ANY_DAY and fields[4] not in ANY_DAY


def _split(expr: str) -> tuple[str, ...]:
    if len(expr) > MAX_LENGTH:
        raise InvalidSchedule(f"cron: the expression has {len(expr):,} characters; {MAX_LENGTH} are allowed")
    if not expr.isascii():
        raise InvalidSchedule(f"cron: {expr!r} has characters outside ASCII")
    text = expr.strip().lower()
    if text == "@reboot":
        raise InvalidSchedule("cron: '@reboot' names no time; enqueue a job when the program starts")
    if text.startswith("@") and text not in NICKNAMES:
        raise InvalidSchedule(f"cron: {expr!r} is not one of {', '.join(NICKNAMES)}")
    fields = tuple(NICKNAMES.get(text, text).split())
    if not 5 <= len(fields) <= 7:
        order = "minute, hour, day of month, month, day of week, then second and year if wanted"
        raise InvalidSchedule(f"cron: {expr!r} has {len(fields)} fields; 5 to 7 are needed: {order}")
    return fields


def _check_field(field: Field, text: str) -> None:
    if text == "?" and field in (DAY_OF_MONTH, DAY_OF_WEEK):
        return
    if match := HASH.fullmatch(text):
        _check_hash(field, text, match)
    elif field is DAY_OF_MONTH and (match := _NEAREST.fullmatch(text)):
        _number(field, text, match[1] or match[2])
    elif field is DAY_OF_WEEK and ("#" in text or "l" in text):
        _check_special_weekdays(text)
    else:
        _check_list(field, text)


def _check_list(field: Field, text: str) -> None:
    items = text.split(",")
    if len(items) > 1 and "*" in items:
        _refuse(field, text, "has '*' in a list; write '*' alone")
    for item in items:
        if match := _STAR.fullmatch(item):
            _check_step(field, item, match["step"])
        elif match := _RANGE.fullmatch(item):
            _check_range(field, item, match)
        elif not (field is DAY_OF_MONTH and item == "l"):
            _refuse_unread(field, item)


def _check_range(field: Field, item: str, match: re.Match[str]) -> None:
    low_word, high_word, step = match["low"], match["high"], match["step"]
    _check_step(field, item, step)
    low = _number(field, item, low_word)
    if high_word is None:
        if step and low > field.high:
            _refuse(field, item, "counts on from 7; write 0 for Sunday")
        return
    high = field.high if field is DAY_OF_MONTH and high_word == "l" else _number(field, item, high_word)
    if low == high or (low, high) == (7, 0):
        _refuse(field, item, f"is a range from a value to itself; write {low_word!r} or '*'")
    if field is DAY_OF_WEEK:
        low, high = low % 7, high or 7
    if low > high and (step or field is YEAR):
        _refuse(field, item, "runs backwards; write it as two ranges")


def _check_hash(field: Field, text: str, match: re.Match[str]) -> None:
    if field is YEAR:
        _refuse(field, text, "cannot be hashed")
    width = field.width
    if match["low"]:
        low, high = (_number(field, text, match[end]) for end in ("low", "high"))
        if low >= high:
            _refuse(field, text, "is an empty range")
        width = high - low + 1
    if match["step"] and not 1 <= int(match["step"]) <= width:
        _refuse(field, text, f"has a step outside 1 to {width}")


def _check_special_weekdays(text: str) -> None:
    items = text.split(",")
    special = [item for item in items if _LAST_WEEKDAY.fullmatch(item) or _NTH_WEEKDAY.fullmatch(item)]
    for item in items:
        if item not in special:
            if special and _RANGE.fullmatch(item):
                _refuse(DAY_OF_WEEK, text, "has plain days beside L or #; give them a schedule of their own")
            _refuse_unread(DAY_OF_WEEK, item)
        days = _RANGE.fullmatch(item.partition("#")[0])
        if days is not None:
            _check_range(DAY_OF_WEEK, item, days)


def _check_day_fields(date: str, weekday: str) -> None:
    if date in ANY_DAY or weekday in ANY_DAY:
        return
    if "l" in date or "w" in date:
        _refuse(DAY_OF_MONTH, date, f"cannot be combined with day of week {weekday!r}; use '*' in one of them")
    if "#" in weekday or "l" in weekday:
        _refuse(DAY_OF_WEEK, weekday, f"cannot be combined with day of month {date!r}; use '*' in one of them")


def _number(field: Field, item: str, word: str) -> int:
    if word in field.words:
        return field.low + field.words.index(word)
    if not word.isdigit():
        _refuse_unread(field, item)
    top = 7 if field is DAY_OF_WEEK else field.high
    if not field.low <= int(word) <= top:
        _refuse(field, item, f"has {int(word)}, which is outside {field.low} to {top}")
    return int(word)


def _check_step(field: Field, item: str, step: str | None) -> None:
    if step is not None and not 1 <= int(step) <= field.width:
        _refuse(field, item, f"has a step outside 1 to {field.width}")


def _refuse(field: Field, text: str, why: str) -> NoReturn:
    raise InvalidSchedule(f"{field.name}: {text!r} {why}")


def _refuse_unread(field: Field, item: str) -> NoReturn:
    why = next((hint for pattern, hint in _HINTS if re.fullmatch(pattern, item)), "cannot be read")
    _refuse(field, item, why)
