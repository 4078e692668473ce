"""What applications and people do by hand: to jobs by id or by filter, to whole queues, and to limits."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from liteq.clock import Clock
from liteq.errors import InvalidOption, JobNotFound, WrongState
from liteq.job import Job
from liteq.model.guard import GuardRecord
from liteq.model.instants import instant_ms, to_ms
from liteq.model.job import Change, JobRecord
from liteq.model.limits import NO_LIMIT, LimitRecord, check_max_pending, limit_of
from liteq.model.names import check_name
from liteq.model.priority import check_priority
from liteq.model.rate import Rate
from liteq.registry import Registry
from liteq.selection import job_filter, matching_ids
from liteq.store.engine import Engine

MAX_LIMIT = 1_000_000_000


class Handling(ABC):
    """The part of ``Liteq`` that finds and alters what is stored already."""

    tasks: Registry
    clock: Clock

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """What keeps the jobs."""

    def get_job(self, job_id: int) -> Job[Any]:
        """Give the handle of a job, with its row read. Raises JobNotFound."""
        record = self.engine.get_job(job_id)
        if record is None:
            raise JobNotFound(f"there is no job {job_id}")
        return self._handle_of(record)

    def list_jobs(self, *, limit: int = 100, before_id: int | None = None, **wanted: Any) -> list[Job[Any]]:
        """Give the newest matching jobs first. Filters: state, queue, task, tag, batch, since, until."""
        records = self.engine.list_jobs(job_filter(**wanted), limit=limit, before_id=before_id)
        return [self._handle_of(record) for record in records]

    def _handle_of(self, record: JobRecord) -> Job[Any]:
        definition = self.tasks.get(record.task)
        kind = Any if definition is None else definition.signature.result_type
        return Job(record.id, engine=self.engine, clock=self.clock, result_type=kind, record=record)

    def count_jobs(self, **wanted: Any) -> int:
        """Count the matching jobs. Filters: state, queue, task, tag, batch, since, until."""
        return self.engine.count_jobs(job_filter(**wanted))

    def cancel(
        self, job_id: int | None = None, *, reason: str = "cancelled by hand", hard: bool = False, **wanted: Any
    ) -> list[int]:
        """Cancel a job, or all that match; those that run are asked to stop. Gives the ids.

        ``hard``: a task that does not stop when asked is stopped with its process, if a supervisor can replace that.
        Raises JobNotFound and, for one that has finished, WrongState.
        """
        now = self.clock.now_ms()
        return self._change(
            "cancel", job_id, wanted, lambda ids: self.engine.cancel(ids, reason=reason, now=now, hard=hard)
        )

    def requeue(self, job_id: int | None = None, **wanted: Any) -> list[int]:
        """Run a finished job again with a fresh budget, or all that match. Gives the ids."""
        now = self.clock.now_ms()
        return self._change("requeue", job_id, wanted, lambda ids: self.engine.requeue(ids, now=now))

    def delete_jobs(self, job_id: int | None = None, **wanted: Any) -> list[int]:
        """Remove a job that does not run, or all that match. Gives the ids."""
        now = self.clock.now_ms()
        return self._change("delete", job_id, wanted, lambda ids: self.engine.delete(ids, now=now))

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

    # Limits

    def limit_queue(
        self,
        queue: str,
        *,
        max_running: int | None = None,
        rate: Rate | str | None = None,
        max_pending: int | None = None,
    ) -> None:
        """Let at most so many jobs of the queue run at once, start in a time, or wait; None leaves a side as it is.

        Holds for all processes at once. What runs goes on, and so does what waits: only enqueueing into a full queue is
        refused, with QueueFull. Waiting are all live jobs that do not run.
        """
        name, limit = check_name(queue, what="queue"), limit_of(max_running, rate)
        most = None if max_pending is None else check_max_pending(max_pending)
        if limit == NO_LIMIT and most is None:
            raise InvalidOption("give max_running, rate or max_pending; unlimit_queue takes limits back")
        with self.engine.transaction():
            if limit != NO_LIMIT:
                self.engine.put_limit("queue", name, limit)
            if most is not None:
                self.engine.limit_pending(name, most)

    def unlimit_queue(self, queue: str) -> bool:
        """Take back the limits of the queue; false when it had none."""
        name = check_name(queue, what="queue")
        with self.engine.transaction():
            had_room = self.engine.limit_pending(name, None)
            return self.engine.remove_limit("queue", name) or had_room

    def limit_task(self, task: str, *, max_running: int | None = None, rate: Rate | str | None = None) -> None:
        """Limit a task as an operator: goes before what is declared beside it, until ``unlimit_task``."""
        name, limit = check_name(task, what="task"), limit_of(max_running, rate)
        if limit == NO_LIMIT:
            raise InvalidOption("give max_running or rate; unlimit_task takes limits back")
        self.engine.put_limit("task", name, limit)

    def unlimit_task(self, task: str) -> bool:
        """Take back what an operator has set for the task; false when nothing was. What is declared holds again."""
        return self.engine.remove_limit("task", check_name(task, what="task"))

    def limits(self) -> list[LimitRecord]:
        """Give the limits of queues and tasks, and how many of their jobs run."""
        return self.engine.limits()

    # What guards tasks

    def guards(self) -> list[GuardRecord]:
        """Give the breakers and retry budgets of tasks, as they stand in the file."""
        return self.engine.guards()

    def reset_breaker(self, task: str) -> bool:
        """Close a task's breaker by hand, with nothing counted against it; false when it was closed."""
        return self.engine.reset_breaker(check_name(task, what="task"))
