"""An engine and what is expected of it, side by side: each verb is done to both, and their answers are compared."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from liteq.errors import BatchNotFound, LeaseLost, QueueFull, WrongState
from liteq.model.job import Claim, NewJob, OnParentFailure
from liteq.model.transitions import AT_REST, FINISHED, State
from liteq.store.engine import Engine, Slate
from tests.engine.expected import FAILED, KEYS, MAX_CRASHES, MAX_FAILURES, MAX_PENDING, ExpectedJobs, Model
from tests.engine.steps import (
    NOTHING_KEPT,
    abort,
    bury,
    claim_some,
    complete,
    enqueue_one,
    kept,
    move,
    new_job,
    remark,
    retry,
    snooze,
)


def job_to_enqueue(run_at: int, priority: int) -> NewJob:
    return new_job(run_at=run_at, priority=priority, max_failures=MAX_FAILURES, max_crashes=MAX_CRASHES)


class ModelledEngine(ExpectedJobs):
    """The verbs of a worker and of an operator. A claim may be any that was ever made: what is late must be refused."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.workers: list[Slate] = []
        self.slots = 0
        self.claims: list[Claim] = []
        self.batch = 0
        self.most: int | None = None

    def _holds(self, claim: Claim) -> bool:
        return claim.job_id in self.model and self.model[claim.job_id].holds(claim)

    def _enqueue(
        self,
        delay: int,
        priority: int,
        parents: tuple[int, ...] = (),
        anyway: bool = False,
        join: bool = False,
        key: str | None = None,
    ) -> None:
        run_at = self.now + delay
        policy: OnParentFailure = "run" if anyway else "cancel"
        family = {"parents": parents, "on_parent_failure": policy, "batch_id": self.batch if join else None}
        turns = {"concurrency_key": key, "key_max_running": KEYS.get(key or "", 1)}
        wanted = replace(job_to_enqueue(run_at, priority), **family, **turns)
        at_once_cancelled = not anyway and any(self.model[parent].state in FAILED for parent in parents)
        if self._waiting() >= MAX_PENDING and not at_once_cancelled:
            with pytest.raises(QueueFull):
                enqueue_one(self.engine, wanted, now=self.now)
            return
        job_id = enqueue_one(self.engine, wanted, now=self.now)
        job = Model(
            State.SCHEDULED,
            run_at,
            priority,
            parents=parents,
            waits_for={parent for parent in parents if self.model[parent].state not in FINISHED},
            runs_anyway=anyway,
            in_batch=join,
            key=key,
        )
        job.wait_or_get_in_line(self.now)
        self._note(job_id, job)
        if job.waits_for:
            job.state = State.WAITING
        if not anyway and any(self.model[parent].state in FAILED for parent in parents):
            self._rest(job_id, State.CANCELLED)

    def _try_to_join_in_vain(self) -> None:
        try:
            enqueue_one(self.engine, replace(job_to_enqueue(self.now, 0), batch_id=self.batch), now=self.now)
        except (WrongState, BatchNotFound):
            # It has finished, and may have been pruned since.
            return
        except QueueFull:
            assert self._waiting() >= MAX_PENDING
            return
        raise AssertionError("a job joined a batch that had finished")

    def _claim(self, worker: int, limit: int, start: bool) -> None:
        slate = self.workers[worker]
        for job in self.model.values():
            if job.state is State.SCHEDULED and job.run_at <= self.now:
                job.make_ready()
        self._settle()
        ready = sorted((*job.place, n) for n, job in self.model.items() if job.state is State.READY)
        running = sum(job.state is State.RUNNING for job in self.model.values())
        allowed = limit if self.most is None else min(limit, max(0, self.most - running))

        taken = claim_some(self.engine, worker_id=slate.worker_id, limit=limit, now=self.now)

        assert [claim.job_id for claim in taken] == [n for _, _, n in ready[:allowed]]
        for claim in taken:
            job = self.model[claim.job_id]
            job.attempt += 1
            job.state, job.owner, job.started = State.RUNNING, slate.worker_id, start
            assert claim.attempt == job.attempt
            if start:
                # A slot of its own for every attempt: what was started stays on the slate.
                self.slots += 1
                slate.start(self.slots, claim.job_id, claim.attempt, self.now)
        self.claims += taken

    def _report(self, claim: Claim, verb: Callable[[], None], *, allowed: bool = True) -> bool:
        """Report, and tell whether that was accepted; it must be just when the claim still holds."""
        job = self.model.get(claim.job_id)
        holds = job is not None and job.holds(claim)
        try:
            verb()
        except LeaseLost:
            assert not holds
            return False
        except WrongState:
            assert holds
            assert not allowed
            return False
        assert holds
        assert allowed
        assert job is not None
        assert claim.attempt not in job.outcomes, "two outcomes of one attempt"
        job.outcomes.append(claim.attempt)
        return True

    def _report_by(self, verb: str, claim: Claim, delay: int) -> None:
        getattr(self, verb)(claim, **({"delay": delay} if verb in {"retry", "snooze"} else {}))

    def complete(self, claim: Claim) -> None:
        if self._report(claim, lambda: complete(self.engine, claim, now=self.now)):
            self._rest(claim.job_id, State.COMPLETED)

    def retry(self, claim: Claim, delay: int) -> None:
        job = self.model.get(claim.job_id)
        allowed = job is not None and job.failures + 1 < MAX_FAILURES
        run_at = self.now + delay
        if self._report(claim, lambda: retry(self.engine, claim, run_at=run_at, now=self.now), allowed=allowed):
            assert job is not None
            job.failures += 1
            job.run_at = run_at
            self._rest(claim.job_id, State.SCHEDULED)

    def dead_letter(self, claim: Claim) -> None:
        if self._report(claim, lambda: bury(self.engine, claim, now=self.now)):
            self.model[claim.job_id].failures += 1
            self._rest(claim.job_id, State.DEAD)

    def snooze(self, claim: Claim, delay: int) -> None:
        run_at = self.now + delay
        if self._report(claim, lambda: snooze(self.engine, claim, run_at=run_at, now=self.now)):
            self.model[claim.job_id].run_at = run_at
            self._rest(claim.job_id, State.SCHEDULED)

    def release(self, claim: Claim) -> None:
        job = self.model.get(claim.job_id)
        holds = job is not None and job.holds(claim)

        lost = self.engine.release([claim], reason="made room", now=self.now)

        assert lost == ([] if holds else [claim])
        if holds and job is not None:
            job.outcomes.append(claim.attempt)
            self._rest(claim.job_id, State.READY)

    def abort(self, claim: Claim) -> None:
        job = self.model.get(claim.job_id)
        allowed = job is not None and job.asked
        if self._report(claim, lambda: abort(self.engine, claim, now=self.now), allowed=allowed):
            self._rest(claim.job_id, State.CANCELLED)

    def cancel(self, job_id: int) -> None:
        job = self.model.get(job_id)
        touched = self.engine.cancel([job_id], reason="unwanted", now=self.now)
        happens = job is not None and job.state not in FINISHED and not (job.state is State.RUNNING and job.asked)
        assert touched == ([job_id] if happens else [])
        if not happens or job is None:
            return
        if job.state is State.RUNNING:
            job.asked = True
        else:
            self._rest(job_id, State.CANCELLED)

    def delete(self, job_id: int) -> None:
        job = self.model.get(job_id)
        gone = self.engine.delete([job_id], now=self.now)
        happens = job is not None and job.state is not State.RUNNING
        assert gone == ([job_id] if happens else [])
        if happens and job is not None:
            if job.state not in FINISHED:
                self._rest(job_id, State.CANCELLED)
            del self.model[job_id]

    def requeue(self, job_id: int) -> None:
        job = self.model.get(job_id)
        moved = self.engine.requeue([job_id], now=self.now)
        happens = job is not None and job.state in FINISHED
        assert moved == ([job_id] if happens else [])
        if happens and job is not None:
            if job.state is State.COMPLETED:
                job.progress, job.checkpoint, job.steps = None, None, {}
            self.counts[job.state.word] -= job.in_batch
            job.waits_for.clear()
            job.failures = job.crashes = 0
            job.asked, job.run_at = False, self.now
            job.rest(State.READY, self.now)

    def reschedule(self, job_id: int, delay: int) -> None:
        job = self.model.get(job_id)
        moved = move(self.engine, job_id, run_at=self.now + delay, now=self.now)
        happens = job is not None and job.state in AT_REST
        assert moved == ([job_id] if happens else [])
        if happens and job is not None:
            job.run_at = self.now + delay
            if job.state is not State.WAITING:
                job.wait_or_get_in_line(self.now)

    def _expect_expired(self, job_id: int) -> None:
        job = self.model[job_id]
        assert job.attempt not in job.outcomes
        job.outcomes.append(job.attempt)
        job.crashes += job.started
        if not job.started or job.crashes == 1 < MAX_CRASHES:
            self._rest(job_id, State.READY)
        else:
            self._rest(job_id, State.DEAD)

    def _keep_by(self, verb: str, claim: Claim, word: int) -> None:
        data = b"%d" % word
        job = self.model[claim.job_id] if self._holds(claim) else None
        if verb == "note":
            assert self.engine.note([remark(claim, data, done=word)], now=self.now) == ([] if job else [claim])
        else:
            self._keep(verb, claim, data, holds=job is not None)
        if job is not None and verb == "note":
            job.progress = word
            job.parts.append((claim.attempt, data))
        elif job is not None and verb == "save_checkpoint":
            job.checkpoint = data
        elif job is not None:
            job.steps[f"step {word}"] = data

    def _keep(self, verb: str, claim: Claim, data: bytes, *, holds: bool) -> None:
        try:
            if verb == "save_checkpoint":
                self.engine.save_checkpoint(claim, value=data, now=self.now)
            else:
                self.engine.finish_step(claim, name=f"step {data.decode()}", result=data, now=self.now)
        except LeaseLost:
            assert not holds
        else:
            assert holds

    def _check_what_is_kept(self) -> None:
        for job_id in range(1, self.jobs + 1):
            job, found = self.model.get(job_id), kept(self.engine, job_id)
            if job is None:
                assert found == NOTHING_KEPT
                continue
            assert (found.progress and found.progress.done) == job.progress
            assert found.checkpoint == job.checkpoint
            assert {step.name: step.result for step in found.steps} == job.steps
            assert [(part.attempt, part.value) for part in found.parts] == job.parts
            assert [part.seq for part in found.parts] == list(range(1, len(job.parts) + 1))
