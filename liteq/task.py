"""What a user declares: functions and classes as tasks, and jobs not yet enqueued.

A task is handed the function that it sends with, never the object that owns it.
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    overload,
)

import msgspec
from msgspec.structs import replace

from liteq.errors import InvalidOption
from liteq.job import Job, JobContext
from liteq.model.guard import Guard
from liteq.model.job import NewJob
from liteq.model.limits import NO_LIMIT, Limit
from liteq.model.payload import crc
from liteq.model.retry import Retry, stored_backoff
from liteq.model.stored import StoredJobs
from liteq.model.template import Template
from liteq.options import Later, Options, Settings
from liteq.signature import Signature

P = ParamSpec("P")
R = TypeVar("R")

Kind = Literal["function", "coroutine", "command"]


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
        return replace(self, options=self.options.with_settings(settings))

    def new_job(self, *, now: int, default_retry: Retry) -> NewJob:
        """Give the job to be stored, its delay counted from ``now``."""
        options = self.options
        pattern: _Pattern | None = vars(options).get("pattern")
        if pattern is None or pattern.task != self.definition.name or pattern.default_retry is not default_retry:
            pattern = vars(options)["pattern"] = _new_pattern(self.definition.name, options, default_retry)
        if pattern.timed:
            run_at, unique = options.due_at(now), options.unique(now)
        else:
            run_at, unique = now + options.delay_ms, None
        return replace(pattern.job, args=self.args, args_crc=crc(self.args), run_at=run_at, unique=unique)

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
        unique = None if job.unique is None else replace(job.unique, held_until=None, on_conflict="skip")
        plain = replace(job, run_at=0, unique=unique, when_full="skip")
        return Template(job=plain, delay_ms=self.options.delay_ms, unique_ms=self.options.unique_ms)


class _Pattern(msgspec.Struct, frozen=True):
    """What all jobs of a task with the same options have in common. It is made once, and kept beside the options."""

    task: str
    default_retry: Retry
    job: NewJob
    timed: bool
    """Whether more than a delay depends on when the job is enqueued."""


def _new_pattern(task: str, options: Options, default_retry: Retry) -> _Pattern:
    timed = (options.run_at, options.unique_key, options.debounce_ms, options.max_wait_ms) != (None, None, None, None)
    return _Pattern(task, default_retry, _job_of(task, options, default_retry), timed)


def _job_of(task: str, options: Options, default_retry: Retry) -> NewJob:
    retry = options.retry or default_retry
    return NewJob(
        task=task,
        queue=options.queue,
        args=b"",
        args_crc=0,
        run_at=0,
        priority=options.priority,
        max_failures=retry.max_failures,
        max_crashes=options.max_crashes,
        backoff=stored_backoff(retry),
        timeout_ms=options.timeout_ms,
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


def _template_of(call: Later | None, default_retry: Retry) -> bytes | None:
    return None if call is None else call.template(default_retry=default_retry, once=True).encode()


class Send(Protocol):
    """What a task sends a call with: it is stored, and its handle comes back."""

    def __call__(self, call: Call[R], /) -> Job[R]: ...


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
        data = self.definition.signature.pack(args, kwargs, max_bytes=self._max_payload)
        return self._send(Call(self.definition, data, self.options))

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
