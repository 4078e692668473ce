"""Random lives of jobs, held against a plain Python model. Claims are kept, and used again when late."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from liteq.errors import BatchNotFound, LeaseLost, QueueFull, WrongState
from liteq.model.batch import NewBatch
from liteq.model.job import Claim, NewJob, OnParentFailure
from liteq.model.limits import Limit
from liteq.model.transitions import AT_REST, FINISHED, State
from liteq.store.engine import Engine, Slate
from tests.engine.conftest import OpenFresh
from tests.engine.steps import (
    NOTHING_KEPT,
    NOW,
    abort,
    bury,
    claim_some,
    complete,
    die,
    enqueue_one,
    kept,
    move,
    new_job,
    record,
    register,
    remark,
    retry,
    snooze,
)

MAX_FAILURES = 3
MAX_CRASHES = 2
MAX_PENDING = 8
DELAYS = st.integers(0, 20)
KEEPS = ("note", "save_checkpoint", "finish_step")
REPORTS = ("complete", "retry", "dead_letter", "snooze", "release", "abort")
PICKS = st.integers(0, 60)
PRIORITIES = st.integers(-1, 1)
KEYS = {"alone": 1, "pair": 2}
"""Concurrency keys, and how many of their jobs may run at once."""
A_KEY = st.sampled_from((None, *KEYS))


@dataclass
class Model:
    """What is expected of one job."""

    state: State
    run_at: int
    priority: int
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    owner: int | None = None
    asked: bool = False
    key: str | None = None
    finished_at: int | None = None
    started: bool = False
    outcomes: list[int] = field(default_factory=list)
    progress: int | None = None
    checkpoint: bytes | None = None
    steps: dict[str, bytes] = field(default_factory=dict)
    parts: list[tuple[int, bytes]] = field(default_factory=list)
    parents: tuple[int, ...] = ()
    waits_for: set[int] = field(default_factory=set)
    runs_anyway: bool = False
    in_batch: bool = False

    def holds(self, claim: Claim) -> bool:
        fence = (claim.attempt, claim.worker_id)
        return self.state is State.RUNNING and fence == (self.attempt, self.owner)

    @property
    def place(self) -> tuple[int, int]:
        return (-self.priority, self.run_at)

    def make_ready(self) -> None:
        """Be ready or, with a key, get in line."""
        self.state = State.READY if self.key is None else State.BLOCKED

    def wait_or_get_in_line(self, now: int) -> None:
        """Be scheduled as long as it is not due."""
        if self.run_at > now:
            self.state = State.SCHEDULED
        else:
            self.make_ready()

    def rest(self, state: State, now: int) -> None:
        """Leave the worker; a cancel that was asked is carried out where the job would come back."""
        if self.asked and state not in FINISHED:
            state = State.CANCELLED
        self.state, self.owner, self.started = state, None, False
        if state is State.READY:
            self.make_ready()
        self.finished_at = now if state in FINISHED else None
        if state is not State.CANCELLED:
            self.asked = self.asked and state not in FINISHED


FAILED = {State.DEAD, State.CANCELLED}


def _job(run_at: int, priority: int) -> NewJob:
    return new_job(run_at=run_at, priority=priority, max_failures=MAX_FAILURES, max_crashes=MAX_CRASHES)


class LifeOfJobs(RuleBasedStateMachine):
    """Two workers, who die now and then and are followed by new ones."""

    fresh: Callable[[], Engine]

    def __init__(self) -> None:
        super().__init__()
        self.engine = self.fresh()
        self.now = NOW
        self.model: dict[int, Model] = {}
        self.workers: list[Slate] = []
        self.doomed: list[int] = []
        self.slots = 0
        self.claims: list[Claim] = []
        self.jobs = 0
        self.batch = 0
        self.counts = {"jobs": 0, "completed": 0, "dead": 0, "cancelled": 0}
        self.most: int | None = None

    @initialize()
    def hire_and_fill(self) -> None:
        self.workers = [register(self.engine) for _ in range(2)]
        for _ in range(3):
            self._enqueue(0, 0)
        for key in (*KEYS, *KEYS):
            self._enqueue(0, 0, key=key)
        self.batch, answers = self.engine.enqueue_batch(NewBatch(name="batch"), [_job(self.now, 0)], now=self.now)
        self._note(answers[0].job_id, Model(State.READY, self.now, 0, in_batch=True))
        self._claim(0, 2, True)
        self._claim(1, 1, False)
        self.engine.limit_pending("default", MAX_PENDING)

    # Few rules with many verbs each: hypothesis leaves whole rules out of a run, to go deep with the others.
    @rule(pick=PICKS, verb=st.sampled_from(REPORTS), delay=DELAYS)
    def report(self, pick: int, verb: str, delay: int) -> None:
        """Report about any claim ever made, newest first: most of them are late."""
        self._report_by(verb, self.claims[-1 - pick % len(self.claims)], delay)

    def _report_by(self, verb: str, claim: Claim, delay: int) -> None:
        getattr(self, verb)(claim, **({"delay": delay} if verb in {"retry", "snooze"} else {}))

    def _holds(self, claim: Claim) -> bool:
        return claim.job_id in self.model and self.model[claim.job_id].holds(claim)

    @rule(pick=PICKS, verb=st.sampled_from(KEEPS), word=st.integers(0, 3))
    def keep(self, pick: int, verb: str, word: int) -> None:
        """Say or keep something in the name of any claim ever made: most of them are late."""
        self._keep_by(verb, self.claims[-1 - pick % len(self.claims)], word)

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

    @rule(pick=PICKS, verb=st.sampled_from(("cancel", "requeue", "reschedule", "delete")), delay=DELAYS)
    def handle(self, pick: int, verb: str, delay: int) -> None:
        """Do something by hand to any job ever made, pruned ones too."""
        job_id = 1 + pick % self.jobs
        getattr(self, verb)(job_id, **({"delay": delay} if verb == "reschedule" else {}))

    @rule(
        delay=DELAYS,
        priority=PRIORITIES,
        parents=st.lists(PICKS, max_size=2),
        anyway=st.booleans(),
        join=st.booleans(),
        key=A_KEY,
    )
    def enqueue(self, delay: int, priority: int, parents: list[int], anyway: bool, join: bool, key: str | None) -> None:
        kept = sorted(self.model)
        chosen = tuple(dict.fromkeys(kept[-1 - pick % len(kept)] for pick in parents)) if kept else ()
        if join and self.finished():
            self._try_to_join_in_vain()
        else:
            self._enqueue(delay, priority, chosen, anyway, join, key)

    def _try_to_join_in_vain(self) -> None:
        try:
            enqueue_one(self.engine, replace(_job(self.now, 0), batch_id=self.batch), now=self.now)
        except (WrongState, BatchNotFound):
            # It has finished, and may have been pruned since.
            return
        except QueueFull:
            assert self._waiting() >= MAX_PENDING
            return
        raise AssertionError("a job joined a batch that had finished")

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
        wanted = replace(_job(run_at, priority), **family, **turns)
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

    def _note(self, job_id: int, job: Model) -> None:
        assert job_id not in self.model
        self.model[job_id] = job
        self.jobs = max(self.jobs, job_id)
        self.counts["jobs"] += job.in_batch

    def finished(self) -> bool:
        return self.counts["jobs"] == self.counts["completed"] + self.counts["dead"] + self.counts["cancelled"]

    def _rest(self, job_id: int, state: State) -> None:
        """Let the job leave its worker, and where that is its end, let follow what does."""
        job = self.model[job_id]
        job.rest(state, self.now)
        if job.state in FINISHED:
            self.counts[job.state.word] += job.in_batch
            self._tell_children(job_id, failed=job.state in FAILED)

    def _tell_children(self, job_id: int, *, failed: bool) -> None:
        for child_id, child in self.model.items():
            if child.state is not State.WAITING or job_id not in child.waits_for:
                continue
            child.waits_for.discard(job_id)
            if failed and not child.runs_anyway:
                self._rest(child_id, State.CANCELLED)
            elif not child.waits_for:
                child.wait_or_get_in_line(self.now)

    @rule(most=st.sampled_from((None, 1, 2, 3)))
    def limit(self, most: int | None) -> None:
        """Let an operator set or lift a limit of the task, while jobs of it run."""
        self.most = most
        if most is None:
            self.engine.remove_limit("task", "task")
        else:
            self.engine.put_limit("task", "task", Limit(max_running=most))

    def _settle(self) -> None:
        """Let in, key by key, the best of those who are not running: what every verb must leave behind."""
        for key, most in KEYS.items():
            mine = {n: job for n, job in self.model.items() if job.key == key}
            line = [n for n, job in mine.items() if job.state in {State.READY, State.BLOCKED}]
            line.sort(key=lambda n: (*self.model[n].place, n))
            free = most - sum(job.state is State.RUNNING for job in mine.values())
            for place, n in enumerate(line):
                mine[n].state = State.READY if place < free else State.BLOCKED

    def _waiting(self) -> int:
        return sum(job.state in AT_REST for job in self.model.values())

    @rule(step=st.integers(1, 15))
    def pass_time(self, step: int) -> None:
        self.now += step

    @rule(worker=st.integers(0, 1), limit=st.integers(1, 3), start=st.booleans())
    def claim(self, worker: int, limit: int, start: bool) -> None:
        self._claim(worker, limit, start)

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

    @rule(pick=PICKS)
    def hand_back_and_take_again(self, pick: int) -> None:
        """Make what fences by the worker alone would let through: an old claim of the worker that has the job."""
        claim = self.claims[-1 - pick % len(self.claims)]
        self.release(claim)
        for worker, slate in enumerate(self.workers):
            if slate.worker_id == claim.worker_id:
                self._claim(worker, 3, False)
        if not self._holds(claim):
            for verb in REPORTS:
                self._report_by(verb, claim, 0)
            for verb in KEEPS:
                self._keep_by(verb, claim, 0)

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

    @rule(worker=st.integers(0, 1))
    def kill(self, worker: int) -> None:
        die(self.workers[worker])
        self.doomed.append(self.workers[worker].worker_id)
        self.workers[worker] = register(self.engine)

    @rule()
    def expire(self) -> None:
        expected = {n for n, job in self.model.items() if job.owner in self.doomed}

        expired = self.engine.expire(now=self.now)

        assert {one.job_id for one in expired} == expected
        for one in expired:
            self._expect_expired(one.job_id)
            job = self.model[one.job_id]
            # Told of one with a key: it was made ready, and got in line behind others.
            state = State.READY if job.state is State.BLOCKED else job.state
            assert (one.state, one.attempt) == (state, job.attempt)
        self.doomed.clear()

    def _expect_expired(self, job_id: int) -> None:
        job = self.model[job_id]
        assert job.attempt not in job.outcomes
        job.outcomes.append(job.attempt)
        job.crashes += job.started
        if not job.started or job.crashes == 1 < MAX_CRASHES:
            self._rest(job_id, State.READY)
        else:
            self._rest(job_id, State.DEAD)

    @rule(age=DELAYS)
    def prune(self, age: int) -> None:
        before = self.now - age
        needed = {parent for job in self.model.values() if job.state not in FINISHED for parent in job.parents}
        gone = [
            n
            for n, job in self.model.items()
            if job.state in {State.COMPLETED, State.CANCELLED} and (job.finished_at or 0) < before and n not in needed
        ]

        assert self.engine.prune(finished_before=before, limit=1_000) == len(gone)

        for job_id in gone:
            del self.model[job_id]

    @invariant()
    def the_jobs_of_a_key_take_turns(self) -> None:
        records = [record(self.engine, n) for n in self.model]
        for key, most in KEYS.items():
            states = [found.state for found in records if found.concurrency_key == key]
            assert states.count(State.RUNNING) <= most
            in_turn = states.count(State.RUNNING) + states.count(State.READY)
            assert in_turn <= most
            assert in_turn == most or State.BLOCKED not in states, "blocked, though there is a free turn"

    @invariant()
    def every_job_is_as_the_model_says(self) -> None:
        self._settle()
        for job_id, job in self.model.items():
            found = record(self.engine, job_id)
            assert found.state is job.state
            assert (found.run_at, found.priority) == (job.run_at, job.priority)
            assert (found.attempt, found.failures, found.crashes) == (job.attempt, job.failures, job.crashes)
            assert (found.owner, found.finished_at) == (job.owner, job.finished_at)
        outcomes = {n: [one.attempt for one in self.engine.attempts(n)] for n in self.model}
        for job_id, attempts in outcomes.items():
            # All but a plain first success are remembered, each attempt once, in order.
            assert set(attempts) <= set(self.model[job_id].outcomes)
            assert set(self.model[job_id].outcomes) - set(attempts) <= {1}
            assert attempts == sorted(set(attempts))

    @invariant()
    def as_many_jobs_are_counted_as_wait(self) -> None:
        assert [queue.pending for queue in self.engine.queues()] in ([self._waiting()], [])

    @invariant()
    def the_batch_has_counted_every_end(self) -> None:
        batch = self.engine.get_batch(self.batch)
        if batch is None:
            assert self.finished()
        elif self.batch:
            assert {name: getattr(batch, name) for name in self.counts} == self.counts
            assert (batch.finished_at is not None) == self.finished()

    def teardown(self) -> None:
        # Once for each life: after every step it would take longer than all the rest.
        self._check_what_is_kept()
        self.engine.close()

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


def test_random_lives_go_as_the_model_says(open_fresh: OpenFresh) -> None:
    count = 0

    def fresh() -> Engine:
        nonlocal count
        count += 1
        return open_fresh(f"life{count}")

    machine = type("LifeOfJobsHere", (LifeOfJobs,), {"fresh": staticmethod(fresh)})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100,
            stateful_step_count=50,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
