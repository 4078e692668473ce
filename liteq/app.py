"""Liteq: the face that applications hold."""

import os
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from liteq.clock import Clock, SystemClock
from liteq.command import COMMAND, command_call
from liteq.errors import InvalidOption, JobNotFound, WrongState
from liteq.job import Job, JobContext
from liteq.model.instants import instant_ms, to_ms
from liteq.model.job import Change, Enqueued, JobRecord, NewJob, Unique
from liteq.model.names import check_name
from liteq.model.payload import crc
from liteq.model.priority import check_priority
from liteq.model.retry import DEFAULT_RETRY, Backoff, Retry
from liteq.ops.stats import Stats, collect_stats
from liteq.registry import Registry
from liteq.selection import job_filter, matching_ids
from liteq.signature import PayloadSignature
from liteq.store.engine import Engine
from liteq.store.sqlite.engine import SqliteEngine
from liteq.task import Call, Options, Payload, Settings, Task, TaskDecorator
from liteq.worker.claims import Claims
from liteq.worker.worker import Worker, WorkResult, WorkSettings

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type[Payload])

MAX_PAYLOAD = 1024 * 1024
MAX_PAYLOAD_LIMIT = 64 * 1024 * 1024
Durability = Literal["full", "normal"]

importing: ContextVar[str | None] = ContextVar("liteq_importing", default=None)
"""The module that is being imported only to find its app: enqueueing there would be repeated by every worker."""


