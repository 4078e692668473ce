"""What a user holds: the handle of a stored job, and the context of the one that runs."""

import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from liteq.clock import Clock, to_datetime
from liteq.errors import InvalidOption, JobNotFound, LiteqError, NotCompleted
from liteq.following import Followed
from liteq.keeping import Keeping, metadata_of
from liteq.lock import Lock, Locks
from liteq.memory import Memory
from liteq.model.job import Answer, Attempt, Claim, JobRecord
from liteq.model.payload import decode, decoder
from liteq.model.transitions import FINISHED, State
from liteq.store.engine import Engine
from liteq.waiting import wait_until

R = TypeVar("R")

log = logging.getLogger("liteq.job")


class Host(Protocol):
    """What a worker does for the tasks that it runs."""

    locks: Locks
    ask_parents: Callable[[int], list[JobRecord]]
    open_memory: Callable[[Claim], Memory]


class Run:
    """One attempt while it runs: what the worker shares with the task through its context.

    Most attempts alter nothing of it, so what they may alter begins as a default of the class.
    """

    deadline_at: int | None = None
    """The instant at which the time limit ends, for the task to look at."""
    over_at: int | None = None
    """The same in monotonic milliseconds, which decide: a clock that is set must not end anybody's time."""
    hard_at: int | None = None
    """When its process may be ended for it, in monotonic milliseconds."""
    hardened = False
    overdue = False
    """Whether the verdict that it is past its time has been written: what it returns comes too late."""
    asked_to_stop = False
    timed_out = False
    saw_stop = False
    lost = False
    lines: list[str] | None = None
    memory: Memory | None = None
    """What the attempt has said and keeps, from the first word on."""

    def __init__(self, claim: Claim, host: Host | None = None) -> None:
        self.claim = claim
        self._host = host
        self.at_end: dict[object, Callable[[], None]] = {}
        """What is to be done when the attempt has ended, however it has, each under a key of its own."""

    @property
    def host(self) -> Host:
        """The worker that runs it. Raises InvalidOption where there is none."""
        if self._host is None:
            raise InvalidOption(f"job {self.claim.job_id} runs without a worker; nothing can be kept for it")
        return self._host

    def finish(self) -> None:
        """Do what was left for the end. What fails is logged: the end itself is no less the end."""
        while self.at_end:
            _, step = self.at_end.popitem()
            try:
                step()
            except LiteqError:
                log.exception("job %d could not be tidied after", self.claim.job_id)


_opening_memory = threading.Lock()


running: ContextVar[Run | None] = ContextVar("liteq_running", default=None)
"""The attempt that the calling thread or coroutine is busy with."""


class Parent:
    """A job that this one waited for, as it ended."""

    __slots__ = ("_record",)

    def __init__(self, record: JobRecord) -> None:
        self._record = record

    def __repr__(self) -> str:
        return f"<Parent {self.id} {self.state.word}>"

    @property
    def id(self) -> int:
        return self._record.id

    @property
    def task(self) -> str:
        return self._record.task

    @property
    def state(self) -> State:
        return self._record.state

    @property
    def result(self) -> Any:
        """The result as plain JSON values. Raises NotCompleted where there is none."""
        return result_of(self._record, Any)

    def result_as(self, kind: type[R] | Any) -> R:
        """Give the result in the type that is wanted. Raises NotCompleted, and Undecodable where it does not fit."""
        return cast("R", result_of(self._record, kind))


class JobContext(Keeping):
    """What a task may ask and say about its own run. Injected where a parameter is annotated with it."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def id(self) -> int:
        """The job's id."""
        return self._run.claim.job_id

    @property
    def attempt(self) -> int:
        """Which claim of the job this is, from 1. No idempotency token: a power cut may forget a claim."""
        return self._run.claim.attempt

    @property
    def batch_id(self) -> int | None:
        """The batch that the job is in, or whose end it was made for; None without one.

        ``task.using(batch=ctx.batch_id)`` adds jobs to it while this one runs.
        """
        return self._run.claim.batch_id

    @property
    def failures(self) -> int:
        """How many attempts failed before this one."""
        return self._run.claim.failures

    @property
    def queue(self) -> str:
        return self._run.claim.queue

    @property
    def deadline(self) -> datetime | None:
        """When the time limit ends, UTC; None without a limit."""
        return None if self._run.deadline_at is None else to_datetime(self._run.deadline_at)

    @property
    def parents(self) -> tuple[Parent, ...]:
        """The jobs that this one waited for, in the order in which they were given, as far as they are still kept."""
        return tuple(Parent(record) for record in self._run.host.ask_parents(self.id))

    @property
    def fire_at(self) -> datetime | None:
        """The tick that the job was made for, UTC; None for jobs that no schedule made."""
        fire_at = self._run.claim.fire_at
        return None if fire_at is None else to_datetime(fire_at)

    @property
    def cancelled(self) -> bool:
        """Whether the task should stop: somebody asked, its time is over, or the worker is leaving.

        A task that has seen true here and returns is recorded as aborted or timed out, not as completed.
        """
        stop = self._run.asked_to_stop or self._run.timed_out or self._run.lost
        if stop:
            self._run.saw_stop = True
        return stop

    @property
    def lost(self) -> bool:
        """Whether the job was taken from this attempt; whatever it reports will be dropped."""
        return self._run.lost

    def lock(self, name: str, *, timeout: timedelta | float | None = None) -> Lock:
        """Give a named lock, as ``app.lock`` does; it is held by this attempt, and released when that ends."""
        return self._run.host.locks.lock(name, timeout=timeout, attempt=self._run)

    @property
    def log(self) -> logging.Logger:
        """A logger whose records are kept with the attempt, like those of every other logger."""
        return logging.getLogger(f"liteq.task.{self._run.claim.task}")

    def _remember(self) -> Memory:
        memory = self._run.memory
        if memory is None:
            # Two threads of a task may speak first at once; what the one says must not be forgotten for the other.
            with _opening_memory:
                memory = self._run.memory = self._run.memory or self._run.host.open_memory(self._run.claim)
        return memory


