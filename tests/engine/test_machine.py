"""Random lives of jobs, held against a plain Python model. Claims are kept, and used again when late."""

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from liteq.model.batch import NewBatch
from liteq.model.limits import Limit
from liteq.model.transitions import FINISHED, State
from liteq.store.engine import Engine
from tests.engine.conftest import OpenFresh
from tests.engine.expected import KEYS, MAX_PENDING, Model
from tests.engine.modelled import ModelledEngine, job_to_enqueue
from tests.engine.steps import die, record, register

DELAYS = st.integers(0, 20)
KEEPS = ("note", "save_checkpoint", "finish_step")
REPORTS = ("complete", "retry", "dead_letter", "snooze", "release", "abort")
PICKS = st.integers(0, 60)
PRIORITIES = st.integers(-1, 1)
A_KEY = st.sampled_from((None, *KEYS))


class LifeOfJobs(RuleBasedStateMachine, ModelledEngine):
    """Two workers, who die now and then and are followed by new ones."""

    fresh: Callable[[], Engine]

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        ModelledEngine.__init__(self, self.fresh())
        self.doomed: list[int] = []

    @initialize()
    def hire_and_fill(self) -> None:
        self.workers = [register(self.engine) for _ in range(2)]
        for _ in range(3):
            self._enqueue(0, 0)
        for key in (*KEYS, *KEYS):
            self._enqueue(0, 0, key=key)
        self.batch, answers = self.engine.enqueue_batch(
            NewBatch(name="batch"), [job_to_enqueue(self.now, 0)], now=self.now
        )
        self._note(answers[0].job_id, Model(State.READY, self.now, 0, in_batch=True))
        self._claim(0, 2, True)
        self._claim(1, 1, False)
        self.engine.limit_pending("default", MAX_PENDING)

    # Few rules with many verbs each: hypothesis leaves whole rules out of a run, to go deep with the others.
    @rule(pick=PICKS, verb=st.sampled_from(REPORTS), delay=DELAYS)
    def report(self, pick: int, verb: str, delay: int) -> None:
        """Report about any claim ever made, newest first: most of them are late."""
        self._report_by(verb, self.claims[-1 - pick % len(self.claims)], delay)

    @rule(pick=PICKS, verb=st.sampled_from(KEEPS), word=st.integers(0, 3))
    def keep(self, pick: int, verb: str, word: int) -> None:
        """Say or keep something in the name of any claim ever made: most of them are late."""
        self._keep_by(verb, self.claims[-1 - pick % len(self.claims)], word)

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

    @rule(most=st.sampled_from((None, 1, 2, 3)))
    def limit(self, most: int | None) -> None:
        """Let an operator set or lift a limit of the task, while jobs of it run."""
        self.most = most
        if most is None:
            self.engine.remove_limit("task", "task")
        else:
            self.engine.put_limit("task", "task", Limit(max_running=most))

    @rule(step=st.integers(1, 15))
    def pass_time(self, step: int) -> None:
        self.now += step

    @rule(worker=st.integers(0, 1), limit=st.integers(1, 3), start=st.booleans())
    def claim(self, worker: int, limit: int, start: bool) -> None:
        self._claim(worker, limit, start)

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