class Liteq:
    """A queue in the file at ``path``, opened at the first use and created if ``create`` allows it.

    ``durability``: with "full", what ``enqueue`` returned and every outcome is on the disk; with "normal" the last
    moments before a power cut may be lost, never the file, and a killed process loses nothing. The environment variable
    LITEQ_DURABILITY is the default. ``shared`` allows a file that has other tables. ``retention`` is how long completed
    and cancelled jobs are kept, None for ever. An object may be used by any thread, and not after a fork.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability | None = None,
        shared: bool = False,
        max_payload: int = MAX_PAYLOAD,
        default_retry: Retry = DEFAULT_RETRY,
        retention: timedelta | float | None = timedelta(days=7),
        allow_network_filesystem: bool = False,
        create: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.path = path
        self.durability = _checked_durability(durability or os.environ.get("LITEQ_DURABILITY", "full"))
        if not 1 <= max_payload <= MAX_PAYLOAD_LIMIT:
            raise InvalidOption(f"max_payload must be from 1 to {MAX_PAYLOAD_LIMIT} bytes, not {max_payload}")
        self.max_payload = max_payload
        self.default_retry = default_retry
        self.retention_ms = None if retention is None else to_ms(retention, what="retention")
        self.clock: Clock = clock or SystemClock()
        self.tasks = Registry()
        self.tasks.add(COMMAND)
        self._open: Callable[[], Engine] = lambda: SqliteEngine(
            self.path,
            full=self.durability == "full",
            shared=shared,
            allow_network=allow_network_filesystem,
            create=create,
        )
        self._engine: Engine | None = None
        self._opening = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Liteq {os.fspath(self.path)!r}>"

    @property
    def engine(self) -> Engine:
        """What keeps the jobs; opens the file at first use."""
        engine = self._engine
        if engine is None:
            with self._opening:
                if self._engine is None:
                    self._engine = self._open()
                engine = self._engine
        return engine

    def close(self) -> None:
        """Close the file. Used again, the app opens it anew."""
        with self._opening:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    # Declaring

    @overload
    def task(self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[Concatenate[JobContext, P], R], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, /, *, name: str | None = None, **settings: Unpack[Settings]) -> TaskDecorator: ...
    def task(self, function: Any = None, /, *, name: str | None = None, **settings: Unpack[Settings]) -> Any:
        """Declare a function or coroutine function as a task; the options are the defaults of its jobs."""
        options = Options().with_settings(settings)

        def declare(wanted: Callable[..., Any]) -> Task[..., Any]:
            definition = self.tasks.add_function(wanted, name, options)
            return Task(wanted, definition, self._send, self.max_payload, options)

        return declare if function is None else declare(function)

    @overload
    def job(self, payload: C, /) -> C: ...
    @overload
    def job(self, /, *, name: str | None = None, **settings: Unpack[Settings]) -> Callable[[C], C]: ...
    def job(self, payload: Any = None, /, *, name: str | None = None, **settings: Unpack[Settings]) -> Any:
        """Declare a job class: a ``Payload`` whose fields are the arguments and whose ``handle`` does the work."""
        options = Options().with_settings(settings)

        def declare(wanted: C) -> C:
            self.tasks.add_class(wanted, name, options)
            return wanted

        return declare if payload is None else declare(payload)

    # Into the queue

    def call(self, wanted: Call[Any] | Payload | str, /, *args: Any, **kwargs: Any) -> Call[Any]:
        """Give a job not yet enqueued, of a filled job class or of the task with that name."""
        if isinstance(wanted, Call):
            return wanted
        if isinstance(wanted, str):
            definition = self.tasks[wanted]
            data = definition.signature.pack(args, kwargs, max_bytes=self.max_payload)
        else:
            definition = self.tasks.of_class(type(wanted))
            data = cast("PayloadSignature", definition.signature).pack_value(wanted, max_bytes=self.max_payload)
        return Call(definition, data, definition.options)

    def command(
        self, argv: Sequence[str] | str, *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> Call[None]:
        """Give a job that runs a program: a list as it stands, one text through the shell. Not retried unless asked."""
        return command_call(argv, cwd=cwd, env=env, max_bytes=self.max_payload)

    def enqueue(self, wanted: Call[R] | Payload, /, **settings: Unpack[Settings]) -> Job[R]:
        """Store one job and give its handle; when it returns, the job is on the disk."""
        call = self.call(wanted)
        return cast("Job[R]", self._send(call.using(**settings) if settings else call))

    def enqueue_many(self, wanted: Iterable[Call[Any] | Payload], /) -> list[Job[Any]]:
        """Store any number of jobs in one commit, all or none. The iterable is read before the file is locked.

        Handles come in the given order; jobs whose unique key was held and that said ``skip`` are left out.
        """
        _refuse_while_importing()
        calls = [self.call(one) for one in wanted]
        now = self.clock.now_ms()
        answers = self.engine.enqueue([self._new_job(call, now) for call in calls], now=now)
        return [self._handle(c, a) for c, a in zip(calls, answers, strict=True) if a.answer != "skipped"]

    def _send(self, call: Call[Any]) -> Job[Any]:
        _refuse_while_importing()
        now = self.clock.now_ms()
        answer = self.engine.enqueue([self._new_job(call, now)], now=now)[0]
        return self._handle(call, answer)

    def _handle(self, call: Call[Any], answer: Enqueued) -> Job[Any]:
        kind = call.definition.signature.result_type
        return Job(answer.job_id, engine=self.engine, clock=self.clock, result_type=kind, answer=answer.answer)

    def _new_job(self, call: Call[Any], now: int) -> NewJob:
        options = call.options
        retry = options.retry or self.default_retry
        policy = retry.backoff_policy()
        return NewJob(
            task=call.definition.name,
            queue=options.queue,
            args=call.args,
            args_crc=crc(call.args),
            run_at=options.run_at if options.run_at is not None else now + options.delay_ms,
            priority=options.priority,
            max_failures=retry.max_failures,
            max_crashes=options.max_crashes,
            backoff=None if policy == Backoff() else policy.encode(),
            timeout_ms=options.timeout_ms,
            unique=_unique(options, now),
            tags=options.tags,
        )

    # Jobs by id and by filter

    def get_job(self, job_id: int) -> Job[Any]:
        """Give the handle of a job, with its row read. Raises JobNotFound."""
        record = self.engine.get_job(job_id)
        if record is None:
            raise JobNotFound(f"there is no job {job_id}")
        return self._handle_of(record)

    def list_jobs(self, *, limit: int = 100, before_id: int | None = None, **wanted: Any) -> list[Job[Any]]:
        """Give the newest matching jobs first. Filters: state, queue, task, tag, since, until."""
        records = self.engine.list_jobs(job_filter(**wanted), limit=limit, before_id=before_id)
        return [self._handle_of(record) for record in records]

    def _handle_of(self, record: JobRecord) -> Job[Any]:
        definition = self.tasks.get(record.task)
        kind = Any if definition is None else definition.signature.result_type
        return Job(record.id, engine=self.engine, clock=self.clock, result_type=kind, record=record)

    def count_jobs(self, **wanted: Any) -> int:
        """Count the matching jobs. Filters: state, queue, task, tag, since, until."""
        return self.engine.count_jobs(job_filter(**wanted))

    def cancel(self, job_id: int | None = None, *, reason: str = "cancelled by hand", **wanted: Any) -> list[int]:
        """Cancel a job, or all that match; those that run are asked to stop. Gives the ids.

        Raises JobNotFound and, for one that has finished, WrongState.
        """
        now = self.clock.now_ms()
        return self._change("cancel", job_id, wanted, lambda ids: self.engine.cancel(ids, reason=reason, now=now))

    def requeue(self, job_id: int | None = None, **wanted: Any) -> list[int]:
        """Run a finished job again with a fresh budget, or all that match. Gives the ids."""
        now = self.clock.now_ms()
        return self._change("requeue", job_id, wanted, lambda ids: self.engine.requeue(ids, now=now))

    def delete_jobs(self, job_id: int | None = None, **wanted: Any) -> list[int]:
        """Remove a job that does not run, or all that match. Gives the ids."""
        return self._change("delete", job_id, wanted, self.engine.delete)

    def reschedule(
        self,
        job_id: int | None = None,
        *,
        delay: timedelta | float | None = None,
        run_at: datetime | None = None,
        priority: int | None = None,
        to_queue: str | None = None,
        **wanted: Any,
    ) -> list[int]:
        """Give a job at rest, or all that match, another time, priority or queue. Gives the ids."""
        now = self.clock.now_ms()
        if delay is not None and run_at is not None:
            raise InvalidOption("give either delay or run_at, not both")
        moment = None if run_at is None else instant_ms(run_at, what="run_at")
        if delay is not None:
            moment = now + to_ms(delay, what="delay")
        change = Change(
            run_at=moment,
            priority=None if priority is None else check_priority(priority),
            queue=None if to_queue is None else check_name(to_queue, what="queue"),
        )
        return self._change("reschedule", job_id, wanted, lambda ids: self.engine.reschedule(ids, change, now=now))

    def _change(
        self, verb: str, job_id: int | None, wanted: dict[str, Any], act: Callable[[list[int]], list[int]]
    ) -> list[int]:
        if job_id is not None:
            if wanted:
                raise InvalidOption("give either an id or filters, not both")
            if not act([job_id]):
                state = self.get_job(job_id).state
                raise WrongState(f"job {job_id} is {state.word}; that does not allow {verb}")
            return [job_id]
        if not wanted:
            raise InvalidOption(f"{verb} needs an id or a filter; state='…' or queue='…' for many")
        changed: list[int] = []
        for ids in matching_ids(self.engine, job_filter(**wanted)):
            changed += act(ids)
        return changed

    # Queues and totals

    def pause_queue(self, queue: str, *, reason: str | None = None) -> None:
        """Let no job of the queue start until it is resumed; what runs goes on."""
        self.engine.pause_queue(check_name(queue, what="queue"), reason=reason, now=self.clock.now_ms())

    def resume_queue(self, queue: str) -> bool:
        """Let the queue's jobs start again; false when it was not paused."""
        return self.engine.resume_queue(check_name(queue, what="queue"))

    def stats(self) -> Stats:
        """Give sizes by queue, state and priority, oldest ages and rates, workers and the file."""
        return collect_stats(self.engine, now=self.clock.now_ms())

    # Running

    def work(
        self,
        *,
        queues: Sequence[str] | None = None,
        threads: int = 1,
        coroutines: int = 100,
        burst: bool = False,
        max_jobs: int | None = None,
    ) -> WorkResult:
        """Run jobs in this thread until stopped, or with ``burst`` until nothing is left. Gives what was done."""
        settings = WorkSettings(
            queues=None if queues is None else tuple(check_name(queue, what="queue") for queue in queues),
            threads=threads,
            coroutines=coroutines,
            burst=burst,
            max_jobs=max_jobs,
            retention_ms=self.retention_ms,
        )
        return Worker(self.engine, self.tasks, self.clock, settings, self.default_retry).run()

    @contextmanager
    def worker(
        self, *, queues: Sequence[str] | None = None, threads: int = 1, coroutines: int = 100
    ) -> Generator[Worker]:
        """Run jobs beside the block, in threads of this process; at its end running jobs are finished."""
        settings = WorkSettings(
            queues=None if queues is None else tuple(queues),
            threads=threads,
            coroutines=coroutines,
            retention_ms=self.retention_ms,
        )
        worker = Worker(self.engine, self.tasks, self.clock, settings, self.default_retry)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()
            worker.join()

    def claims(
        self,
        *,
        queues: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        limit: int = 1,
        wait: bool = True,
    ) -> Claims:
        """Iterate over claims, consumer style; each is reported by its own methods. ``wait=False`` ends when empty."""
        names = tuple(tasks) if tasks is not None else tuple(definition.name for definition in self.tasks)
        return Claims(self.engine, self.clock, queues=queues, tasks=names, limit=limit, wait=wait)


def _refuse_while_importing() -> None:
    """Refuse to enqueue while a command imports the application: every worker would enqueue again."""
    named = importing.get()
    if named is not None:
        raise InvalidOption(
            f"{named} enqueues while it is imported; put that behind the line: if __name__ == '__main__':"
        )


def _checked_durability(value: str) -> Durability:
    if value not in {"full", "normal"}:
        raise InvalidOption(f"durability must be 'full' or 'normal', not {value[:40]!r}")
    return cast("Durability", value)


def _unique(options: Options, now: int) -> Unique | None:
    if options.unique_key is None:
        return None
    return Unique(
        key=options.unique_key,
        scope=options.unique_scope,
        held_until=None if options.unique_ms is None else now + options.unique_ms,
        on_conflict=options.on_conflict,
    )
