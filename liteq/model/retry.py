"""How often a failing job is tried again, and how long it waits in between."""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Literal, cast, get_args

import msgspec

from liteq.errors import GiveUp, InvalidOption
from liteq.model.instants import MAX_DURATION_MS, to_ms
from liteq.model.names import shown
from liteq.model.payload import decode, decoder

MAX_FAILURES_LIMIT = 1000
DEFAULT_MAX_CRASHES = 3

_MAX_SHIFT = 64  # a doubling that often is past any cap, and a larger shift would only make huge integers

Growth = Literal["exponential", "fixed"]
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_DURATION_MS)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Backoff(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a job waits after a failure, as it is kept beside the job. All times are milliseconds."""

    base_ms: _Milliseconds = 1000
    growth: Growth = "exponential"
    cap_ms: _Milliseconds = 3_600_000
    jitter: _Share = 0.1
    delays_ms: tuple[_Milliseconds, ...] = ()

    def delay_ms(self, failures: int) -> int:
        """Give the wait before the next attempt, jitter apart: from 0 to ``cap_ms``.

        ``failures`` counts the attempts that have failed so far, the present one included (1 or more).
        ``delays_ms`` are taken one by one, the last again and again; without them the wait is ``base_ms``,
        doubled at each failure if growth is exponential.
        """
        if failures < 1:
            raise InvalidOption(f"failures must be at least 1, not {shown(failures)}")
        if self.delays_ms:
            return min(self.delays_ms[min(failures, len(self.delays_ms)) - 1], self.cap_ms)
        if self.growth == "fixed":
            return min(self.base_ms, self.cap_ms)
        return min(self.base_ms << min(failures - 1, _MAX_SHIFT), self.cap_ms)

    def spread(self, delay_ms: int, *, draw: float) -> int:
        """Give the wait moved by up to ± ``jitter`` of itself, from 0 to ``cap_ms``.

        ``draw`` is a number in [0, 1) that the caller drew at random: 0 is the shortest wait, 0.5 the middle.
        """
        moved = delay_ms * (1 + self.jitter * (2 * draw - 1))
        return min(max(round(moved), 0), self.cap_ms)

    def encode(self) -> bytes:
        """Give the JSON to store; for ``Backoff()`` NULL says the same."""
        return msgspec.json.encode(self)


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """What a user says about retries.

    ``max_failures`` is the number of failed attempts after which the job is dead (1 to 1000): 1 means no
    retry. ``backoff`` is the first wait, or a sequence that lists the waits one by one, the last of which
    repeats; durations are timedeltas or seconds. ``growth`` says whether a single wait doubles at each
    failure, up to ``cap``. ``jitter`` (0 to 1) spreads each wait by ± that share. Errors are retried that are
    one of ``retry_on`` (empty: any ``Exception``) and none of ``give_up_on``.

    Raises:
        TypeError: a field of the wrong type.
        InvalidOption: a field outside its range, or a wait above ``cap``.
    """

    max_failures: int = 5
    backoff: timedelta | float | Sequence[timedelta | float] = 1.0
    growth: Growth = "exponential"
    cap: timedelta | float = 3600.0
    jitter: float = 0.1
    retry_on: tuple[type[BaseException], ...] = ()
    give_up_on: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        _check_max_failures(self.max_failures)
        _check_jitter(self.jitter)
        _check_growth(self.growth)
        _check_error_types(self.retry_on, what="retry_on")
        _check_error_types(self.give_up_on, what="give_up_on")
        policy = self.backoff_policy()
        if max(policy.base_ms, *policy.delays_ms, 0) > policy.cap_ms:
            raise InvalidOption(f"backoff waits longer than its cap of {policy.cap_ms} ms: raise cap as well")

    @classmethod
    def never(cls) -> "Retry":
        """Give the policy under which the first failure is the last."""
        return cls(max_failures=1)

    def wants(self, error: BaseException) -> bool:
        """Say whether this error is worth a retry, however many failures went before."""
        if isinstance(error, (GiveUp, *self.give_up_on)):
            return False
        return isinstance(error, self.retry_on or Exception)

    def backoff_policy(self) -> Backoff:
        """Give the waits in the form that is stored beside a job."""
        cap_ms = to_ms(self.cap, what="cap")
        if isinstance(self.backoff, Sequence):
            delays_ms = _delays_ms(self.backoff)
            return Backoff(base_ms=delays_ms[0], cap_ms=cap_ms, jitter=self.jitter, delays_ms=delays_ms)
        base_ms = to_ms(self.backoff, what="backoff")
        return Backoff(base_ms=base_ms, growth=self.growth, cap_ms=cap_ms, jitter=self.jitter)


def stored_backoff(retry: Retry) -> bytes | None:
    """Give the waits as they are stored beside a job, None for the usual ones."""
    try:
        return _encoded_backoff(retry)
    except TypeError:
        # Waits that were given as a list have no hash to remember them by.
        return _encoded_backoff.__wrapped__(retry)


@lru_cache(maxsize=256)
def _encoded_backoff(retry: Retry) -> bytes | None:
    policy = retry.backoff_policy()
    return None if policy == Backoff() else policy.encode()


@lru_cache(maxsize=1024)
def decode_backoff(data: bytes | None) -> Backoff:
    """Give the stored policy back; None is the default one.

    Raises:
        Undecodable: the bytes are no policy, or hold a number outside its range.
    """
    return Backoff() if data is None else decode(data, decoder(Backoff), what="backoff")


def _delays_ms(waits: Sequence[timedelta | float]) -> tuple[int, ...]:
    if isinstance(waits, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"backoff must be a duration or a sequence of them, not {type(waits).__name__}")
    if not 1 <= len(waits) <= MAX_FAILURES_LIMIT:
        raise InvalidOption(f"backoff must list 1 to {MAX_FAILURES_LIMIT} waits, not {len(waits)}")
    return tuple(to_ms(wait, what=f"backoff[{place}]") for place, wait in enumerate(waits))


def _check_max_failures(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_failures must be an int, not {type(value).__name__}")
    if not 1 <= value <= MAX_FAILURES_LIMIT:
        raise InvalidOption(f"max_failures must be from 1 to {MAX_FAILURES_LIMIT}, not {shown(value)}")


def _check_jitter(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"jitter must be a number, not {type(value).__name__}")
    if not 0 <= value <= 1:
        raise InvalidOption(f"jitter must be from 0 to 1, not {shown(value)}")


def _check_growth(value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"growth must be a str, not {type(value).__name__}")
    if value not in get_args(Growth):
        raise InvalidOption(f"growth must be 'exponential' or 'fixed', not {shown(value)}")


def _check_error_types(value: object, *, what: str) -> None:
    if not isinstance(value, tuple):
        raise TypeError(f"{what} must be a tuple of exception classes, not {type(value).__name__}")
    for item in cast("tuple[object, ...]", value):
        if not _is_error_type(item):
            raise TypeError(f"{what} must hold exception classes only, not {shown(repr(item))}")


def _is_error_type(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, BaseException)


DEFAULT_RETRY = Retry()
