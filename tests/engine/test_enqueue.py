"""Jobs come in: all or none, in order, with their tags, past the holders of their unique keys."""

from typing import get_args

import pytest

from liteq.errors import UniqueKeyTaken
from liteq.model.job import Answer, Enqueued, JobFilter, NewJob, OnConflict, Scope, Unique
from liteq.model.transitions import State
from liteq.store.engine import Engine
from tests.engine.steps import (
    NOW,
    bury,
    claim_one,
    complete,
    enqueue_one,
    new_job,
    record,
    retry,
    state_of,
)

PERIOD_ENDS = NOW + 1_000
ANSWERS: dict[OnConflict, Answer | None] = {
    "raise": None,
    "return": "returned",
    "skip": "skipped",
    "replace": "replaced",
}
SCOPES: tuple[Scope, ...] = get_args(Scope)


def unique(scope: Scope = "finished", on_conflict: OnConflict = "return", *, held_until: int | None = None) -> Unique:
    if scope == "period" and held_until is None:
        held_until = PERIOD_ENDS
    return Unique(key="key", scope=scope, on_conflict=on_conflict, held_until=held_until)


def newcomer(on_conflict: OnConflict = "return", *, scope: Scope = "finished") -> NewJob:
    return new_job(args=b"[1]", run_at=NOW + 500, priority=9, unique=unique(scope, on_conflict))


def test_answers_come_in_the_order_of_the_jobs_and_ids_rise(engine: Engine) -> None:
    jobs = [
        new_job(args=b"[0]"),
        new_job(args=b"[1]", unique=unique()),
        new_job(args=b"[2]"),
        new_job(args=b"[3]"),
    ]

    answers = engine.enqueue(jobs, now=NOW)

    ids = [answer.job_id for answer in answers]
    assert ids == sorted(set(ids))
    assert [record(engine, job_id).args for job_id in ids] == [job.args for job in jobs]


def test_no_jobs_are_no_answers(engine: Engine) -> None:
    assert engine.enqueue([], now=NOW) == []


def test_a_job_is_stored_as_it_was_wanted(engine: Engine) -> None:
    job = NewJob(
        task="t",
        queue="q",
        args=b'{"a":1}',
        args_crc=77,
        run_at=NOW - 5,
        priority=-3,
        max_failures=4,
        max_crashes=2,
        backoff=b"{}",
        timeout_ms=900,
        unique=unique("always"),
        tags=("b", "a", "a"),
    )

    job_id = enqueue_one(engine, job)

    found = record(engine, job_id)
    assert (found.task, found.queue, found.args, found.run_at, found.priority) == (
        "t",
        "q",
        job.args,
        NOW - 5,
        -3,
    )
    assert (found.max_failures, found.max_crashes, found.backoff, found.timeout_ms) == (4, 2, b"{}", 900)
    assert (found.enqueued_at, found.unique_key, found.attempt, found.owner) == (NOW, "key", 0, None)
    assert engine.tags(job_id) == ("a", "b")


@pytest.mark.parametrize(("run_at", "state"), [(NOW - 1, State.READY), (NOW, State.READY), (NOW + 1, State.SCHEDULED)])
def test_run_at_decides_whether_a_job_is_ready_or_scheduled(engine: Engine, run_at: int, state: State) -> None:
    assert state_of(engine, enqueue_one(engine, new_job(run_at=run_at))) is state


def test_nothing_is_stored_when_one_of_the_jobs_meets_a_taken_key(engine: Engine) -> None:
    holder = enqueue_one(engine, new_job(unique=unique()))

    with pytest.raises(UniqueKeyTaken) as caught:
        engine.enqueue([new_job(tags=("lost",)), newcomer("raise"), new_job()], now=NOW)

    assert caught.value.job_id == holder
    assert [job.id for job in engine.list_jobs(JobFilter(), limit=10)] == [holder]


def test_nothing_is_stored_when_the_failed_call_is_survived_inside_a_transaction(engine: Engine) -> None:
    holder = enqueue_one(engine, new_job(unique=unique()))

    with engine.transaction():
        first = enqueue_one(engine)
        with pytest.raises(UniqueKeyTaken):
            engine.enqueue([new_job(), newcomer("raise")], now=NOW)

    assert sorted(job.id for job in engine.list_jobs(JobFilter(), limit=10)) == [holder, first]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("on_conflict", ANSWERS)
def test_a_held_key_is_answered_as_the_newcomer_asked(engine: Engine, on_conflict: OnConflict, scope: Scope) -> None:
    holder = enqueue_one(engine, new_job(unique=unique(scope)))
    job = newcomer(on_conflict, scope=scope)
    answer = ANSWERS[on_conflict]

    if answer is None:
        with pytest.raises(UniqueKeyTaken):
            engine.enqueue([job], now=NOW)
    else:
        assert engine.enqueue([job], now=NOW) == [Enqueued(holder, answer)]

    found = record(engine, holder)
    if answer == "replaced":
        assert (found.args, found.run_at, found.priority) == (job.args, job.run_at, job.priority)
        assert found.state is State.SCHEDULED
    else:
        assert (found.args, found.run_at, found.state) == (b"[]", NOW, State.READY)
    assert engine.count_jobs(JobFilter()) == 1


