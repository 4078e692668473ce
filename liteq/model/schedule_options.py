"""The options that every kind of schedule has, in the same words everywhere, and their limits."""

from datetime import datetime, timedelta
from typing import Annotated, Literal, TypedDict, TypeVar, get_args

from msgspec import Meta, Struct

from liteq.errors import InvalidOption
from liteq.model.instants import instant_ms, to_ms
from liteq.model.names import shown

Misfire = Literal["coalesce", "skip", "all"]
"""What becomes of ticks that nobody was there to fire: one job for all of them, none, or one for each."""

Overlap = Literal["skip", "allow", "buffer_one", "buffer_all", "cancel_running"]
"""What becomes of a tick while a job of an earlier one is live: see the page on schedules."""

DEFAULT_CATCHUP = 100
MAX_CATCHUP = 1000
MAX_RUNS = 2**53
_MIN_GRACE_MS = 1000  # ticks are fired to the second: a shorter grace would drop ticks that are on time
_MAX_JITTER_MS = 7 * 86_400_000

_Word = TypeVar("_Word", bound=str)


class ScheduleOptions(TypedDict, total=False):
    """What ``cron``, ``every``, ``at`` and ``manual`` take by keyword."""

    misfire: Misfire
    max_catchup: int
    misfire_grace: timedelta | float | None
    overlap: Overlap
    jitter: timedelta | float
    start_at: datetime | None
    end_at: datetime | None
    max_runs: int | None


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same as liteq keeps them, in ms.

    None has a default here: all are stored, so that a default which a release changes changes no stored
    schedule.
    """

    misfire: Misfire
    max_catchup: Annotated[int, Meta(ge=1, le=MAX_CATCHUP)]
    """With ``misfire="all"``: how many missed ticks get a job at most, the newest."""
    misfire_grace_ms: Annotated[int, Meta(ge=1)] | None
    """A tick that is later than this gets no job. None: it is never too late."""
    overlap: Overlap
    max_jitter_ms: Annotated[int, Meta(ge=0, le=_MAX_JITTER_MS)]
    start_at: Annotated[int, Meta(ge=0)] | None
    """No tick before this instant; at it there may be one."""
    end_at: Annotated[int, Meta(ge=0)] | None
    """No tick after this instant; at it there may be one."""
    max_runs: Annotated[int, Meta(ge=1, le=MAX_RUNS)] | None
    """How many ticks fire before the schedule is done; they are counted where the row is written."""


def read_options(given: ScheduleOptions) -> Options:
    """Give the options as liteq keeps them, with the defaults filled in.

    Raises InvalidOption, naming the option, for a value outside its limits, and TypeError for a value of the
    wrong type or an option that does not exist.
    """
    unknown = sorted(given.keys() - ScheduleOptions.__annotations__)
    if unknown:
        raise TypeError(f"a schedule has no option {', '.join(unknown)}")
    start_at, end_at = _instant(given.get("start_at"), "start_at"), _instant(given.get("end_at"), "end_at")
    if start_at is not None and end_at is not None and end_at < start_at:
        raise InvalidOption("end_at must not be before start_at")
    grace, max_runs = given.get("misfire_grace"), given.get("max_runs")
    return Options(
        misfire=_one_of(given.get("misfire", "coalesce"), get_args(Misfire), "misfire"),
        max_catchup=_count(given.get("max_catchup", DEFAULT_CATCHUP), MAX_CATCHUP, "max_catchup"),
        misfire_grace_ms=None if grace is None else to_ms(grace, what="misfire_grace", minimum_ms=_MIN_GRACE_MS),
        overlap=_one_of(given.get("overlap", "skip"), get_args(Overlap), "overlap"),
        max_jitter_ms=_jitter_ms(given.get("jitter", 0)),
        start_at=start_at,
        end_at=end_at,
        max_runs=None if max_runs is None else _count(max_runs, MAX_RUNS, "max_runs"),
    )


def _one_of(value: _Word, words: tuple[_Word, ...], what: str) -> _Word:
    if value not in words:
        raise InvalidOption(f"{what} must be one of {', '.join(words)}, not {shown(str(value))}")
    return value


def _count(value: object, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    if not 1 <= value <= most:
        raise InvalidOption(f"{what} must be 1 to {most}, not {shown(value)}")
    return value


def _jitter_ms(value: timedelta | float) -> int:
    jitter_ms = to_ms(value, what="jitter")
    if jitter_ms > _MAX_JITTER_MS:
        raise InvalidOption(f"jitter must be at most 7 days, not {shown(value)}")
    return jitter_ms


def _instant(value: datetime | None, what: str) -> int | None:
    return None if value is None else instant_ms(value, what=what)
