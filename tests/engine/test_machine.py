"""Random lives of jobs, held against a plain Python model. Claims are kept, and used again when late."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from liteq.errors import LeaseLost, WrongState
from liteq.model.job import Claim
from liteq.model.limits import Limit
from liteq.model.transitions import FINISHED, State
from liteq.store.engine import Engine, Slate
from tests.engine.conftest import OpenFresh
from tests.engine.steps import (
    NOW,
    abort,
    bury,
    claim_some,
    complete,
    die,
    enqueue_one,
    move,
    new_job,
    record,
    register,
    retry,
    snooze,
)

MAX_FAILURES = 3
MAX_CRASHES = 2
DELAYS = st.integers(0, 20)
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

    def holds(self, claim: Claim) -> bool:
        fence = (claim.attempt, claim.worker_id)
        return self.state is State.RUNNING and fence == (self.attempt, self.owner)

    @property
    def place(self) -> tuple[int, int]:
        return (-self.priority, self.run_at)

    def make_ready(self) -> None:
        """Be ready or, with a key, get in line."""
        self.state = State.READY if self.key is None else State.BLOCKED

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
        self.most: int | None = None

    @initialize()
    def hire_and_fill(self) -> None:
        self.workers = [register(self.engine) for _ in range(2)]
        for _ in range(4):
            self._enqueue(0, 0, None)
        for key in (*KEYS, *KEYS):
            self._enqueue(0, 0, key)
        self._claim(0, 2, True)
        self._claim(1, 1, False)

    # Few rules with many verbs each: hypothesis leaves whole rules out of a run, to go deep with the others.
    @rule(pick=PICKS, verb=st.sampled_from(REPORTS), delay=DELAYS)
    def report(self, pick: int, verb: str, delay: int) -> None:
        """Report about any claim ever made, newest first: most of them are late."""
        self._report_by(verb, self.claims[-1 - pick % len(self.claims)], delay)

    def _report_by(self, verb: str, claim: Claim, delay: int) -> None:
        getattr(self, verb)(claim, **({"delay": delay} if verb in {"retry", "snooze"} else {}))

    def _holds(self, claim: Claim) -> bool:
        return claim.job_id in self.model and self.model[claim.job_id].holds(claim)

    @rule(pick=PICKS, verb=st.sampled_from(("cancel", "requeue", "reschedule")), delay=DELAYS)
    def handle(self, pick: int, verb: str, delay: int) -> None:
        """Do something by hand to any job ever made, pruned ones too."""
        job_id = 1 + pick % self.jobs
        getattr(self, verb)(job_id, **({"delay": delay} if verb == "reschedule" else {}))

    @rule(delay=DELAYS, priority=PRIORITIES, key=A_KEY)
    def enqueue(self, delay: int, priority: int, key: str | None) -> None:
        self._enqueue(delay, priority, key)

    def _enqueue(self, delay: int, priority: int, key: str | None) -> None:
        run_at = self.now + delay
        job = new_job(
            run_at=run_at,
            priority=priority,
            max_failures=MAX_FAILURES,
            max_crashes=MAX_CRASHES,
            key=key,
            key_max=KEYS.get(key or "", 1),
        )
        job_id = enqueue_one(self.engine, job, now=self.now)
        assert job_id not in self.model
        self.model[job_id] = Model(State.SCHEDULED, run_at, priority, key=key)
        if not delay:
            self.model[job_id].make_ready()
        self.jobs = max(self.jobs, job_id)

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
            self.model[claim.job_id].rest(State.COMPLETED, self.now)

    def retry(self, claim: Claim, delay: int) -> None:
        job = self.model.get(claim.job_id)
        allowed = job is not None and job.failures + 1 < MAX_FAILURES
        run_at = self.now + delay
        if self._report(claim, lambda: retry(self.engine, claim, run_at=run_at, now=self.now), allowed=allowed):
            assert job is not None
            job.failures += 1
            job.run_at = run_at
            job.rest(State.SCHEDULED, self.now)

    def dead_letter(self, claim: Claim) -> None:
        if self._report(claim, lambda: bury(self.engine, claim, now=self.now)):
            self.model[claim.job_id].failures += 1
            self.model[claim.job_id].rest(State.DEAD, self.now)

    def snooze(self, claim: Claim, delay: int) -> None:
        run_at = self.now + delay
        if self._report(claim, lambda: snooze(self.engine, claim, run_at=run_at, now=self.now)):
            self.model[claim.job_id].run_at = run_at
            self.model[claim.job_id].rest(State.SCHEDULED, self.now)

    def release(self, claim: Claim) -> None:
        job = self.model.get(claim.job_id)
        holds = job is not None and job.holds(claim)

        lost = self.engine.release([claim], reason="made room", now=self.now)

        assert lost == ([] if holds else [claim])
        if holds and job is not None:
            job.outcomes.append(claim.attempt)
            job.rest(State.READY, self.now)

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

    def abort(self, claim: Claim) -> None:
        job = self.model.get(claim.job_id)
        allowed = job is not None and job.asked
        if self._report(claim, lambda: abort(self.engine, claim, now=self.now), allowed=allowed):
            self.model[claim.job_id].rest(State.CANCELLED, self.now)

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
            job.rest(State.CANCELLED, self.now)

    def requeue(self, job_id: int) -> None:
        job = self.model.get(job_id)
        moved = self.engine.requeue([job_id], now=self.now)
        happens = job is not None and job.state in FINISHED
        assert moved == ([job_id] if happens else [])
        if happens and job is not None:
            job.failures = job.crashes = 0
            job.asked, job.run_at = False, self.now
            job.rest(State.READY, self.now)

    def reschedule(self, job_id: int, delay: int) -> None:
        job = self.model.get(job_id)
        moved = move(self.engine, job_id, run_at=self.now + delay, now=self.now)
        happens = job is not None and job.state in {State.READY, State.BLOCKED, State.SCHEDULED}
        assert moved == ([job_id] if happens else [])
        if happens and job is not None:
            job.run_at = self.now + delay
            if delay:
                job.state = State.SCHEDULED
            else:
                job.make_ready()

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
            self._expect_expired(self.model[one.job_id])
            job = self.model[one.job_id]
            # Told of one with a key: it was made ready, and got in line behind others.
            state = State.READY if job.state is State.BLOCKED else job.state
            assert (one.state, one.attempt) == (state, job.attempt)
        self.doomed.clear()

    def _expect_expired(self, job: Model) -> None:
        assert job.attempt not in job.outcomes
        job.outcomes.append(job.attempt)
        job.crashes += job.started
        if not job.started or job.crashes == 1 < MAX_CRASHES:
            job.rest(State.READY, self.now)
        else:
            job.rest(State.DEAD, self.now)

    @rule(age=DELAYS)
    def prune(self, age: int) -> None:
        before = self.now - age
        gone = [
            n
            for n, job in self.model.items()
            if job.state in {State.COMPLETED, State.CANCELLED} and (job.finished_at or 0) < before
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

    def teardown(self) -> None:
        self.engine.close()


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
