"""The part of an app that makes batches and flows, and finds batches again."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from liteq.batch import Batch, Planned
from liteq.clock import Clock
from liteq.errors import BatchNotFound, InvalidOption, QueueFull
from liteq.flow import Chain, Group, unfold
from liteq.importing import refuse_while_importing
from liteq.job import Job
from liteq.model.batch import BatchRecord, NewBatch
from liteq.model.job import Enqueued, NewJob
from liteq.model.names import check_name
from liteq.model.retry import Retry
from liteq.room import when_room
from liteq.store.engine import Engine
from liteq.task import Call, Payload


class Batching(ABC):
    """The part of ``Liteq`` that knows batches."""

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
    def _handle(self, call: Call[Any], answer: Enqueued) -> Job[Any]: ...

    def batch(
        self,
        name: str,
        /,
        *,
        on_success: Call[Any] | Payload | None = None,
        on_failure: Call[Any] | Payload | None = None,
        on_complete: Call[Any] | Payload | None = None,
        max_failed: int = 0,
    ) -> Batch:
        """Give a batch to put together in a ``with`` block, at whose end it is stored with its jobs in one commit.

        When its last job has ended, ``on_complete`` is enqueued, and ``on_success`` or, if more than ``max_failed`` of
        its jobs are dead or cancelled, ``on_failure``; each at most once.
        """
        wanted = NewBatch(
            name=check_name(name, what="batch"),
            max_failed=_check_max_failed(max_failed),
            on_success=self._callback(on_success),
            on_failure=self._callback(on_failure),
            on_complete=self._callback(on_complete),
        )
        return self._batch(wanted)

    def workflow(
        self,
        name: str,
        /,
        *,
        on_success: Call[Any] | Payload | None = None,
        on_failure: Call[Any] | Payload | None = None,
        on_complete: Call[Any] | Payload | None = None,
    ) -> Batch:
        """Give a batch whose jobs wait for each other: ``batch.add(job, after=[…])``, in any order but no circle."""
        return self.batch(name, on_success=on_success, on_failure=on_failure, on_complete=on_complete)

    def get_batch(self, batch_id: int) -> Batch:
        """Give the handle of a batch, with its row read. Raises BatchNotFound."""
        record = self.engine.get_batch(batch_id)
        if record is None:
            raise BatchNotFound(f"there is no batch {batch_id}")
        return self._batch_of(record)

    def list_batches(self, *, limit: int = 100, live: bool = False, before_id: int | None = None) -> list[Batch]:
        """Give the newest batches first, with ``live`` those that have not finished."""
        records = self.engine.list_batches(limit=limit, live=live, before_id=before_id)
        return [self._batch_of(record) for record in records]

    def _batch_of(self, record: BatchRecord) -> Batch:
        return self._batch(NewBatch(name=record.name, max_failed=record.max_failed), record)

    def _batch(self, wanted: NewBatch, record: BatchRecord | None = None) -> Batch:
        return Batch(wanted, engine=lambda: self.engine, clock=self.clock, store=self._store_batch, record=record)

    def _callback(self, wanted: Call[Any] | Payload | None) -> bytes | None:
        if wanted is None:
            return None
        return self.call(wanted).template(default_retry=self.default_retry, once=True).encode()

    def _store_batch(self, batch: NewBatch | int, planned: Sequence[Planned]) -> tuple[int, list[Job[Any]]]:
        engine = self.engine

        def store(jobs: list[NewJob], now: int) -> tuple[int, list[Enqueued]]:
            if isinstance(batch, NewBatch):
                return engine.enqueue_batch(batch, jobs, now=now)
            return batch, engine.enqueue([replace(job, batch_id=batch) for job in jobs], now=now)

        return self._store_planned(planned, store)

    def _enqueue_flow(self, flow: Chain | Group) -> list[Job[Any]]:
        planned: list[Planned] = []

        def add(wanted: Call[Any] | Payload, after: list[int]) -> int:
            planned.append(Planned(wanted, tuple(after)))
            return len(planned) - 1

        unfold(flow, add, [])
        engine = self.engine
        return self._store_planned(planned, lambda jobs, now: (0, engine.enqueue(jobs, now=now)))[1]

    def _store_planned(
        self, planned: Sequence[Planned], store: Callable[[list[NewJob], int], tuple[int, list[Enqueued]]]
    ) -> tuple[int, list[Job[Any]]]:
        """Have the planned jobs stored in one commit; give what ``store`` gives, with handles for answers."""
        refuse_while_importing()
        now = self.clock.now_ms()
        calls = [self.call(one.wanted) for one in planned]
        jobs = [
            replace(call.new_job(now=now, default_retry=self.default_retry), siblings=one.siblings)
            for call, one in zip(calls, planned, strict=True)
        ]
        try:
            batch_id, answers = store(jobs, now)
        except QueueFull as full:
            again = partial(store, jobs, now)
            batch_id, answers = when_room(full, again, engine=self.engine, clock=self.clock, calls=calls)
        return batch_id, list(map(self._handle, calls, answers))


def _check_max_failed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"max_failed must be an int, not {type(value).__name__}")
    if not 0 <= value < 2**63:
        raise InvalidOption(f"max_failed must be 0 or more, not {value}")
    return value
