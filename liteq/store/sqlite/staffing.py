"""Workers come and go. Its life lock proves that one has died, and its slate says which jobs it had started."""

import os
import random
from collections.abc import Callable, Mapping, Sequence

import msgspec

from liteq.model.fleet import Death, StartedJob, WorkerCard, WorkerRecord
from liteq.model.job import Expired
from liteq.model.retry import decode_backoff
from liteq.model.transitions import AT_REST, Outcome, State
from liteq.store.engine import Slate
from liteq.store.sqlite import metering, pending
from liteq.store.sqlite.aftermath import after_end, after_leaving
from liteq.store.sqlite.connection import Row
from liteq.store.sqlite.deaths import DeathWatch, Neighbours
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.guarding import note_failure, spend_retry
from liteq.store.sqlite.platform import boot_id
from liteq.store.sqlite.processes import end_group, end_marked, end_process, pid_namespace, process_start
from liteq.store.sqlite.reporting import cancel_as_asked
from liteq.store.sqlite.slate import LifeLock, WorkerIdentity, run_mark

AT_ONCE = 500
LEFT_TO_SUPERVISOR_MS = 500
"""For so long others wait for a living supervisor to take a dead worker's jobs: it alone knows the cause."""

UNSEEN = Death(cause="its worker died", unsure=True)


class _Loss(msgspec.Struct, frozen=True, kw_only=True):
    """What a lost worker's job is moved to, decided before the write."""

    state: State
    outcome: Outcome
    cause: str
    reason: str | None = None
    run_at: int | None = None

    @property
    def charge(self) -> bool:
        return self.outcome in {Outcome.CRASHED, Outcome.HUNG}


class _Listed(msgspec.Struct, frozen=True):
    """A worker's row, as far as its death is judged by it."""

    identity: WorkerIdentity
    lease_ms: int | None
    supervisor_pid: int | None
    supervisor_start: int | None

    @staticmethod
    def of(row: Row) -> "_Listed":
        *who, lease_ms, supervisor_pid, supervisor_start = row
        return _Listed(WorkerIdentity(*who), lease_ms, supervisor_pid, supervisor_start)

    def watched(self) -> tuple[int, int]:
        """Give the process whose end others must hear of, by its pid and start."""
        if self.supervisor_pid is not None and self.supervisor_start is not None and self.supervisor_lives():
            return self.supervisor_pid, self.supervisor_start
        return self.identity.pid, self.identity.pid_start

    def supervisor_lives(self) -> bool:
        return self.supervisor_pid is not None and process_start(self.supervisor_pid) == self.supervisor_start


