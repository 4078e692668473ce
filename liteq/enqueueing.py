"""The part of an app that takes many jobs in: in one commit, or streamed in commits of a bounded size."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, overload

from liteq.clock import Clock
from liteq.errors import InvalidOption, PartlyEnqueued, QueueFull, StorageError
from liteq.importing import refuse_while_importing
from liteq.job import Job
from liteq.model.job import Enqueued
from liteq.model.retry import Retry
from liteq.model.stored import StoredJobs
from liteq.room import when_room
from liteq.store.engine import Engine
from liteq.task import Call, Payload

MAX_CHUNK = 10_000
CHUNK_BYTES = 16 * 1024 * 1024
"""A chunk ends early when its arguments are so many: neither memory nor a commit may grow with large payloads."""


class Enqueueing(ABC):
    """The part of ``Liteq`` that stores many jobs at a time."""

    clock: Clock
    default_retry: Retry

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """What keeps the jobs."""

    @abstractmethod
    def call(self, wanted: Call[Any] | Payload | str, /, *args: Any, **kwargs: Any) -> Call[Any]:
        """Give a job not yet enqueued."""

    @abstractmethod
    def _handle(self, call: Call[Any], answer: Enqueued) -> Job[Any]:
        """Give the handle of a stored job."""

    @overload
    def enqueue_many(self, wanted: Iterable[Call[Any] | Payload], /) -> list[Job[Any]]: ...
    @overload
    def enqueue_many(self, wanted: Iterable[Call[Any] | Payload], /, *, chunk: None) -> list[Job[Any]]: ...
    @overload
    def enqueue_many(self, wanted: Iterable[Call[Any] | Payload], /, *, chunk: int) -> StoredJobs: ...
    def enqueue_many(self, wanted: Iterable[Call[Any] | Payload], /, *, chunk: int | None = None) -> Any:
        """Store any number of jobs in one commit, all or none. The iterable is read before the file is locked.

        Handles come in the given order; jobs whose unique key was held and that said ``skip`` are left out.

        With ``chunk`` the iterable may be of any length: so many jobs are read, committed and forgotten, then the next,
        and what comes back says how many there were. Whatever breaks that off, be it the iterable's own error, leads to
        PartlyEnqueued, which tells what is stored; jobs with unique keys make a second run harmless.
        """
        refuse_while_importing()
        if chunk is None:
            calls = [one if isinstance(one, Call) else self.call(one) for one in wanted]
            pairs = zip(calls, self._store(calls), strict=True)
            return [self._handle(call, answer) for call, answer in pairs if answer.answer != "skipped"]
        if isinstance(chunk, bool) or not isinstance(chunk, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"chunk must be an int, not {type(chunk).__name__}")
        if not 1 <= chunk <= MAX_CHUNK:
            raise InvalidOption(f"chunk must be from 1 to {MAX_CHUNK}, not {chunk}")
        return self._stream(wanted, chunk)

    def _send_many(self, wanted: Iterable[Call[Any]], chunk: int) -> StoredJobs:
        return self.enqueue_many(wanted, chunk=chunk)

    def _stream(self, wanted: Iterable[Call[Any] | Payload], size: int) -> StoredJobs:
        stored = StoredJobs()
        last: tuple[int, ...] = ()
        try:
            for calls in self._chunks(wanted, size):
                answers = self._store(calls)
                stored, last = stored.with_chunk(answers), tuple(answer.job_id for answer in answers)
        except Exception as error:
            raise PartlyEnqueued(
                f"{type(error).__name__}: {error} ({_told(stored)})",
                jobs=stored.jobs,
                chunks=stored.chunks,
                last_chunk=last,
                may_have_committed=isinstance(error, StorageError) and error.may_have_committed,
            ) from error
        except BaseException as error:
            error.add_note(f"enqueue_many was interrupted ({_told(stored)})")
            raise
        return stored

    def _chunks(self, wanted: Iterable[Call[Any] | Payload], size: int) -> Iterator[list[Call[Any]]]:
        calls: list[Call[Any]] = []
        held = 0
        for one in wanted:
            call = self.call(one)
            calls.append(call)
            held += len(call.args)
            if len(calls) == size or held >= CHUNK_BYTES:
                yield calls
                calls, held = [], 0
        if calls:
            yield calls

    def _store(self, calls: Sequence[Call[Any]]) -> list[Enqueued]:
        engine, now, retry = self.engine, self.clock.now_ms(), self.default_retry
        jobs = [call.new_job(now=now, default_retry=retry) for call in calls]
        try:
            return engine.enqueue(jobs, now=now)
        except QueueFull as full:
            again = partial(engine.enqueue, jobs, now=now)
            return when_room(full, again, engine=engine, clock=self.clock, calls=calls)


def _told(stored: StoredJobs) -> str:
    return f"jobs stored: {stored.jobs:,}, in commits: {stored.chunks:,}"