class Job(Followed, Generic[R]):
    """The handle of a stored job. Reads the row when asked; ``refresh`` reads it anew."""

    def __init__(
        self,
        job_id: int,
        engine: Engine,
        clock: Clock,
        result_type: Any = Any,
        answer: Answer = "new",
        record: JobRecord | None = None,
    ) -> None:
        self.id = job_id
        self.answer: Answer = answer
        self._engine = engine
        self._clock = clock
        self._result_type = result_type
        self._record = record

    def __repr__(self) -> str:
        state = f" {self._record.state.word}" if self._record else ""
        return f"<Job {self.id}{state}>"

    @property
    def created(self) -> bool:
        """Whether enqueueing made a new row, rather than finding the holder of the unique key."""
        return self.answer == "new"

    @property
    def record(self) -> JobRecord:
        """The row as it was last read. Raises JobNotFound."""
        return self._record or self.refresh().record

    def refresh(self) -> "Job[R]":
        """Read the row again and give the handle. Raises JobNotFound when it was deleted or pruned."""
        found = self._engine.get_job(self.id)
        if found is None:
            raise JobNotFound(f"there is no job {self.id}")
        self._record = found
        return self

    @property
    def state(self) -> State:
        return self.record.state

    @property
    def queue(self) -> str:
        return self.record.queue

    @property
    def task(self) -> str:
        return self.record.task

    @property
    def priority(self) -> int:
        return self.record.priority

    @property
    def run_at(self) -> datetime:
        return to_datetime(self.record.run_at)

    @property
    def attempt(self) -> int:
        return self.record.attempt

    @property
    def failures(self) -> int:
        return self.record.failures

    @property
    def batch_id(self) -> int | None:
        """The batch that it is in, or that it was made for."""
        return self.record.batch_id

    @property
    def reason(self) -> str | None:
        """Why it is dead or was cancelled."""
        return self.record.reason

    @property
    def args(self) -> Any:
        """The arguments as plain JSON values."""
        return decode(self.record.args, decoder(Any), what="args")

    @property
    def tags(self) -> tuple[str, ...]:
        return self._engine.tags(self.id)

    @property
    def metadata(self) -> dict[str, Any]:
        """What was stored beside it by ``using(metadata=...)``; empty without."""
        return metadata_of(self.record.metadata)

    @property
    def attempts(self) -> list[Attempt]:
        """What is remembered of its attempts, oldest first; a plain first success leaves nothing."""
        return self._engine.attempts(self.id)

    @property
    def result(self) -> R:
        """The result, in the type that the task is annotated with. Raises NotCompleted without one."""
        return cast("R", result_of(self.record, self._result_type))

    def wait(self, timeout: timedelta | float | None = None) -> "Job[R]":
        """Return the handle once the job is completed, dead or cancelled.

        Raises WaitTimeout when it is not so in time, InvalidOption inside a task: a worker that waits for a job that
        only it could run would wait for ever. Inside a transaction likewise: nobody could report the job's end.
        """
        refuse_inside_task()
        wait_until(
            lambda: self.refresh().state in FINISHED,
            engine=self._engine,
            clock=self._clock,
            timeout=timeout,
            what=lambda: f"job {self.id} is still {self.state.word}",
        )
        return self

    def _ended(self) -> bool:
        return self.refresh().state in FINISHED

    def _refuse_to_follow(self) -> None:
        if self._engine.in_transaction():
            raise InvalidOption("stream() inside a transaction would wait for ever; read it when the block has ended")
        if running.get() is not None and not self._ended():
            raise InvalidOption("stream() inside a task could wait for ever; read it when the job has finished")


def refuse_inside_task() -> None:
    """Raise InvalidOption in a task: a worker that waits for a job that only it could run would wait for ever."""
    if running.get() is not None:
        raise InvalidOption("wait() inside a task could wait for ever; enqueue a follow-up job instead")


def result_of(record: JobRecord, kind: Any) -> Any:
    """Give a job's result in the type that is wanted. Raises NotCompleted where there is none."""
    if record.state is not State.COMPLETED:
        why = f": {record.reason}" if record.reason else ""
        raise NotCompleted(f"job {record.id} is {record.state.word}, it has no result{why}")
    if record.result_error is not None:
        raise NotCompleted(f"job {record.id} completed, but its result was not stored: {record.result_error}")
    return None if record.result is None else decode(record.result, decoder(kind), what="result")


def to_plain(record: JobRecord) -> dict[str, Any]:
    """Give a row as plain values for JSON: instants as ISO text in UTC, the state as a word, payloads decoded."""
    plain: dict[str, Any] = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if name.endswith("_at") and value is not None:
            plain[name] = to_datetime(value).isoformat()
        elif name in {"args", "result", "backoff", "metadata"}:
            plain[name] = None if value is None else _readable(value)
        else:
            plain[name] = value.word if isinstance(value, State) else value
    return plain


def _readable(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"undecodable": data[:200].hex()}
