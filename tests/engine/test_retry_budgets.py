"""Retry budgets: one for all engines on the file, and each retry beyond it waits its turn."""

import pytest

from liteq.model.guard import Guard
from liteq.model.job import Attempt, Claim, NewJob
from liteq.model.rate import Rate
from liteq.model.transitions import Outcome
from liteq.store.engine import Engine
from tests.engine.conftest import OpenEngine
from tests.engine.steps import NOW, bury, claim_one, die, enqueue_one, fail, guard, new_job, record, register, retry

BACKOFF_MS = 10**9
BUDGET = Rate(count=3, per_ms=60_000)


def budgeted(engine: Engine, budget: Rate = BUDGET) -> None:
    engine.put_guards({"task": Guard(budget=budget)})


def retry_of(engine: Engine, *, now: int = NOW, job: NewJob | None = None) -> tuple[int, Attempt]:
    """Have a new job fail; give how long it waits beyond its long backoff, and the attempt."""
    job_id = enqueue_one(engine, job or new_job(run_at=now), now=now)
    retry(engine, claim_one(engine, now=now), run_at=now + BACKOFF_MS, now=now)
    return record(engine, job_id).run_at - now - BACKOFF_MS, engine.attempts(job_id)[0]


def test_retries_beyond_the_budget_wait_longer_each_for_its_turn(engine: Engine) -> None:
    budgeted(engine)

    waits = [retry_of(engine)[0] for _ in range(6)]

    assert waits == [0, 0, 0, 20_000, 40_000, 60_000]
    assert guard(engine).postponed == 3
    assert guard(engine).retry_wait_ms(NOW) == 80_000


def test_the_attempt_tells_why_it_waits(engine: Engine) -> None:
    budgeted(engine)
    plain = [retry_of(engine)[1].error for _ in range(3)]

    _, attempt = retry_of(engine)

    assert plain == [None] * 3
    assert attempt.error == "waits 20.0 s longer: the budget of 3/minute retries is spent"


def test_a_budget_fills_again_as_time_passes(engine: Engine) -> None:
    budgeted(engine)
    for _ in range(3):
        retry_of(engine)

    assert retry_of(engine, now=NOW + 19_999)[0] == 1
    assert retry_of(engine, now=NOW + 40_000)[0] == 0
    assert [retry_of(engine, now=NOW + 10**6)[0] for _ in range(4)] == [0, 0, 0, 20_000]


def test_a_budget_is_one_for_all_engines(engine: Engine, open_engine: OpenEngine) -> None:
    budgeted(engine)
    other = open_engine()

    waits = [retry_of(one)[0] for one in (engine, other, engine, other, engine)]

    assert waits == [0, 0, 0, 20_000, 40_000]


def test_a_clock_that_was_set_back_makes_no_retry_wait_for_it(engine: Engine) -> None:
    budgeted(engine)
    for _ in range(4):
        retry_of(engine)

    assert retry_of(engine, now=NOW - 3_600_000)[0] == 40_000


def test_a_late_report_spends_nothing(engine: Engine) -> None:
    budgeted(engine)
    enqueue_one(engine)
    late = claim_one(engine)
    engine.release([late], reason="shutdown", now=NOW)
    bury(engine, claim_one(engine))

    with engine.transaction():
        for _ in range(5):
            refused(engine, late)

    assert guard(engine).retry_wait_ms(NOW) == 0
    assert [retry_of(engine)[0] for _ in range(3)] == [0, 0, 0]


def refused(engine: Engine, late: Claim) -> None:
    with pytest.raises(Exception, match="no longer"):
        retry(engine, late)


def test_the_last_failure_dies_whatever_the_budget(engine: Engine) -> None:
    budgeted(engine)
    for _ in range(3):
        retry_of(engine)

    fail(engine, 1)

    assert guard(engine).postponed == 0


def test_a_job_past_its_time_that_is_taken_from_its_worker_spends_too(engine: Engine) -> None:
    budgeted(engine, Rate(count=1, per_ms=60_000))
    retry_of(engine)
    worker = register(engine)
    job_id = enqueue_one(engine)
    claim = claim_one(engine, worker_id=worker.worker_id)
    worker.start(0, job_id, claim.attempt, NOW)
    engine.time_out(job_id=job_id, attempt=claim.attempt, worker_id=worker.worker_id)
    die(worker)

    engine.expire(now=NOW)

    assert engine.attempts(job_id)[0].outcome is Outcome.TIMED_OUT
    assert record(engine, job_id).run_at > NOW + 60_000
