"""Workers come and go. Its life lock proves that one has died, and its slate says which jobs it had started."""

import os
import random
from collections.abc import Mapping

import msgspec

from liteq.model.fleet import WorkerCard, WorkerRecord
from liteq.model.job import Expired
from liteq.model.retry import decode_backoff
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Slate
from liteq.store.sqlite import metering
from liteq.store.sqlite.connection import Row
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.platform import boot_id, pid_namespace
from liteq.store.sqlite.reporting import cancel_as_asked
from liteq.store.sqlite.slate import LifeLock, StartedJob, WorkerIdentity

AT_ONCE = 500


class _Loss(msgspec.Struct, frozen=True):
    """What a dead worker's job is moved to, decided before the write."""

    state: State
    charge: bool
    cause: str
    run_at: int | None
    started_at: int | None


class Staffing:
    """The verbs about workers."""

    file: JobFile
    lives: dict[int, LifeLock]

    def register_worker(self, card: WorkerCard, *, now: int) -> Slate:
        values = {
            "name": card.name,
            "pid": os.getpid(),
            "boot_id": boot_id(),
            "pid_namespace": pid_namespace(),
            "now": now,
            "tasks": msgspec.json.encode(card.tasks).decode(),
            "queues": None if card.queues is None else msgspec.json.encode(card.queues).decode(),
            "slots": card.slots,
        }
        life: LifeLock | None = None
        connection = self.file.writer.connection
        try:
            with self.file.writer.transaction():
                worker_id = connection.rows("register_worker", values)[0][0]
                # The lock is held before anybody can see the row: there is no moment in which the newborn looks dead.
                life = self.file.sidecar.hold_life(worker_id)
                identity = life.identity()
                facts = {"worker_id": worker_id, "life_ino": identity.life_ino, "pid_start": identity.pid_start}
                connection.rows("identify_worker", facts)
        except BaseException:
            # Without its row the id is given out again, and must not be held.
            if life is not None:
                life.release(remove=True)
            raise
        self.lives[worker_id] = life
        return life

    def retire_worker(self, slate: Slate) -> None:
        with self.file.writer.transaction(durable=False):
            connection = self.file.writer.connection
            owing = connection.rows("running_of", {"worker_id": slate.worker_id, "limit": 1})
            if not owing:
                connection.rows("strike_worker", {"worker_id": slate.worker_id})
        life = self.lives.pop(slate.worker_id, None)
        if life is not None:
            # With jobs still in its name it may not vanish: its row, slate and free lock let the next worker take them.
            life.release(remove=not owing)

    def expire(self, *, now: int, causes: Mapping[int, str] | None = None) -> list[Expired]:
        known = causes or {}
        taken: list[Expired] = []
        for row in self.file.read("worker_identities"):
            identity = WorkerIdentity(*row)
            if self.file.sidecar.is_dead(identity):
                cause = known.get(identity.worker_id, "its worker died")
                taken += self._bury(identity, cause, now)
        return taken

    def workers(self) -> list[WorkerRecord]:
        return [self._record(row) for row in self.file.read("workers")]

    def _bury(self, identity: WorkerIdentity, cause: str, now: int) -> list[Expired]:
        slate = self.file.sidecar.read_slate(identity.worker_id)
        started = {(job.job_id, job.attempt): job for job in slate.started} if slate else {}
        taken: list[Expired] = []
        who = {"worker_id": identity.worker_id}
        while True:
            with self.file.writer.transaction():
                connection = self.file.writer.connection
                jobs = connection.rows("running_of", who | {"limit": AT_ONCE})
                moved = [self._expire(row, started.get((row[0], row[1])), cause, now) for row in jobs]
                stopped = cancel_as_asked(connection, [row[0] for row in jobs], now=now)
                taken += [_as_cancelled(one) if one.job_id in stopped else one for one in moved]
                if len(jobs) < AT_ONCE:
                    connection.rows("strike_worker", who)
                    break
        self.file.sidecar.forget(identity.worker_id)
        return taken

    def _expire(self, row: Row, started: StartedJob | None, cause: str, now: int) -> Expired:
        job_id, attempt, worker_id, queue, task, claimed_at, *_ = row
        loss = _judge(row, started, cause, now)
        connection = self.file.writer.connection
        values = {
            "job_id": job_id,
            "attempt": attempt,
            "worker_id": worker_id,
            "state": int(loss.state),
            "charge": int(loss.charge),
            "run_at": loss.run_at,
            "reason": loss.cause if loss.state is State.DEAD else None,
            "started_at": loss.started_at,
            "now": now,
        }
        connection.rows("expire", values)
        outcome = Outcome.CRASHED if loss.charge else Outcome.RELEASED
        story = dict.fromkeys(("exit_code", "traceback", "log", "output"))
        connection.rows(
            "remember",
            values
            | story
            | {"outcome": outcome.value, "claimed_at": claimed_at, "finished_at": now, "error": loss.cause},
        )
        if loss.charge:
            metering.add(connection, queue, task, now=now, crashed=1, dead=int(loss.state is State.DEAD))
        return Expired(job_id, attempt, loss.state, loss.charge, loss.cause)

    def _record(self, row: Row) -> WorkerRecord:
        worker_id, name, pid, started_at, tasks, queues, slots, running, *rest = row
        identity = WorkerIdentity(worker_id, pid, *rest)
        slate = self.file.sidecar.read_slate(worker_id)
        return WorkerRecord(
            id=worker_id,
            name=name,
            pid=pid,
            started_at=started_at,
            tasks=tuple(msgspec.json.decode(tasks)),
            queues=None if queues is None else tuple(msgspec.json.decode(queues)),
            slots=slots,
            running=running,
            alive=not self.file.sidecar.is_dead(identity),
            beat=slate.beat if slate else None,
        )


def _as_cancelled(expired: Expired) -> Expired:
    return msgspec.structs.replace(expired, state=State.CANCELLED)


def _judge(row: Row, started: StartedJob | None, cause: str, now: int) -> _Loss:
    """Decide where a dead worker's job goes. Only jobs that had started may have been what killed it."""
    *_, crashes, max_crashes, backoff = row
    if started is None:
        return _Loss(State.READY, charge=False, cause=f"not started when {cause}", run_at=None, started_at=None)
    if crashes + 1 >= max_crashes:
        poison = f"poison: it crashed {crashes + 1} workers, the last because {cause}"
        return _Loss(State.DEAD, charge=True, cause=poison, run_at=None, started_at=started.started_at)
    if crashes == 0:
        return _Loss(State.READY, charge=True, cause=cause, run_at=None, started_at=started.started_at)
    policy = decode_backoff(backoff)
    wait = policy.spread(policy.delay_ms(crashes + 1), draw=random.random())  # noqa: S311  no secret
    return _Loss(State.SCHEDULED, charge=True, cause=cause, run_at=now + wait, started_at=started.started_at)