@pytest.mark.parametrize("on_conflict", ANSWERS)
def test_a_running_holder_is_never_replaced(engine: Engine, on_conflict: OnConflict) -> None:
    holder = enqueue_one(engine, new_job(unique=unique()))
    claim_one(engine)
    before = record(engine, holder)

    if on_conflict in {"raise", "replace"}:
        with pytest.raises(UniqueKeyTaken):
            engine.enqueue([newcomer(on_conflict)], now=NOW)
    else:
        assert enqueue_one(engine, newcomer(on_conflict)) == holder

    assert record(engine, holder) == before


HELD = {
    # scope: after the claim, after completion
    "started": (False, False),
    "finished": (True, False),
    "period": (True, True),
    "always": (True, True),
}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_is_held_until_its_scope_ends(engine: Engine, scope: Scope) -> None:
    holder = enqueue_one(engine, new_job(unique=unique(scope)))
    claim = claim_one(engine)
    held_running, held_completed = HELD[scope]

    (running,) = engine.enqueue([newcomer()], now=NOW)
    if running.answer == "new":
        engine.delete([running.job_id], now=NOW)
    complete(engine, claim)
    (completed,) = engine.enqueue([newcomer()], now=NOW)

    assert (running.job_id == holder) is held_running
    assert (completed.job_id == holder) is held_completed


@pytest.mark.parametrize("end", ["dead", "cancelled", "aborted", "poisoned by hand"])
def test_a_key_is_free_however_its_holder_finished(engine: Engine, end: str) -> None:
    holder = enqueue_one(engine, new_job(unique=unique()))
    if end == "cancelled":
        engine.cancel([holder], reason="unwanted", now=NOW)
    elif end == "aborted":
        claim = claim_one(engine)
        engine.cancel([holder], reason="unwanted", now=NOW)
        engine.release([claim], reason="stopped", now=NOW)
    else:
        bury(engine, claim_one(engine))

    (answer,) = engine.enqueue([newcomer()], now=NOW)

    assert answer.answer == "new"


def test_a_retried_holder_keeps_its_key(engine: Engine) -> None:
    holder = enqueue_one(engine, new_job(unique=unique()))
    retry(engine, claim_one(engine), run_at=NOW + 50)

    assert engine.enqueue([newcomer()], now=NOW) == [Enqueued(holder, "returned")]


@pytest.mark.parametrize(("now", "answer"), [(PERIOD_ENDS - 1, "returned"), (PERIOD_ENDS, "new")])
def test_a_period_lapses_at_its_very_millisecond(engine: Engine, now: int, answer: Answer) -> None:
    enqueue_one(engine, new_job(unique=unique("period")))

    (found,) = engine.enqueue([newcomer()], now=now)

    assert found.answer == answer


def test_a_deleted_holder_leaves_its_key(engine: Engine) -> None:
    holder = enqueue_one(engine, new_job(unique=unique("always")))
    engine.delete([holder], now=NOW)

    (answer,) = engine.enqueue([newcomer()], now=NOW)

    assert answer.answer == "new"
    assert answer.job_id > holder


def test_a_dead_job_is_not_requeued_while_another_holds_its_key(engine: Engine) -> None:
    dead = enqueue_one(engine, new_job(unique=unique()))
    bury(engine, claim_one(engine))
    other = enqueue_one(engine)
    engine.cancel([other], reason="unwanted", now=NOW)
    holder = enqueue_one(engine, newcomer())

    with pytest.raises(UniqueKeyTaken) as caught:
        engine.requeue([other, dead], now=NOW)

    assert caught.value.job_id == holder
    assert (state_of(engine, dead), state_of(engine, other)) == (State.DEAD, State.CANCELLED)


def test_requeue_in_a_survived_transaction_is_all_or_none_too(engine: Engine) -> None:
    dead = enqueue_one(engine, new_job(unique=unique()))
    bury(engine, claim_one(engine))
    other = enqueue_one(engine)
    engine.cancel([other], reason="unwanted", now=NOW)
    enqueue_one(engine, newcomer())

    with engine.transaction(), pytest.raises(UniqueKeyTaken):
        engine.requeue([other, dead], now=NOW)

    assert state_of(engine, other) is State.CANCELLED


def test_a_requeued_job_takes_its_key_again(engine: Engine) -> None:
    dead = enqueue_one(engine, new_job(unique=unique()))
    bury(engine, claim_one(engine))

    engine.requeue([dead], now=NOW)

    assert engine.enqueue([newcomer()], now=NOW) == [Enqueued(dead, "returned")]


def test_a_requeued_job_takes_its_key_from_a_holder_whose_period_is_over(engine: Engine) -> None:
    dead = enqueue_one(engine, new_job(unique=unique()))
    bury(engine, claim_one(engine))
    enqueue_one(engine, new_job(unique=unique("period")))

    assert engine.requeue([dead], now=PERIOD_ENDS) == [dead]

    assert engine.enqueue([newcomer()], now=PERIOD_ENDS) == [Enqueued(dead, "returned")]
