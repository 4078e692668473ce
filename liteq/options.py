"""The options of jobs: as users write them, read and checked, and as they hold."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import (
    Any,
    Literal,
    Protocol,
    TypedDict,
    runtime_checkable,
)

import msgspec

from liteq.errors import DependencyError, InvalidOption
from liteq.job import Job
from liteq.model.instants import instant_ms, to_ms
from liteq.model.job import POLICY_CODES, SCOPE_CODES, Debounce, OnConflict, OnParentFailure, Scope, Unique
from liteq.model.keeping import MAX_METADATA
from liteq.model.limits import KEY_MAX_RUNNING_LIMIT, check_max_running
from liteq.model.names import UNIQUE_KEY_MAX_BYTES, check_name
from liteq.model.payload import encode
from liteq.model.priority import check_priority
from liteq.model.rate import Rate, check_rate
from liteq.model.retry import DEFAULT_MAX_CRASHES, MAX_FAILURES_LIMIT, Retry
from liteq.model.template import Template


@runtime_checkable
class Later(Protocol):
    """A job that can be made later, by itself: what ``task.call()`` gives."""

    def template(self, *, default_retry: Retry, once: bool = False) -> Template:
        """Give the job that is made later."""
        ...


OF_TASKS = frozenset({"breaker", "max_running", "rate", "retry_budget"})
"""What is declared beside a task and is no option of single jobs."""
UniqueUntil = Literal["started", "finished", "always"] | timedelta


class Settings(TypedDict, total=False):
    """The options of a job as users write them; durations are timedeltas or seconds."""

    queue: str
    priority: int
    delay: timedelta | float
    run_at: datetime
    unique_key: str
    unique_until: UniqueUntil
    on_conflict: OnConflict
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    retry: Retry
    timeout: timedelta | float | None
    max_crashes: int
    concurrency_key: str | None
    max_running_per_key: int
    rate_per_key: Rate | str | None
    after: "Job[Any] | int | Sequence[Job[Any] | int]"
    on_parent_failure: OnParentFailure
    on_dead: "Later | None"
    batch: int | None
    debounce: timedelta | float
    max_wait: timedelta | float | None
    wait_for_room: timedelta | float


class Options(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """How a job is to be queued and run. Durations are in milliseconds; None for ``retry`` is the app's default."""

    queue: str = "default"
    priority: int = 0
    delay_ms: int = 0
    run_at: int | None = None
    unique_key: str | None = None
    unique_scope: Scope = "finished"
    unique_ms: int | None = None
    on_conflict: OnConflict = "return"
    tags: tuple[str, ...] = ()
    metadata: bytes | None = None
    retry: Retry | None = None
    timeout_ms: int | None = None
    max_crashes: int = DEFAULT_MAX_CRASHES
    parents: tuple[int, ...] = ()
    on_parent_failure: OnParentFailure = "cancel"
    concurrency_key: str | None = None
    key_max_running: int = 1
    key_rate: Rate | None = None
    on_dead: "Later | None" = None
    batch_id: int | None = None
    debounce_ms: int | None = None
    max_wait_ms: int | None = None
    room_ms: int = 0

    def due_at(self, now: int) -> int:
        """Give when a job enqueued now may run. Raises InvalidOption where the options contradict each other."""
        if self.debounce_ms is None:
            return self.run_at if self.run_at is not None else now + self.delay_ms
        if self.run_at is not None or self.delay_ms:
            raise InvalidOption("debounce decides when the job runs; give neither delay nor run_at beside it")
        return now + self.debounce_ms

    def unique(self, now: int) -> Unique | None:
        """Give the unique key that a job enqueued now holds, None without one. Raises InvalidOption like ``due_at``."""
        if self.unique_key is None and self.debounce_ms is None and self.max_wait_ms is None:
            return None
        debounce = self._debounce()
        if self.unique_key is None:
            return None
        held_until = None if self.unique_ms is None else now + self.unique_ms
        return Unique(
            key=self.unique_key,
            # Once it has started, the next call makes a new job.
            scope=self.unique_scope if debounce is None else "started",
            held_until=held_until,
            on_conflict=self.on_conflict,
            debounce=debounce,
        )

    def _debounce(self) -> Debounce | None:
        if self.debounce_ms is None:
            if self.max_wait_ms is not None:
                raise InvalidOption("max_wait bounds how long calls can put a job off; it needs debounce")
            return None
        if self.unique_key is None:
            raise InvalidOption("debounce needs a unique_key: it says which calls mean the same job")
        if self.unique_scope not in {"finished", "started"}:
            raise InvalidOption("a debounced job gives its unique_key back when it starts; leave unique_until out")
        if self.max_wait_ms is not None and self.max_wait_ms < self.debounce_ms:
            raise InvalidOption("max_wait must be at least as long as debounce")
        return Debounce(max_wait_ms=self.max_wait_ms)

    def with_settings(self, settings: Settings) -> "Options":
        """Give these options altered by what a user wrote. InvalidName, InvalidOption, TypeError say what is wrong."""
        changes: dict[str, Any] = {}
        for name, value in settings.items():
            read = _READERS.get(name)
            if name in OF_TASKS:
                raise InvalidOption(f"{name} is for all jobs of a task; give it where the task is declared")
            if read is None:
                raise InvalidOption(f"there is no option {name!r}; known are {', '.join(sorted(_READERS))}")
            changes |= read(value)
        if settings.get("delay") is not None and settings.get("run_at") is not None:
            raise InvalidOption("give either delay or run_at, not both")
        return msgspec.structs.replace(self, **changes)


