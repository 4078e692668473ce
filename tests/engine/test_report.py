"""What workers report, and what is remembered of it."""

import msgspec
import pytest

from liteq.model.job import Completion, Report
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Engine
from tests.engine.steps import (
    NOBODY,
    NOW,
    abort,
    bury,
    claim_one,
    claim_some,
    complete,
    enqueue_one,
    new_job,
    record,
    register,
    retry,
    snooze,
    state_of,
    told,
)


def completion_of(claim: object, **changes: object) -> Completion:
    whole = Completion(claim=claim, report=told(Outcome.COMPLETED), result=b"1")  # type: ignore[arg-type]
    return msgspec.structs.replace(whole, **changes)


def test_a_plain_first_success_leaves_its_result_and_no_attempt(engine: Engine) -> None:
    job_id = enqueue_one(engine)

    engine.complete(claim_one(engine), result=b"42", report=told(Outcome.COMPLETED, took=7), now=NOW + 9)

    found = record(engine, job_id)
    assert (found.state, found.result, found.owner) == (State.COMPLETED, b"42", None)
    assert (found.started_at, found.finished_at) == (NOW, NOW + 7)
    assert engine.attempts(job_id) == []


def test_a_success_with_a_log_is_remembered(engine: Engine) -> None:
    job_id = enqueue_one(engine)
    report = Report(outcome=Outcome.COMPLETED, started_at=NOW, finished_at=NOW + 1, log="said", output=b"out")

    engine.complete(claim_one(engine), result=None, report=report, now=NOW)

    (kept,) = engine.attempts(job_id)
    assert (kept.outcome, kept.log, kept.output) == (Outcome.COMPLETED, "said", b"out")


def test_many_completions_are_one_call_and_the_lost_come_back(engine: Engine) -> None:
    engine.enqueue([new_job()] * 3, now=NOW)
    first, second, third = claim_some(engine)
    engine.release([second], reason="made room", now=NOW)

    lost = engine.complete_many([completion_of(one) for one in (first, second, third)], now=NOW)

    assert lost == [second]
    assert [state_of(engine, one.job_id) for one in (first, second, third)] == [
        State.COMPLETED,
        State.READY,
        State.COMPLETED,
    ]


def test_the_same_claim_twice_in_one_report_counts_once(engine: Engine) -> None:
    enqueue_one(engine)
    claim = claim_one(engine)

    lost = engine.complete_many([completion_of(claim), completion_of(claim)], now=NOW)

    assert lost == [claim]
    assert [row.completed for row in engine.metrics(since_minute=0)] == [1]


def test_an_old_and_a_new_claim_in_one_report_are_told_apart(engine: Engine) -> None:
    job_id = enqueue_one(engine)
    old = claim_one(engine)
    engine.release([old], reason="made room", now=NOW)
    new = claim_one(engine)

    assert engine.release([old, new], reason="shutdown", now=NOW) == [old]
    again = claim_one(engine)
    assert engine.complete_many([completion_of(new), completion_of(again)], now=NOW) == [new]

    assert [one.outcome for one in engine.attempts(job_id)] == [
        Outcome.RELEASED,
        Outcome.RELEASED,
        Outcome.COMPLETED,
    ]


def test_a_result_that_cannot_be_stored_leaves_its_reason(engine: Engine) -> None:
    job_id = enqueue_one(engine)

    engine.complete_many([completion_of(claim_one(engine), result=None, result_error="too large")], now=NOW)

    found = record(engine, job_id)
    assert (found.state, found.result, found.result_error) == (State.COMPLETED, None, "too large")


def test_a_retry_counts_a_failure_and_waits_until_its_time(engine: Engine) -> None:
    job_id = enqueue_one(engine)

    retry(engine, claim_one(engine), run_at=NOW + 60)

    found = record(engine, job_id)
    assert (found.state, found.failures, found.run_at, found.owner) == (State.SCHEDULED, 1, NOW + 60, None)
    assert claim_some(engine, now=NOW + 59) == []
    assert claim_one(engine, now=NOW + 60).attempt == 2


def test_a_dead_job_keeps_its_reason_and_its_failures(engine: Engine) -> None:
    job_id = enqueue_one(engine)

    bury(engine, claim_one(engine), now=NOW + 3)

    found = record(engine, job_id)
    assert (found.state, found.failures, found.reason) == (State.DEAD, 1, "gave up")
    assert found.finished_at == NOW + 3


