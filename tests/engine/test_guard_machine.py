"""Random lives of a breaker, held against a plain Python model: two engines claim, report late, and lose workers."""

from collections.abc import Callable
from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from liteq.model.guard import SLICES, BreakerRule, Guard, GuardRecord
from liteq.model.job import Claim
from liteq.store.engine import Engine, Slate
from tests.engine.conftest import OpenFresh
from tests.engine.steps import NOW, bury, claim_some, complete, die, new_job, register, retry, snooze

RULE = BreakerRule(failure_rate=0.5, window_ms=100, min_calls=3, open_ms=40)
JOBS = 200
"""More than a life can claim."""
VERBS = ("complete", "retry", "dead_letter", "snooze", "release")
Verb = Literal["complete", "retry", "dead_letter", "snooze", "release"]


class LifeOfABreaker(RuleBasedStateMachine):
    """The model keeps the instants of outcomes, and which claim is on trial."""

    fresh: Callable[[], tuple[Engine, Engine]]

    def __init__(self) -> None:
        super().__init__()
        self.engines = self.fresh()
        self.now = NOW
        self.workers: list[Slate] = []
        self.held: list[tuple[int, Claim]] = []
        self.outcomes: list[tuple[int, bool]] = []
        self.open_until: int | None = None
        self.openings = 0
        self.trial: Claim | None = None

    @initialize()
    def begin(self) -> None:
        self.engines[0].put_guards({"task": Guard(breaker=RULE)})
        self.engines[0].enqueue([new_job(queue=f"queue{n % 2}", max_failures=1_000) for n in range(JOBS)], now=NOW)
        self.workers = [register(engine) for engine in self.engines]

    def _may_claim(self, limit: int) -> int:
        if self.open_until is None:
            return limit
        return int(self.now >= self.open_until and self.trial is None)

    @rule(who=st.integers(0, 1), limit=st.integers(1, 3))
    def claim(self, who: int, limit: int) -> None:
        claims = claim_some(self.engines[who], worker_id=self.workers[who].worker_id, limit=limit, now=self.now)

        assert len(claims) == self._may_claim(limit)
        if self.open_until is not None and claims:
            self.trial = claims[0]
        self.held += [(who, claim) for claim in claims]

    @rule(pick=st.integers(0, 20), verb=st.sampled_from(VERBS))
    def report(self, pick: int, verb: Verb) -> None:
        if not self.held:
            return
        who, claim = self.held.pop(pick % len(self.held))
        engine = self.engines[who]
        if verb == "complete":
            complete(engine, claim, now=self.now)
        elif verb == "retry":
            retry(engine, claim, run_at=self.now, now=self.now)
        elif verb == "dead_letter":
            bury(engine, claim, now=self.now)
        elif verb == "snooze":
            snooze(engine, claim, run_at=self.now, now=self.now)
        else:
            engine.release([claim], reason="made room", now=self.now)
        self._ended(claim, {"complete": True, "retry": False, "dead_letter": False}.get(verb))

    @rule(who=st.integers(0, 1))
    def kill(self, who: int) -> None:
        """Its jobs had not begun: they go back, and tell nothing."""
        die(self.workers[who])
        self.engines[1 - who].expire(now=self.now)
        self.workers[who] = register(self.engines[who])
        for owner, claim in list(self.held):
            if owner == who:
                self.held.remove((owner, claim))
                self._ended(claim, None)

    def _ended(self, claim: Claim, succeeded: bool | None) -> None:
        on_trial, self.trial = claim == self.trial, None if claim == self.trial else self.trial
        if succeeded is None:
            return
        if self.open_until is not None:
            if on_trial and succeeded:
                self.open_until, self.outcomes = None, []
            elif on_trial:
                self._open()
            return
        self.outcomes.append((self.now, succeeded))
        oldest = self.now // RULE.slice_ms - SLICES + 1
        recent = [well for at, well in self.outcomes if at // RULE.slice_ms >= oldest]
        if not succeeded and len(recent) >= RULE.min_calls and recent.count(False) >= len(recent) / 2:
            self._open()

    def _open(self) -> None:
        self.open_until, self.outcomes, self.trial = self.now + RULE.open_ms, [], None
        self.openings += 1

    @rule(step=st.integers(1, 60))
    def pass_time(self, step: int) -> None:
        self.now += step

    @rule()
    def reset(self) -> None:
        if self.engines[1].reset_breaker("task"):
            assert self.open_until is not None
            self.open_until, self.trial = None, None
        self.outcomes = []

    @invariant()
    def both_engines_see_what_the_model_says(self) -> None:
        if not self.workers:
            return
        for engine in self.engines:
            guard = _only(engine)
            assert guard.open_until == self.open_until
            assert guard.openings == self.openings
            assert guard.trial == (None if self.trial is None else self.trial.job_id)
            due = self.open_until if self.open_until is not None and self.open_until > self.now else None
            scheduled = engine.next_due(now=self.now)
            assert scheduled == due or (scheduled is not None and scheduled <= self.now)

    def teardown(self) -> None:
        for engine in self.engines:
            engine.close()


def _only(engine: Engine) -> GuardRecord:
    (guard,) = engine.guards()
    return guard


def test_a_breaker_lives_as_the_model_says(open_fresh: OpenFresh) -> None:
    count = 0

    def fresh() -> tuple[Engine, Engine]:
        nonlocal count
        count += 1
        return open_fresh(f"breaker{count}"), open_fresh(f"breaker{count}")

    machine = type("LifeOfABreakerHere", (LifeOfABreaker,), {"fresh": staticmethod(fresh)})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