def _read_tags(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        raise TypeError("tags must be a list of names, not one str")
    return {"tags": tuple(dict.fromkeys(check_name(tag, what="tag") for tag in value))}


def _read_metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"metadata must be a dict, not {type(value).__name__}")
    given: dict[Any, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]
    for key in given:
        if not isinstance(key, str):
            raise TypeError(f"the keys of metadata must be str, not {type(key).__name__}")
    data = encode(given, what="metadata", max_bytes=MAX_METADATA, setting=None)
    return {"metadata": data if given else None}


def _read_unique_until(value: Any) -> dict[str, Any]:
    if isinstance(value, timedelta):
        return {"unique_scope": "period", "unique_ms": to_ms(value, what="unique_until", allow_zero=False)}
    if value not in SCOPE_CODES or value == "period":
        raise InvalidOption("unique_until must be 'started', 'finished', 'always' or a timedelta")
    return {"unique_scope": value, "unique_ms": None}


def _read_on_conflict(value: Any) -> dict[str, Any]:
    if value not in {"raise", "return", "replace", "skip"}:
        raise InvalidOption("on_conflict must be 'raise', 'return', 'replace' or 'skip'")
    return {"on_conflict": value}


def _read_retry(value: Any) -> dict[str, Any]:
    if not isinstance(value, Retry):
        raise TypeError(f"retry must be a Retry, not {type(value).__name__}")
    return {"retry": value}


def _read_max_crashes(value: Any) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_crashes must be an int, not {type(value).__name__}")
    if not 1 <= value <= MAX_FAILURES_LIMIT:
        raise InvalidOption(f"max_crashes must be from 1 to {MAX_FAILURES_LIMIT}, not {value}")
    return {"max_crashes": value}


def _read_concurrency_key(value: Any) -> dict[str, Any]:
    if value is None:
        return {"concurrency_key": None}
    return {"concurrency_key": check_name(value, what="concurrency_key", max_bytes=UNIQUE_KEY_MAX_BYTES)}


def _read_after(value: Any) -> dict[str, Any]:
    given: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]  # pyright: ignore[reportUnknownArgumentType]
    return {"parents": tuple(dict.fromkeys(_parent_id(one) for one in given))}


def _parent_id(value: Any) -> int:
    if isinstance(value, Job):
        return int(value.id)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"after must name jobs by handle or id, not {type(value).__name__}")
    if not 0 < value < 2**63:
        raise DependencyError(f"there is no job {value} to wait for")
    return value


def _read_on_dead(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, Later):
        raise TypeError(f"on_dead must be a job as task.call() gives it, not {type(value).__name__}")
    return {"on_dead": value}


def _read_batch(value: Any) -> dict[str, Any]:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"batch must be the id of a batch, not {type(value).__name__}")
    return {"batch_id": value}


def _read_on_parent_failure(value: Any) -> dict[str, Any]:
    if value not in POLICY_CODES:
        raise InvalidOption("on_parent_failure must be 'cancel' or 'run'")
    return {"on_parent_failure": value}


_READERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "queue": lambda value: {"queue": check_name(value, what="queue")},
    "priority": lambda value: {"priority": check_priority(value)},
    "delay": lambda value: {"delay_ms": to_ms(value, what="delay"), "run_at": None},
    "run_at": lambda value: {"run_at": instant_ms(value, what="run_at"), "delay_ms": 0},
    "unique_key": lambda value: {"unique_key": check_name(value, what="unique_key", max_bytes=UNIQUE_KEY_MAX_BYTES)},
    "unique_until": _read_unique_until,
    "on_conflict": _read_on_conflict,
    "tags": _read_tags,
    "metadata": _read_metadata,
    "retry": _read_retry,
    "timeout": lambda value: {"timeout_ms": None if value is None else to_ms(value, what="timeout", allow_zero=False)},
    "max_crashes": _read_max_crashes,
    "concurrency_key": _read_concurrency_key,
    "max_running_per_key": lambda value: {
        "key_max_running": check_max_running(value, what="max_running_per_key", most=KEY_MAX_RUNNING_LIMIT)
    },
    "rate_per_key": lambda value: {"key_rate": None if value is None else check_rate(value, what="rate_per_key")},
    "after": _read_after,
    "on_parent_failure": _read_on_parent_failure,
    "on_dead": _read_on_dead,
    "batch": _read_batch,
    "debounce": lambda value: {"debounce_ms": to_ms(value, what="debounce", allow_zero=False)},
    "max_wait": lambda value: {"max_wait_ms": None if value is None else to_ms(value, what="max_wait")},
    "wait_for_room": lambda value: {"room_ms": to_ms(value, what="wait_for_room")},
}
