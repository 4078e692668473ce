"""How many jobs may run at once, and start in a time: the limits of queues, tasks and keys as values."""

from typing import Literal

import msgspec

from liteq.errors import InvalidOption
from liteq.model.names import shown
from liteq.model.rate import Rate, check_rate

MAX_RUNNING_LIMIT = 1_000_000
MAX_PENDING_LIMIT = 1_000_000_000
KEY_MAX_RUNNING_LIMIT = 500
"""A commit that ends a job lets in whoever may follow, and no commit moves more than some hundred."""

Limited = Literal["queue", "task"]
LIMITED_CODES: dict[Limited, int] = {"queue": 1, "task": 2}


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``max_running`` at once, started at ``rate``; None leaves a side open."""

    max_running: int | None = None
    rate: Rate | None = None


NO_LIMIT = Limit()


class LimitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one queue's or task's limit: what an operator has set, and what a program declares."""

    of: Limited
    name: str
    given: Limit
    declared: Limit
    running: int
    """How many of its jobs run now."""
    next_at: int | None = None
    """The instant of the next token, None before the first was taken."""

    @property
    def in_force(self) -> Limit:
        """Give what holds: what the operator has set goes before what the program declares, each side by itself."""
        return Limit(
            max_running=self.declared.max_running if self.given.max_running is None else self.given.max_running,
            rate=self.given.rate or self.declared.rate,
        )


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """How a concurrency key stands: who is in its turn, who waits behind, when the next token comes."""

    running: int
    ready: int
    """How many of its jobs are next and wait for a worker only."""
    blocked: int
    holders: tuple[int, ...]
    """The ids of some of those in their turn."""
    next_at: int | None


def limit_of(max_running: object, rate: object) -> Limit:
    """Give the limit that a user means; None leaves a side open. Raises TypeError and InvalidOption."""
    return Limit(
        max_running=None if max_running is None else check_max_running(max_running),
        rate=None if rate is None else check_rate(rate),
    )


def check_max_running(value: object, *, what: str = "max_running", most: int = MAX_RUNNING_LIMIT) -> int:
    """Give back the number. Raises TypeError for what is no int, InvalidOption outside 1 to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {type(value).__name__}")
    if value == 0:
        raise InvalidOption(f"{what} must be at least 1; to let nothing start, pause the queue")
    if not 1 <= value <= most:
        raise InvalidOption(f"{what} must be from 1 to {most:,}, not {shown(value)}")
    return int(value)


def check_max_pending(value: object) -> int:
    """Give back how many jobs may wait. Raises TypeError and InvalidOption."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_pending must be an int, not {type(value).__name__}")
    if not 1 <= value <= MAX_PENDING_LIMIT:
        raise InvalidOption(f"max_pending must be from 1 to {MAX_PENDING_LIMIT:,}, not {shown(value)}")
    return int(value)
