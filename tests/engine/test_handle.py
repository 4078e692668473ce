"""What applications and people do by hand."""

import pytest

from liteq.model.job import Change
from liteq.model.transitions import State
from liteq.store.engine import Engine
from tests.engine.steps import (
    NOW,
    bury,
    claim_one,
    claim_some,
    complete,
    enqueue_one,
    move,
    new_job,
    record,
    retry,
    state_of,
)


def test_requeue_gives_a_fresh_budget_and_lets_the_attempt_go_on(engine: Engine) -> None:
    job_id = enqueue_one(engine)
    retry(engine, claim_one(engine))
    bury(engine, claim_one(engine))

    assert engine.requeue([job_id, job_id, 999], now=NOW + 5) == [job_id]

    found = record(engine, job_id)
    assert (found.state, found.failures, found.crashes, found.attempt) == (State.READY, 0, 0, 2)
    assert (found.run_at, found.reason, found.finished_at, found.started_at) == (NOW + 5, None, None, None)
    assert len(engine.attempts(job_id)) == 2
    assert claim_one(engine, now=NOW + 5).attempt == 3


def test_requeue_forgets_the_result(engine: Engine) -> None:
    job_id = enqueue_one(engine)
    complete(engine, claim_one(engine))

    engine.requeue([job_id], now=NOW)

    assert (record(engine, job_id).result, record(engine, job_id).state) == (None, State.READY)


def test_rescheduling_moves_between_ready_and_scheduled(engine: Engine) -> None:
    job_id = enqueue_one(engine)

    assert move(engine, job_id, run_at=NOW + 1) == [job_id]
    assert state_of(engine, job_id) is State.SCHEDULED
    move(engine, job_id, run_at=NOW)
    assert state_of(engine, job_id) is State.READY


def test_rescheduling_changes_only_what_was_given(engine: Engine) -> None:
    job_id = enqueue_one(engine, new_job(run_at=NOW + 10))

    engine.reschedule([job_id], Change(priority=4, queue="other"), now=NOW)

    found = record(engine, job_id)
    assert (found.priority, found.queue, found.run_at, found.state) == (4, "other", NOW + 10, State.SCHEDULED)


def test_a_cancelled_job_keeps_the_reason_and_is_never_claimed(engine: Engine) -> None:
    job_id = enqueue_one(engine)

    assert engine.cancel([job_id, job_id, 999], reason="unwanted", now=NOW + 1) == [job_id]

    found = record(engine, job_id)
    assert (found.state, found.reason, found.finished_at) == (State.CANCELLED, "unwanted", NOW + 1)
    assert claim_some(engine) == []


def test_a_second_cancel_of_a_running_job_keeps_the_first_instant(engine: Engine) -> None:
    job_id = enqueue_one(engine)
    claim_one(engine)
    engine.cancel([job_id], reason="first", now=NOW + 1)

    assert engine.cancel([job_id], reason="second", now=NOW + 2) == []

    assert (record(engine, job_id).reason, record(engine, job_id).cancel_asked_at) == ("first", NOW + 1)


def test_deleting_takes_attempts_and_tags_along_and_spares_what_runs(engine: Engine) -> None:
    gone = enqueue_one(engine, new_job(tags=("a",)))
    retry(engine, claim_one(engine), run_at=NOW + 10)
    runs = enqueue_one(engine, new_job(tags=("a",)))
    claim_one(engine)

    assert engine.delete([gone, runs, 999], now=NOW) == [gone]

    assert (engine.get_job(gone), engine.attempts(gone), engine.tags(gone)) == (None, [], ())
    assert (state_of(engine, runs), engine.tags(runs)) == (State.RUNNING, ("a",))


def test_an_id_is_never_given_twice(engine: Engine) -> None:
    last = enqueue_one(engine)
    engine.delete([last], now=NOW)

    assert enqueue_one(engine) > last


@pytest.mark.parametrize("limit", [2, 100])
def test_pruning_keeps_the_live_the_dead_and_the_young(engine: Engine, limit: int) -> None:
    old = [answer.job_id for answer in engine.enqueue([new_job(tags=("x",))] * 5, now=NOW)]
    for claim in claim_some(engine):
        complete(engine, claim)
    engine.cancel([enqueue_one(engine)], reason="unwanted", now=NOW)
    enqueue_one(engine)
    bury(engine, claim_one(engine))
    enqueue_one(engine)
    complete(engine, claim_one(engine), now=NOW + 10)
    enqueue_one(engine)
    claim_one(engine)
    enqueue_one(engine)
    enqueue_one(engine, new_job(run_at=NOW + 99))

    pruned = [engine.prune(finished_before=NOW + 10, limit=limit) for _ in range(8)]

    assert sum(pruned) == 6
    assert max(pruned) <= limit
    kept = [State.DEAD, State.COMPLETED, State.RUNNING, State.READY, State.SCHEDULED]
    assert [state_of(engine, old[-1] + 2 + n) for n in range(5)] == kept
    assert all(engine.tags(job_id) == () for job_id in old)