def test_snooze_and_release_count_no_failure(engine: Engine) -> None:
    job_id = enqueue_one(engine)

    snooze(engine, claim_one(engine), run_at=NOW)
    engine.release([claim_one(engine)], reason="shutdown", now=NOW)

    found = record(engine, job_id)
    assert (found.state, found.failures, found.crashes, found.attempt) == (State.READY, 0, 0, 2)
    assert found.owner is None
    assert [one.outcome for one in engine.attempts(job_id)] == [Outcome.SNOOZED, Outcome.RELEASED]


def test_attempts_tell_the_whole_story_oldest_first(engine: Engine) -> None:
    worker = register(engine, "anna")
    job_id = enqueue_one(engine)
    report = Report(
        outcome=Outcome.FAILED,
        started_at=NOW + 1,
        finished_at=NOW + 2,
        error="ValueError: no",
        traceback="Traceback",
        exit_code=3,
    )

    engine.retry(claim_one(engine, worker_id=worker.worker_id), run_at=NOW, report=report, now=NOW + 2)
    complete(engine, claim_one(engine, now=NOW + 2))

    first, second = engine.attempts(job_id)
    assert (first.attempt, first.outcome, first.worker) == (1, Outcome.FAILED, "anna")
    assert (first.error, first.traceback, first.exit_code) == ("ValueError: no", "Traceback", 3)
    assert (first.claimed_at, first.started_at, first.finished_at) == (NOW, NOW + 1, NOW + 2)
    assert (second.attempt, second.outcome) == (2, Outcome.COMPLETED)
    assert str(NOBODY) in second.worker


def test_a_cancel_asked_of_a_running_job_does_not_end_it(engine: Engine) -> None:
    job_id = enqueue_one(engine)
    claim = claim_one(engine)

    assert engine.cancel([job_id], reason="unwanted", now=NOW + 1) == [job_id]

    found = record(engine, job_id)
    assert (found.state, found.cancel_asked_at, found.owner) == (State.RUNNING, NOW + 1, NOBODY)
    assert engine.cancels_asked(worker_id=NOBODY) == {job_id: False}
    assert engine.cancels_asked(worker_id=1) == {}
    abort(engine, claim)
    assert state_of(engine, job_id) is State.CANCELLED
    assert engine.cancels_asked(worker_id=NOBODY) == {}


def test_completion_beats_a_cancel_that_comes_later(engine: Engine) -> None:
    job_id = enqueue_one(engine)
    claim = claim_one(engine)
    engine.cancel([job_id], reason="unwanted", now=NOW)

    complete(engine, claim)

    assert (record(engine, job_id).state, record(engine, job_id).cancel_asked_at) == (State.COMPLETED, None)


@pytest.mark.parametrize("verb", ["retry", "snooze", "release"])
def test_a_job_that_was_asked_to_stop_does_not_come_back(engine: Engine, verb: str) -> None:
    job_id = enqueue_one(engine)
    claim = claim_one(engine)
    engine.cancel([job_id], reason="unwanted", now=NOW)

    if verb == "retry":
        retry(engine, claim)
    elif verb == "snooze":
        snooze(engine, claim)
    else:
        engine.release([claim], reason="shutdown", now=NOW)

    assert (record(engine, job_id).state, record(engine, job_id).reason) == (State.CANCELLED, "unwanted")
    assert sum(row.cancelled for row in engine.metrics(since_minute=0)) == 1


def test_metrics_count_by_minute_queue_and_task(engine: Engine) -> None:
    minute = NOW // 60_000
    engine.enqueue([new_job(run_at=NOW - 5)] * 6, now=NOW)
    one, two, three, four, five, six = claim_some(engine)

    engine.complete(one, result=None, report=told(Outcome.COMPLETED, took=10), now=NOW)
    engine.complete(two, result=None, report=told(Outcome.COMPLETED, took=20), now=NOW + 60_000)
    retry(engine, three, run_at=NOW + 90_000)
    bury(engine, four)
    engine.cancel([five.job_id], reason="unwanted", now=NOW)
    abort(engine, five)
    snooze(engine, six, run_at=NOW + 90_000)

    first, second = engine.metrics(since_minute=minute)
    assert (first.minute, first.queue, first.task) == (minute, "default", "task")
    assert (first.completed, first.failed, first.dead, first.crashed, first.cancelled) == (1, 2, 1, 0, 1)
    assert (first.run_ms, first.wait_ms) == (10, 5)
    assert (second.minute, second.completed, second.run_ms) == (minute + 1, 1, 20)
    assert engine.metrics(since_minute=minute + 1) == [second]
