"""Durations and instants as people type and read them. No clock is read here."""

import re
from datetime import UTC, datetime, timedelta, timezone

from liteq.errors import InvalidOption
from liteq.model.names import shown

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|[smhdw])")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_LONGEST_TEXT = 64


def parse_duration(text: str) -> timedelta:
    """Give the duration that ``30s``, ``5m``, ``1h30m`` or ``7d`` means; a bare number is seconds.

    Raises InvalidOption for anything else, and above 100 years.
    """
    word = text.strip().lower()
    if re.fullmatch(r"\d{1,12}(\.\d{1,6})?", word):
        word += "s"
    if len(word) > _LONGEST_TEXT or not _WHOLE.fullmatch(word):
        raise InvalidOption(f"{shown(text)} is no duration; write 30s, 5m, 2h, 1d or 1h30m")
    total = sum(float(number) * _UNIT_MS[unit] for number, unit in _PART.findall(word))
    if total > 100 * 366 * _UNIT_MS["d"]:
        raise InvalidOption(f"{shown(text)} is longer than 100 years")
    return timedelta(milliseconds=total)


def duration_ms(text: str) -> int:
    """Give the same duration in milliseconds."""
    return round(parse_duration(text).total_seconds() * 1000)


def parse_instant(text: str, *, local: timezone | None = None) -> datetime:
    """Give the instant of an ISO 8601 text, aware. Without an offset it is in ``local``, by default the machine's.

    Raises InvalidOption for anything else.
    """
    try:
        value = datetime.fromisoformat(text.strip())
        if value.tzinfo is None:
            return value.astimezone() if local is None else value.replace(tzinfo=local)
    except (ValueError, OverflowError, OSError):
        raise InvalidOption(f"{shown(text)} is no instant; write 2027-01-31T08:30+01:00 or 2027-01-31T07:30Z") from None
    return value


def has_offset(text: str) -> bool:
    """Tell whether a text that ``parse_instant`` accepts says its own offset."""
    return datetime.fromisoformat(text.strip()).tzinfo is not None


def parse_past(text: str, *, now_ms: int) -> datetime:
    """Give the instant that lies a duration back, or that an ISO text names."""
    if text[:1].isdigit() and "-" not in text:
        return datetime.fromtimestamp(now_ms / 1000, tz=UTC) - parse_duration(text)
    return parse_instant(text)


def span(ms: float | None) -> str:
    """Give a duration as a person reads it: ``840 ms``, ``12.4 s``, ``3 m 20 s``, ``2 h 5 m``, ``4 d 1 h``."""
    if ms is None:
        return "-"
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    for size, unit, smaller_size, smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            rest = seconds % size // smaller_size
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"


def relative(at_ms: int | None, *, now_ms: int) -> str:
    """Give an instant as seen from now: ``3 m ago`` or ``in 5 m``."""
    if at_ms is None:
        return "-"
    distance = at_ms - now_ms
    if abs(distance) < 1_000:
        return "now"
    text = _one_unit(abs(distance) // 1_000)
    return f"in {text}" if distance > 0 else f"{text} ago"


def _one_unit(seconds: int) -> str:
    for size_s, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size_s:
            return f"{seconds // size_s} {unit}"
    return f"{seconds} s"


def local_time(at_ms: int | None) -> str:
    """Give an instant in the machine's own zone, with its offset."""
    if at_ms is None:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def size(count: int) -> str:
    """Give a number of bytes as a person reads it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def parse_size(text: str) -> int:
    """Give the bytes that ``300M``, ``2G`` or ``512K`` means; a bare number is bytes. Raises InvalidOption."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,3})?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if found is None:
        raise InvalidOption(f"{shown(text)} is no size; write 300M or 2G")
    return round(float(found[1]) * 1024.0 ** " kmgt".index(found[2] or " "))
