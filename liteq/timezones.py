"""The time zone database of this machine: the only file that opens it."""

import importlib
import importlib.util
import re
from datetime import UTC, tzinfo
from functools import cache
from pathlib import Path

from liteq.errors import InvalidSchedule, UnknownTimeZone

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}", re.ASCII)
_LONGEST_KEY = 64
# These open, but ``right/`` counts leap seconds and the others mean what the machine happens to be set to.
_NOT_A_PLACE = {"posix", "right", "localtime", "posixrules", "Factory"}


def load_zone(key: str) -> tzinfo:
    """Give the time zone of an IANA name such as ``Europe/Berlin``.

    ``UTC`` needs no database. Raises InvalidSchedule for anything that is not such a name, paths among them,
    and for names that this machine's database does not have.
    """
    if key == "UTC":
        return UTC
    import zoneinfo  # noqa: PLC0415  2 ms, and many programs have no schedule or all of them in UTC

    if len(key) > _LONGEST_KEY or not _KEY.fullmatch(key) or key.partition("/")[0] in _NOT_A_PLACE:
        shown = repr(key[:_LONGEST_KEY])
        raise InvalidSchedule(f"time zone: {shown} is not the name of one, such as 'Europe/Berlin' or 'UTC'")
    try:
        return zoneinfo.ZoneInfo(key)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownTimeZone(f"time zone: {key!r} is unknown here{_suggestion(key)}") from None


def _suggestion(key: str) -> str:
    import zoneinfo  # noqa: PLC0415  see above
    from difflib import get_close_matches  # noqa: PLC0415

    by_lower = {known.lower(): known for known in zoneinfo.available_timezones()}
    close = get_close_matches(key.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


@cache
def tzdata_version() -> str:
    """Give the release of the database that this process reads, such as ``2026f``, or ``unknown``.

    Looks where ``zoneinfo`` does: the first system folder that has zones, else the ``tzdata`` package. Like
    the zones themselves it is read once, so a system update shows after a restart. A stored next tick is
    stale when its row names another release.
    """
    import zoneinfo  # noqa: PLC0415  see above

    for folder in map(Path, zoneinfo.TZPATH):
        if (folder / "Etc" / "UTC").exists():
            return _release_in(folder)
    if importlib.util.find_spec("tzdata") is None:
        return "unknown"
    return str(importlib.import_module("tzdata").IANA_VERSION)


def _release_in(folder: Path) -> str:
    """Read the release that tzcode's ``tzdata.zi``, or macOS's ``+VERSION``, names in its first line."""
    for name in ("tzdata.zi", "+VERSION"):
        try:
            with (folder / name).open(encoding="ascii", errors="replace") as lines:
                return lines.readline().removeprefix("# version").strip() or "unknown"
        except OSError:
            continue
    return "unknown"