class Staffing:
    """The verbs about workers."""

    file: JobFile
    lives: dict[int, LifeLock]
    seen_dead: dict[int, int]
    """When each worker was first seen dead that is left to its supervisor."""
    neighbours: Neighbours
    """The living others, as they were when somebody last looked for the dead."""
    condemned: dict[int, Death]
    """Why those were killed here whose own supervisor is gone."""

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
            "lease_ms": card.lease_ms,
            "supervisor_pid": card.supervisor_pid,
            "supervisor_start": None if card.supervisor_pid is None else process_start(card.supervisor_pid),
        }
        life: LifeLock | None = None
        connection = self.file.writer.connection
        try:
            with self.file.writer.transaction():
                worker_id = connection.rows("register_worker", values)[0][0]
                # The lock is held before anybody can see the row: there is no moment in which the newborn looks dead.
                life = self.file.sidecar.hold_life(worker_id, hears_stop=card.hears_stop)
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

    def expire(
        self, *, now: int, monotonic: int | None = None, causes: Mapping[int, Death] | None = None
    ) -> list[Expired]:
        known = causes or {}
        taken: list[Expired] = []
        living: list[_Listed] = []
        rows = self.file.read("worker_identities")
        for row in rows:
            worker = _Listed.of(row)
            death = known.get(worker.identity.worker_id)
            if death is not None and death.pid not in {None, worker.identity.pid}:
                death = None
            if death is None and not self._is_dead(worker.identity):
                living.append(worker)
            elif death is not None or not self._left_to_supervisor(worker, now):
                taken += self._bury(worker.identity, death, now)
        if monotonic is not None:
            for worker in living:
                taken += self._judge_living(worker, monotonic, now)
        self.neighbours = self._seen(living)
        self.seen_dead = {one: at for one, at in list(self.seen_dead.items()) if any(row[0] == one for row in rows)}
        return taken

    def watch_deaths(self) -> DeathWatch:
        return DeathWatch(lambda: self.neighbours)

    def _is_dead(self, identity: WorkerIdentity) -> bool:
        life = self.lives.get(identity.worker_id)
        return not (life is not None and life.is_held) and self.file.sidecar.is_dead(identity)

    def _seen(self, living: Sequence[_Listed]) -> Neighbours:
        others = [one for one in living if one.identity.worker_id not in self.lives]
        here = [one for one in others if self._is_here(one.identity)]
        # With a supervisor, a worker is left to it: then it is the supervisor's own death that others must hear of.
        watched = dict(one.watched() for one in here if one.identity.pid != os.getpid())
        leased = any(one.lease_ms is not None and one.supervisor_pid is None for one in others)
        return Neighbours(watched, len(others), hidden=len(here) < len(others), leased=leased)

    def _judge_living(self, worker: _Listed, monotonic: int, now: int) -> list[Expired]:
        """Take the jobs of one that has a lease which ran out, and nobody else to judge it."""
        if worker.lease_ms is None or (worker.supervisor_pid is not None and worker.identity.worker_id in self.lives):
            return []
        latest = monotonic - worker.lease_ms
        if worker.supervisor_pid is None:
            return self._take_from_hung(worker.identity, latest, worker.lease_ms, now)
        if self._is_here(worker.identity) and not worker.supervisor_lives():
            self._end_hung_orphan(worker.identity, latest, worker.lease_ms)
        return []

    def workers(self) -> list[WorkerRecord]:
        return [self._record(row) for row in self.file.read("workers")]

    def _left_to_supervisor(self, worker: _Listed, now: int) -> bool:
        if worker.supervisor_pid is None or not self._is_here(worker.identity) or not worker.supervisor_lives():
            return False
        first = self.seen_dead.setdefault(worker.identity.worker_id, now)
        return 0 <= now - first < LEFT_TO_SUPERVISOR_MS

    def _is_here(self, identity: WorkerIdentity) -> bool:
        """Tell whether its pids mean the same processes to us."""
        return identity.boot_id == boot_id() and identity.pid_namespace == pid_namespace()

    def _bury(self, identity: WorkerIdentity, death: Death | None, now: int) -> list[Expired]:
        worker_id = identity.worker_id
        if self._is_here(identity):
            self._end_commands(identity)
        condemned = self.condemned.pop(worker_id, None)
        taken = self._take_all(worker_id, death or condemned or UNSEEN, now, strike=True)
        self.file.sidecar.forget(worker_id)
        self.seen_dead.pop(worker_id, None)
        return taken

    def _end_commands(self, identity: WorkerIdentity) -> None:
        """End what a dead worker's commands go on with: the next attempt must not run beside the first."""
        slate = self.file.sidecar.read_slate(identity.worker_id)
        for job in slate.started if slate else ():
            end_group(job.group, job.group_start)
            if job.group < 0:
                end_marked(run_mark(identity.pid, identity.pid_start, job.job_id, job.attempt))

    def _end_hung_orphan(self, identity: WorkerIdentity, latest: int, lease_ms: int) -> None:
        """Kill a worker that hangs and whose supervisor can no longer do it; its jobs are taken when it is dead."""
        slate = self.file.sidecar.read_slate(identity.worker_id)
        if slate is not None and slate.beat < latest and not self._is_dead(identity):
            self.condemned[identity.worker_id] = _hung(lease_ms)
            end_process(identity.pid, identity.pid_start)

    def _take_from_hung(self, identity: WorkerIdentity, latest: int, lease_ms: int, now: int) -> list[Expired]:
        """Take the jobs of a worker that lives, but has not beaten since. Its row stays: it may go on one day."""
        worker_id = identity.worker_id

        def silent() -> bool:
            slate = self.file.sidecar.read_slate(worker_id)
            # Asked last: who has died meanwhile has left no beat, and did not hang.
            return slate is not None and slate.beat < latest and not self._is_dead(identity)

        if not silent() or not self.file.read("running_of", {"worker_id": worker_id, "limit": 1}):
            return []
        return self._take_all(worker_id, _hung(lease_ms), now, strike=False, still=silent)

    def _take_all(
        self, worker_id: int, death: Death, now: int, *, strike: bool, still: Callable[[], bool] = lambda: True
    ) -> list[Expired]:
        slate = self.file.sidecar.read_slate(worker_id)
        started = {(job.job_id, job.attempt): job for job in slate.started} if slate else {}
        taken: list[Expired] = []
        who = {"worker_id": worker_id}
        while True:
            with self.file.writer.transaction():
                if not still():
                    return taken
                connection = self.file.writer.connection
                if death.unsure and connection.rows("overdue_of", who):
                    # Whoever has a job past its time ends for that; what ran beside it is no suspect.
                    death = Death(cause="its worker ended for a job past its time", outcome=Outcome.RELEASED)
                jobs = connection.rows("running_of", who | {"limit": AT_ONCE})
                moved = [self._expire(row, started.get((row[0], row[1])), death, now) for row in jobs]
                stopped = cancel_as_asked(connection, [row[0] for row in jobs], now=now)
                taken += [_as_cancelled(one) if one.job_id in stopped else one for one in moved]
                if len(jobs) < AT_ONCE and strike:
                    connection.rows("strike_worker", who)
            if len(jobs) < AT_ONCE:
                return taken

    def _expire(self, row: Row, started: StartedJob | None, death: Death, now: int) -> Expired:
        job_id, attempt, worker_id, queue, task, claimed_at, *_ = row
        loss = _judge(row, started, death, now)
        connection = self.file.writer.connection
        overdue = loss.outcome is Outcome.TIMED_OUT
        values = {
            "job_id": job_id,
            "attempt": attempt,
            "worker_id": worker_id,
            "state": int(loss.state),
            "charge": int(loss.charge),
            "overdue": int(overdue),
            "run_at": loss.run_at,
            "reason": loss.reason,
            "started_at": None if started is None or not (loss.charge or overdue) else started.started_at,
            "now": now,
        }
        if overdue and loss.run_at is not None:
            values["run_at"] = loss.run_at + spend_retry(connection, task, now=now)[0]
        moved = connection.rows("expire", values)
        if moved and loss.state in AT_REST:
            pending.came(connection, [queue])
        story = {
            "outcome": loss.outcome.value,
            "claimed_at": claimed_at,
            "finished_at": now,
            "exit_code": death.exit_code if loss.charge else None,
            "error": loss.cause,
            "traceback": None,
            "log": None,
            "output": None,
        }
        connection.rows("remember", values | story)
        connection.rows("free_locks_of_job", {"job_id": job_id, "attempt": attempt, "now": now})
        if loss.state is State.DEAD:
            after_end(connection, moved, failed="dead", now=now)
        else:
            after_leaving(connection, moved, now=now)
        if loss.charge or overdue:
            note_failure(connection, task, (job_id, attempt), now=now)
            dead = int(loss.state is State.DEAD)
            metering.add(connection, queue, task, now=now, crashed=int(loss.charge), failed=int(overdue), dead=dead)
        return Expired(job_id, attempt, loss.state, loss.charge, loss.reason or loss.cause)

    def _record(self, row: Row) -> WorkerRecord:
        worker_id, name, pid, started_at, tasks, queues, slots, running, lease_ms, supervisor_pid, *rest = row
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
            lease_ms=lease_ms,
            supervisor_pid=supervisor_pid,
            here=identity.boot_id == boot_id() and identity.pid_namespace == pid_namespace(),
            done=slate.done if slate else 0,
            stopping=slate.stopping if slate else False,
            hears_stop=slate.hears_stop if slate else False,
            started=slate.started if slate else (),
        )


