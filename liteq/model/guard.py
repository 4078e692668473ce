"""What guards a task's dependency: a breaker that stops calls to one that fails, and a budget for retries."""

from datetime import timedelta
from typing import Literal

import msgspec

from liteq.errors import InvalidOption
from liteq.model.instants import to_ms
from liteq.model.names import shown
from liteq.model.rate import Rate

SLICES = 10
"""The sliding window moves by tenths of itself."""
SHORTEST_WINDOW_MS = 1_000
MOST_CALLS = 1_000_000
CLOCK_SET_BACK_MS = 1_000
"""A breaker that would stay open for longer than it may, and so much more, was opened by a clock since set back."""

BreakerState = Literal["closed", "open", "half-open"]


class BreakerRule(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens and for how long, as stored."""

    failure_rate: float
    window_ms: int
    min_calls: int
    open_ms: int

    @property
    def slice_ms(self) -> int:
        """The step by which the window slides."""
        return self.window_ms // SLICES

    def trips(self, *, succeeded: int, failed: int) -> bool:
        """Tell whether so many outcomes in the window are reason to open."""
        calls = succeeded + failed
        return calls >= self.min_calls and failed >= self.failure_rate * calls


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """When a task is to be left alone: of at least ``min_calls`` attempts within ``window``, ``failure_rate`` failed.

    Then none of its jobs is claimed for ``open_for``; after that one is, on trial, and its end decides. Durations are
    timedeltas or seconds.

    Raises:
        TypeError: a field of the wrong type.
        InvalidOption: a field outside its range: a rate above 0 and up to 1, a window of at least a second.
    """

    failure_rate: float = 0.5
    window: timedelta | float = 60.0
    min_calls: int = 10
    open_for: timedelta | float = 30.0

    def __post_init__(self) -> None:
        _check_rate(self.failure_rate)
        _check_calls(self.min_calls)
        self.rule()

    def rule(self) -> BreakerRule:
        """Give the breaker in the form that is stored."""
        return BreakerRule(
            failure_rate=float(self.failure_rate),
            window_ms=to_ms(self.window, what="window", minimum_ms=SHORTEST_WINDOW_MS),
            min_calls=self.min_calls,
            open_ms=to_ms(self.open_for, what="open_for", allow_zero=False),
        )


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """What guards the jobs of one task."""

    breaker: BreakerRule | None = None
    budget: Rate | None = None


class GuardRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What guards one task, and how it stands, as stored.

    ``opened_at`` is when its breaker opened, None for a closed one; ``open_until`` when the next trial may begin;
    ``openings`` counts how often; ``trial`` is the job on trial while it runs. ``postponed`` counts the retries for
    which the budget had no room.
    """

    task: str
    breaker: BreakerRule | None
    opened_at: int | None
    open_until: int | None
    openings: int
    trial: int | None
    budget: Rate | None
    spent_at: int | None
    spent_until: int | None
    postponed: int

    def state(self, now: int) -> BreakerState:
        """Give how the breaker stands; a task without one has it closed."""
        if self.breaker is None or self.open_until is None:
            return "closed"
        return "open" if is_open(self.open_until, self.breaker.open_ms, now) else "half-open"

    def retry_wait_ms(self, now: int) -> int:
        """Give how much longer than its backoff a retry would have to wait that is scheduled now."""
        return 0 if self.budget is None else spend(self.budget, self.spent_at, self.spent_until, now)[0]


def is_open(open_until: int | None, open_ms: int | None, now: int) -> bool:
    """Tell whether nothing may be claimed yet, not even on trial."""
    return open_until is not None and open_ms is not None and 0 < open_until - now <= open_ms + CLOCK_SET_BACK_MS


def spend(rate: Rate, spent_at: int | None, spent_until: int | None, now: int) -> tuple[int, int]:
    """Take one retry from the budget: give how many milliseconds it has to wait for that, and the new ``spent_until``.

    A bucket of ``rate.count`` that fills evenly, kept as the instant at which it is full again (the "generic cell rate
    algorithm" of ATM networks). A clock that was set back takes that instant along.
    """
    full_at = now if spent_until is None else spent_until
    if spent_at is not None and spent_at > now:
        full_at -= spent_at - now
    full_at = max(full_at, now)
    interval_ms = -(-rate.per_ms // rate.count)
    wait = full_at - now - (rate.count - 1) * interval_ms
    return max(0, wait), full_at + interval_ms


def _check_rate(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"failure_rate must be a number, not {type(value).__name__}")
    if not 0 < value <= 1:
        raise InvalidOption(f"failure_rate must be above 0 and at most 1, not {shown(value)}")


def _check_calls(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"min_calls must be an int, not {type(value).__name__}")
    if not 1 <= value <= MOST_CALLS:
        raise InvalidOption(f"min_calls must be from 1 to {MOST_CALLS:,}, not {shown(value)}")
