"""The supervisor's eye on the slates: who hangs past its lease, or holds a task past its time, is killed first.

Only then, its lock free, are its jobs taken.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress

from liteq.errors import LeaseLost
from liteq.model.fleet import Death, StartedJob, WorkerRecord
from liteq.model.transitions import Outcome
from liteq.store.engine import Engine
from liteq.worker.child import RELEASE_MS, Child

SILENT_MS = 2_000
"""A worker beats once a second from a thread of its own: so long a silence means that no Python runs in it."""
FROZEN_MS = 2_000


class Judging:
    """Kills children that cannot help themselves."""

    def __init__(self, *, grace_ms: int, tell: Callable[[str, Child, str], None]) -> None:
        self._grace_ms = grace_ms
        self._tell = tell
        self._looked_at: int | None = None
        self._patient_until = 0

    def look(self, engine: Engine, children: Mapping[int, Child], *, now: int) -> list[WorkerRecord]:
        """Judge the children, by their worker ids, at a monotonic time; give those that may go on.

        What is wrong with the file is raised.
        """
        if self._looked_at is not None and now - self._looked_at > FROZEN_MS:
            # This process was stopped itself, perhaps with all the others: first they may beat again.
            self._patient_until = now + SILENT_MS
        self._looked_at = now
        if now < self._patient_until:
            return []
        well: list[WorkerRecord] = []
        for record in engine.workers():
            child = children.get(record.id)
            # A pid that is another's: the file was replaced, and its worker is only a namesake.
            if child is None or child.pid != record.pid or child.farewell is not None:
                continue
            if not record.alive:
                self._end_lost(child)
                continue
            overdue = self._overdue(record, now)
            if overdue:
                self._end_overdue(engine, record, child, overdue)
            elif record.is_hung(now):
                self._end_hung(record, child, now)
            else:
                well.append(record)
        return well

    def _overdue(self, record: WorkerRecord, now: int) -> list[StartedJob]:
        silent = record.silent_for(now)
        # A worker whose side thread turns writes the verdict itself, and its other jobs have their grace.
        patience = 0 if silent is not None and silent > SILENT_MS else self._grace_ms + RELEASE_MS
        return [job for job in record.started if job.deadline and now > job.deadline + patience]

    def _end_overdue(self, engine: Engine, record: WorkerRecord, child: Child, overdue: list[StartedJob]) -> None:
        for job in overdue:
            with suppress(LeaseLost):
                engine.time_out(job_id=job.job_id, attempt=job.attempt, worker_id=record.id)
        ids = ", ".join(str(job.job_id) for job in overdue)
        self._tell("overdue", child, f"job {ids} is past its time and does not stop; its process is killed")
        child.kill(Death(cause="its worker was killed for a job past its time", outcome=Outcome.RELEASED))

    def _end_lost(self, child: Child) -> None:
        """End a process whose lock is free although it lives: others have its jobs, or are about to."""
        self._tell("killed", child, "its lock is gone (a task ran exec, or closed what it found open); it is killed")
        child.kill(Death(cause="its worker lost its lock: a task ran exec, or closed every descriptor"))

    def _end_hung(self, record: WorkerRecord, child: Child, now: int) -> None:
        silent = (record.silent_for(now) or 0) / 1000
        self._tell("hung", child, f"no beat for {silent:.1f} s; it is killed")
        child.kill(Death(cause=f"its worker hung: no beat for {silent:.1f} s", outcome=Outcome.HUNG))