def _hung(lease_ms: int) -> Death:
    return Death(cause=f"its worker hung: no beat for {lease_ms / 1000:g} s", outcome=Outcome.HUNG)


def _as_cancelled(expired: Expired) -> Expired:
    return msgspec.structs.replace(expired, state=State.CANCELLED)


def _judge(row: Row, started: StartedJob | None, death: Death, now: int) -> _Loss:
    """Decide where a lost worker's job goes. Only jobs that had started may have been what killed it."""
    _, attempt, *_, crashes, max_crashes, failures, max_failures, backoff, asked_at, overdue_attempt = row
    if overdue_attempt == attempt and asked_at is not None:
        return _Loss(state=State.READY, outcome=Outcome.ABORTED, cause="stopped with its process, as asked")
    if overdue_attempt == attempt:
        return _timed_out(failures + 1, max_failures, backoff, now)
    if started is None:
        return _Loss(state=State.READY, outcome=Outcome.RELEASED, cause=f"not started when {death.cause}")
    if not death.charges:
        return _Loss(state=State.READY, outcome=Outcome.RELEASED, cause=death.cause)
    return _crashed(crashes + 1, max_crashes, backoff, death, now)


def _crashed(crashes: int, max_crashes: int, backoff: bytes | None, death: Death, now: int) -> _Loss:
    if crashes >= max_crashes:
        poison = f"poison: it crashed {crashes} workers, the last because {death.cause}"
        return _Loss(state=State.DEAD, outcome=death.outcome, cause=death.cause, reason=poison)
    if crashes == 1:
        return _Loss(state=State.READY, outcome=death.outcome, cause=death.cause)
    run_at = now + _wait_ms(backoff, crashes)
    return _Loss(state=State.SCHEDULED, outcome=death.outcome, cause=death.cause, run_at=run_at)


def _timed_out(failures: int, max_failures: int, backoff: bytes | None, now: int) -> _Loss:
    """Apply the verdict that was written while the task was still there: it fails like any other."""
    cause = "it ran past its time limit and did not stop"
    if failures >= max_failures:
        reason = f"failed {failures} of {max_failures} times: {cause}"
        return _Loss(state=State.DEAD, outcome=Outcome.TIMED_OUT, cause=cause, reason=reason)
    run_at = now + _wait_ms(backoff, failures)
    return _Loss(state=State.SCHEDULED, outcome=Outcome.TIMED_OUT, cause=cause, run_at=run_at)


def _wait_ms(backoff: bytes | None, times: int) -> int:
    policy = decode_backoff(backoff)
    return policy.spread(policy.delay_ms(times), draw=random.random())  # noqa: S311  no secret
