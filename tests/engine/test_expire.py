"""Dead workers: their jobs come back, those that had started are charged."""

import pytest

from liteq.errors import LeaseLost
from liteq.model.fleet import Death
from liteq.model.job import Claim
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Engine, Slate
from tests.engine.conftest import OpenEngine
from tests.engine.steps import (
    NOW,
    claim_one,
    claim_some,
    complete,
    die,
    enqueue_one,
    new_job,
    record,
    register,
    state_of,
)


def crash_once(engine: Engine, *, now: int = NOW) -> Claim:
    """Have a new worker claim one job, start it and die of it; does not expire it."""
    worker = register(engine)
    claim = claim_one(engine, worker_id=worker.worker_id, now=now)
    worker.start(0, claim.job_id, claim.attempt, now)
    die(worker)
    return claim


def test_a_living_worker_is_never_expired(engine: Engine, open_engine: OpenEngine) -> None:
    worker = register(engine)
    job_id = enqueue_one(engine)
    claim = claim_one(engine, worker_id=worker.worker_id)
    worker.start(0, claim.job_id, claim.attempt, NOW)

    assert engine.expire(now=NOW + 10**9) == []
    assert open_engine().expire(now=NOW + 10**9) == []

    assert record(engine, job_id).owner == worker.worker_id
    complete(engine, claim)


def test_started_jobs_are_charged_and_the_others_go_back_unharmed(engine: Engine) -> None:
    worker = register(engine)
    engine.enqueue([new_job()] * 3, now=NOW)
    started, waiting, cleared = claim_some(engine, worker_id=worker.worker_id)
    worker.start(0, cleared.job_id, cleared.attempt, NOW)
    worker.clear(0)
    worker.start(1, started.job_id, started.attempt, NOW + 1)
    die(worker)

    expired = engine.expire(now=NOW + 2, causes={worker.worker_id: Death(cause="signal 9")})

    assert [(one.job_id, one.state, one.charged) for one in expired] == [
        (started.job_id, State.READY, True),
        (waiting.job_id, State.READY, False),
        (cleared.job_id, State.READY, False),
    ]
    assert [record(engine, one.job_id).crashes for one in (started, waiting, cleared)] == [1, 0, 0]
    assert [record(engine, one.job_id).failures for one in (started, waiting, cleared)] == [0, 0, 0]
    (crash,) = engine.attempts(started.job_id)
    assert (crash.outcome, crash.error, crash.started_at) == (Outcome.CRASHED, "signal 9", NOW + 1)
    assert [one.outcome for one in engine.attempts(waiting.job_id)] == [Outcome.RELEASED]
    assert [one.crashed for one in engine.metrics(since_minute=0)] == [1]
    assert engine.workers() == []
    assert engine.expire(now=NOW + 3) == []


def test_an_earlier_attempt_on_the_slate_charges_nobody(engine: Engine) -> None:
    worker = register(engine)
    job_id = enqueue_one(engine)
    old = claim_one(engine, worker_id=worker.worker_id)
    worker.start(0, job_id, old.attempt, NOW)
    engine.release([old], reason="made room", now=NOW)
    claim_one(engine, worker_id=worker.worker_id)
    die(worker)

    (expired,) = engine.expire(now=NOW)

    assert not expired.charged
    assert record(engine, job_id).crashes == 0


def test_crashes_lead_from_ready_over_backoff_to_dead(engine: Engine) -> None:
    job_id = enqueue_one(engine, new_job(max_crashes=3))

    crash_once(engine)
    (first,) = engine.expire(now=NOW)
    assert (first.state, record(engine, job_id).run_at) == (State.READY, NOW)

    crash_once(engine)
    (second,) = engine.expire(now=NOW)
    due = record(engine, job_id).run_at
    assert second.state is State.SCHEDULED
    assert due > NOW

    crash_once(engine, now=due)
    (third,) = engine.expire(now=due)
    found = record(engine, job_id)
    assert (third.state, found.state, found.crashes, found.finished_at) == (State.DEAD, State.DEAD, 3, due)
    assert found.reason is not None
    assert found.reason.startswith("poison")
    assert [one.outcome for one in engine.attempts(job_id)] == [Outcome.CRASHED] * 3


def test_a_job_that_may_crash_once_only_is_dead_at_the_first(engine: Engine) -> None:
    job_id = enqueue_one(engine, new_job(max_crashes=1))
    crash_once(engine)

    engine.expire(now=NOW)

    assert state_of(engine, job_id) is State.DEAD


@pytest.mark.parametrize("crashes", [1, 2])
def test_a_job_that_was_asked_to_stop_is_cancelled_with_its_worker(engine: Engine, crashes: int) -> None:
    job_id = enqueue_one(engine)
    for _ in range(crashes - 1):
        crash_once(engine)
        engine.expire(now=NOW)
    crash_once(engine)
    engine.cancel([job_id], reason="unwanted", now=NOW)

    (expired,) = engine.expire(now=NOW)

    assert expired.state is State.CANCELLED
    assert (record(engine, job_id).state, record(engine, job_id).reason) == (State.CANCELLED, "unwanted")


def test_the_dead_worker_who_was_not_dead_after_all_is_refused(engine: Engine) -> None:
    enqueue_one(engine)
    late = crash_once(engine)
    engine.expire(now=NOW)

    with pytest.raises(LeaseLost):
        complete(engine, late)


def test_another_engine_buries_the_dead_just_as_well(engine: Engine, open_engine: OpenEngine) -> None:
    job_id = enqueue_one(engine)
    crash_once(engine)

    (expired,) = open_engine().expire(now=NOW)

    assert (expired.job_id, state_of(engine, job_id)) == (job_id, State.READY)


def test_more_jobs_than_one_commit_takes_all_come_back(engine: Engine) -> None:
    worker = register(engine)
    engine.enqueue([new_job()] * 1_001, now=NOW)
    claim_some(engine, worker_id=worker.worker_id, limit=1_001)
    die(worker)

    assert len(engine.expire(now=NOW)) == 1_001
    assert len(claim_some(engine, limit=2_000)) == 1_001


def test_closing_the_engine_is_death_to_its_workers(engine: Engine, open_engine: OpenEngine) -> None:
    other = open_engine()
    worker = register(other)
    job_id = enqueue_one(engine)
    claim_one(other, worker_id=worker.worker_id)
    other.close()

    (expired,) = engine.expire(now=NOW)

    assert (expired.job_id, expired.charged) == (job_id, False)


def test_workers_are_listed_with_what_they_run_until_they_retire(engine: Engine) -> None:
    worker: Slate = register(engine, "anna", slots=2)
    enqueue_one(engine)
    claim = claim_one(engine, worker_id=worker.worker_id)
    worker.beat(1_234)

    (found,) = engine.workers()
    assert (found.id, found.name, found.tasks, found.queues) == (worker.worker_id, "anna", ("task",), None)
    assert (found.slots, found.running, found.alive, found.beat) == (2, 1, True, 1_234)
    assert worker.intact()

    complete(engine, claim)
    engine.retire_worker(worker)
    assert engine.workers() == []
    assert engine.expire(now=NOW) == []


def test_worker_ids_are_never_given_twice(engine: Engine) -> None:
    first = register(engine)
    engine.retire_worker(first)

    assert register(engine).worker_id > first.worker_id
