"""What a user declares: functions and classes as tasks, their options, and jobs not yet enqueued.

A task is handed the function that it sends with, never the object that owns it.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

import msgspec

from liteq.errors import DependencyError, InvalidOption
from liteq.job import Job, JobContext
from liteq.model.guard import Guard
from liteq.model.instants import instant_ms, to_ms
from liteq.model.job import POLICY_CODES, SCOPE_CODES, Debounce, NewJob, OnConflict, OnParentFailure, Scope, Unique
from liteq.model.keeping import MAX_METADATA
from liteq.model.limits import KEY_MAX_RUNNING_LIMIT, NO_LIMIT, Limit, check_max_running
from liteq.model.names import UNIQUE_KEY_MAX_BYTES, check_name
from liteq.model.payload import crc, encode
from liteq.model.priority import check_priority
from liteq.model.rate import Rate, check_rate
from liteq.model.retry import DEFAULT_MAX_CRASHES, MAX_FAILURES_LIMIT, Backoff, Retry
from liteq.model.stored import StoredJobs
from liteq.model.template import Template
from liteq.signature import Signature

P = ParamSpec("P")
R = TypeVar("R")

Kind = Literal["function", "coroutine", "command"]
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
    on_dead: "Call[Any] | None"
    batch: int | None
    debounce: timedelta | float
    max_wait: timedelta | float | None
    wait_for_room: timedelta | float


class Options(msgspec.Struct, frozen=True, kw_only=True):
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
    on_dead: "Call[Any] | None" = None
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
    if value is not None and not isinstance(value, Call):
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


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to run the jobs of one task."""

    name: str
    kind: Kind
    signature: Signature
    options: Options
    limit: Limit = NO_LIMIT
    """How many of its jobs may run at once, and start in a time, unless an operator says otherwise."""
    guard: Guard | None = None


class Call(msgspec.Struct, Generic[R], frozen=True):
    """A job that is not enqueued yet: which task, with which arguments and options."""

    definition: Definition
    args: bytes
    options: Options

    def using(self, **settings: Unpack[Settings]) -> "Call[R]":
        """Give the same call with some options altered."""
        return msgspec.structs.replace(self, options=self.options.with_settings(settings))

    def new_job(self, *, now: int, default_retry: Retry) -> NewJob:
        """Give the job to be stored, its delay counted from ``now``."""
        options = self.options
        retry = options.retry or default_retry
        policy = retry.backoff_policy()
        return NewJob(
            task=self.definition.name,
            queue=options.queue,
            args=self.args,
            args_crc=crc(self.args),
            run_at=options.due_at(now),
            priority=options.priority,
            max_failures=retry.max_failures,
            max_crashes=options.max_crashes,
            backoff=None if policy == Backoff() else policy.encode(),
            timeout_ms=options.timeout_ms,
            unique=options.unique(now),
            tags=options.tags,
            metadata=options.metadata,
            parents=options.parents,
            on_parent_failure=options.on_parent_failure,
            concurrency_key=options.concurrency_key,
            key_max_running=options.key_max_running,
            key_rate=None if options.key_rate is None else str(options.key_rate),
            batch_id=options.batch_id,
            on_dead=_template_of(options.on_dead, default_retry),
        )

    def template(self, *, default_retry: Retry, once: bool = False) -> Template:
        """Give the job that is made later: at each tick of a schedule or, with ``once``, when something has ended.

        Raises InvalidOption where an option says what cannot be known or is decided elsewhere.
        """
        options = self.options
        if options.run_at is not None:
            raise InvalidOption("this job is made later, and runs then; run_at cannot be given, delay can")
        if options.debounce_ms is not None:
            raise InvalidOption("this job is made later, by itself; debounce is for calls")
        if options.parents or options.batch_id is not None:
            raise InvalidOption("this job is made later, by itself; it cannot wait for others or join a batch")
        if once and options.unique_key is not None:
            raise InvalidOption("this job is made once, by itself; it cannot have a unique_key")
        job = self.new_job(now=0, default_retry=default_retry)
        unique = (
            None if job.unique is None else msgspec.structs.replace(job.unique, held_until=None, on_conflict="skip")
        )
        plain = msgspec.structs.replace(job, run_at=0, unique=unique, when_full="skip")
        return Template(job=plain, delay_ms=self.options.delay_ms, unique_ms=self.options.unique_ms)


def _template_of(call: "Call[Any] | None", default_retry: Retry) -> bytes | None:
    return None if call is None else call.template(default_retry=default_retry, once=True).encode()


Send = Callable[[Call[Any]], Job[Any]]
SendMany = Callable[[Iterable[Call[Any]], int], StoredJobs]


class Task(Generic[P, R]):
    """A declared function. Calling it runs it here and now; ``enqueue`` stores a job of it."""

    def __init__(
        self,
        function: Callable[..., Any],
        definition: Definition,
        send: Send,
        send_many: SendMany,
        max_payload: int,
        options: Options,
    ) -> None:
        self.definition = definition
        self.options = options
        self.function = function
        self._send = send
        self._send_many = send_many
        self._max_payload = max_payload
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", definition.name)
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @property
    def name(self) -> str:
        return self.definition.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function here, as if it were not declared."""
        return self.function(*args, **kwargs)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Give a job not yet enqueued. BadArguments, PayloadNotSerializable and PayloadTooLarge are raised here."""
        data = self.definition.signature.pack(args, kwargs, max_bytes=self._max_payload)
        return Call(self.definition, data, self.options)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Store a job and give its handle; when it returns, the job is on the disk. Validates before it writes."""
        return cast("Job[R]", self._send(self.call(*args, **kwargs)))

    def map(self, items: Iterable[Any], *, chunk: int = 1_000) -> StoredJobs:
        """Store one job for each item, which is its only argument, in commits of so many; a tuple stays one argument.

        The items may be of any number: they are read as they are stored. Raises PartlyEnqueued where that breaks off.
        """
        call: Callable[..., Call[R]] = self.call
        return self._send_many((call(item) for item in items), chunk)

    def starmap(self, items: Iterable[Iterable[Any]], *, chunk: int = 1_000) -> StoredJobs:
        """Do as ``map``, and take each item apart: its parts are the positional arguments of the job."""
        call: Callable[..., Call[R]] = self.call
        return self._send_many((call(*item) for item in items), chunk)

    def using(self, **settings: Unpack[Settings]) -> "Task[P, R]":
        """Give the same task with some options altered, for the jobs made through it."""
        options = self.options.with_settings(settings)
        return Task(self.function, self.definition, self._send, self._send_many, self._max_payload, options)


class Payload(msgspec.Struct, frozen=True):
    """The root of job classes: fields are the payload, ``handle`` does the work.

    ``handle`` may take a parameter annotated with JobContext, which is injected.
    """


class TaskDecorator(Protocol):
    """What ``@app.task(...)`` gives: turns functions and coroutine functions into tasks."""

    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, function: Any, /) -> Any: ...
