"""Batches: counted in the transaction in which each job ends, finished with the last, followed by callbacks once."""

import pytest
from msgspec.structs import replace

from liteq.errors import BatchNotFound, LeaseLost, WrongState
from liteq.model.batch import BatchRecord, BatchState, NewBatch
from liteq.model.job import JobFilter, NewJob, Unique
from liteq.model.template import Template
from liteq.model.transitions import State
from liteq.store.engine import Engine
from tests.engine.conftest import OpenEngine
from tests.engine.steps import (
    ENDS,
    NOW,
    bury,
    callbacks,
    claim_one,
    claim_some,
    complete,
    enqueue_one,
    new_job,
    record,
    state_of,
    template,
)

CALLBACKS = NewBatch(
    name="import", on_success=template("yay"), on_failure=template("alas"), on_complete=template("done")
)


def batch_of(engine: Engine, *jobs: NewJob, batch: NewBatch = CALLBACKS) -> int:
    batch_id, _ = engine.enqueue_batch(batch, jobs, now=NOW)
    return batch_id


def found(engine: Engine, batch_id: int) -> BatchRecord:
    record = engine.get_batch(batch_id)
    assert record is not None
    return record


def counts(engine: Engine, batch_id: int) -> tuple[int, int, int, int]:
    record = found(engine, batch_id)
    return record.jobs, record.completed, record.dead, record.cancelled


def members(engine: Engine, batch_id: int) -> list[int]:
    return [job.id for job in engine.list_jobs(JobFilter(batch_id=batch_id), limit=100)][::-1]


def test_a_batch_is_stored_with_its_jobs_and_counts_them(engine: Engine) -> None:
    batch_id = batch_of(engine, new_job(), new_job())

    record = found(engine, batch_id)
    assert (record.name, record.created_at, record.finished_at) == ("import", NOW, None)
    assert counts(engine, batch_id) == (2, 0, 0, 0)
    assert (record.left, record.state) == (2, BatchState.RUNNING)
    assert members(engine, batch_id) == [1, 2]
    assert engine.count_jobs(JobFilter(batch_id=batch_id)) == 2
    assert engine.count_jobs(JobFilter(batch_id=batch_id + 1)) == 0
    assert callbacks(engine) == []


def test_the_last_completion_finishes_the_batch_and_makes_its_callbacks(engine: Engine) -> None:
    batch_id = batch_of(engine, new_job(), new_job())

    complete(engine, claim_one(engine), now=NOW + 1)
    before = callbacks(engine)
    complete(engine, claim_one(engine), now=NOW + 2)

    assert before == []
    assert found(engine, batch_id).state is BatchState.COMPLETED
    assert found(engine, batch_id).finished_at == NOW + 2
    assert callbacks(engine) == ["done", "yay"]


def test_callbacks_can_ask_for_their_batch_and_are_no_members(engine: Engine) -> None:
    batch_id = batch_of(engine, new_job())
    complete(engine, claim_one(engine))

    record = found(engine, batch_id)
    assert record.complete_job is not None
    assert record.success_job is not None
    assert record.failure_job is None
    made = engine.get_job(record.success_job)
    assert made is not None
    assert (made.task, made.batch_id, made.state) == ("yay", batch_id, State.READY)
    assert members(engine, batch_id) == [1]
    complete(engine, claim_some(engine, tasks=("yay",))[0])
    assert counts(engine, batch_id) == (1, 1, 0, 0)


@pytest.mark.parametrize("how", ENDS)
def test_every_end_but_completion_fails_the_batch(engine: Engine, how: str) -> None:
    batch_id = batch_of(engine, new_job())
    end, column = ENDS[how]

    end(engine)

    assert counts(engine, batch_id) == (1, 0, int(column == "dead"), int(column == "cancelled"))
    assert found(engine, batch_id).state is BatchState.FAILED
    assert callbacks(engine) == ["alas", "done"]


def test_a_batch_succeeds_while_no_more_fail_than_are_allowed(engine: Engine) -> None:
    allowing = replace(CALLBACKS, max_failed=1)
    batch_of(engine, new_job(), new_job(), batch=allowing)

    bury(engine, claim_one(engine))
    complete(engine, claim_one(engine))

    assert callbacks(engine) == ["done", "yay"]


def test_a_batch_fails_when_more_fail_than_are_allowed(engine: Engine) -> None:
    allowing = replace(CALLBACKS, max_failed=1)
    batch_of(engine, new_job(), new_job(), batch=allowing)

    bury(engine, claim_one(engine))
    engine.cancel([2], reason="unwanted", now=NOW)

    assert callbacks(engine) == ["alas", "done"]


def test_a_batch_without_jobs_has_finished_at_once(engine: Engine) -> None:
    batch_id = batch_of(engine)

    assert found(engine, batch_id).state is BatchState.COMPLETED
    assert callbacks(engine) == ["done", "yay"]


def test_a_job_that_holds_its_key_already_joins_no_batch(engine: Engine) -> None:
    unique = Unique(key="one")
    holder = enqueue_one(engine, new_job(unique=unique))

    batch_id, answers = engine.enqueue_batch(CALLBACKS, [new_job(unique=unique)], now=NOW)

    assert [(answer.job_id, answer.answer) for answer in answers] == [(holder, "returned")]
    assert counts(engine, batch_id) == (0, 0, 0, 0)
    assert found(engine, batch_id).state is BatchState.COMPLETED


def test_jobs_join_a_batch_while_it_runs(engine: Engine) -> None:
    batch_id = batch_of(engine, new_job())

    enqueue_one(engine, replace(new_job(), batch_id=batch_id))

    assert counts(engine, batch_id) == (2, 0, 0, 0)
    complete(engine, claim_one(engine))
    assert found(engine, batch_id).state is BatchState.RUNNING


def test_nobody_joins_a_batch_that_has_finished_was_cancelled_or_never_was(engine: Engine) -> None:
    finished, cancelled = batch_of(engine), batch_of(engine, new_job())
    assert engine.cancel_batch(cancelled, now=NOW)

    for batch_id, error in ((finished, WrongState), (cancelled, WrongState), (99, BatchNotFound)):
        before = engine.count_jobs(JobFilter())
        with pytest.raises(error, match=str(batch_id)):
            engine.enqueue([new_job(), replace(new_job(), batch_id=batch_id)], now=NOW)
        assert engine.count_jobs(JobFilter()) == before


def test_a_refused_join_leaves_the_transaction_around_it_whole(engine: Engine) -> None:
    finished = batch_of(engine)

    with engine.transaction():
        kept = enqueue_one(engine)
        with pytest.raises(WrongState):
            engine.enqueue([new_job(), replace(new_job(), batch_id=finished)], now=NOW)

    assert [job.id for job in engine.list_jobs(JobFilter(task="task"), limit=10)] == [kept]


def test_a_cancelled_batch_says_so_at_once_and_takes_its_state_to_the_end(engine: Engine) -> None:
    batch_id = batch_of(engine, new_job())

    assert engine.cancel_batch(batch_id, now=NOW + 5)
    assert not engine.cancel_batch(batch_id, now=NOW + 6)
    assert found(engine, batch_id).state is BatchState.CANCELLED
    assert found(engine, batch_id).cancelled_at == NOW + 5
    engine.cancel([1], reason="its batch was cancelled", now=NOW + 7)
    assert found(engine, batch_id).finished_at == NOW + 7
    assert found(engine, batch_id).state is BatchState.CANCELLED
    assert not engine.cancel_batch(batch_of(engine), now=NOW), "one that has finished"


def test_a_stale_report_counts_nothing(engine: Engine) -> None:
    batch_id = batch_of(engine, new_job())
    late = claim_one(engine)
    engine.release([late], reason="made room", now=NOW)
    fresh = claim_one(engine)

    with pytest.raises(LeaseLost):
        complete(engine, late)
    assert counts(engine, batch_id) == (1, 0, 0, 0)
    complete(engine, fresh)
    with pytest.raises(LeaseLost):
        bury(engine, fresh)
    assert counts(engine, batch_id) == (1, 1, 0, 0)


def test_a_member_that_is_run_again_reopens_its_batch_and_callbacks_still_come_once(engine: Engine) -> None:
    batch_id = batch_of(engine, new_job(), new_job())
    bury(engine, claim_one(engine))
    complete(engine, claim_one(engine))
    assert callbacks(engine) == ["alas", "done"]

    engine.requeue([1], now=NOW)

    assert counts(engine, batch_id) == (2, 1, 0, 0)
    assert found(engine, batch_id).finished_at is None
    complete(engine, claim_one(engine))
    assert found(engine, batch_id).state is BatchState.COMPLETED
    assert callbacks(engine) == ["alas", "done", "yay"]
    engine.requeue([1, 2], now=NOW)
    for _ in range(2):
        complete(engine, claim_one(engine))
    assert callbacks(engine) == ["alas", "done", "yay"]


def test_requeueing_what_runs_or_is_no_member_changes_no_count(engine: Engine) -> None:
    batch_id = batch_of(engine, new_job())
    claim_one(engine)
    outside = enqueue_one(engine)
    complete(engine, claim_one(engine))

    engine.requeue([1, outside], now=NOW)

    assert counts(engine, batch_id) == (1, 0, 0, 0)


def test_members_wait_for_each_other_and_are_all_counted_when_one_fails(engine: Engine) -> None:
    child = replace(new_job(), siblings=(0,))
    grandchild = replace(new_job(), siblings=(1,))
    batch_id = batch_of(engine, new_job(), child, grandchild)

    bury(engine, claim_one(engine))

    assert counts(engine, batch_id) == (3, 0, 1, 2)
    assert callbacks(engine) == ["alas", "done"]
    assert engine.batch_links(batch_id) == [(1, 2), (2, 3)]


def test_a_member_that_is_cancelled_at_birth_is_counted(engine: Engine) -> None:
    dead = enqueue_one(engine)
    bury(engine, claim_one(engine))

    batch_id = batch_of(engine, replace(new_job(), parents=(dead,)))

    assert counts(engine, batch_id) == (1, 0, 0, 1)
    assert callbacks(engine) == ["alas", "done"]


def test_many_members_are_counted_whatever_commits_they_end_in(engine: Engine) -> None:
    children = [replace(new_job(), siblings=(0,)) for _ in range(1_200)]
    batch_id = batch_of(engine, new_job(), *children)

    engine.cancel([1], reason="unwanted", now=NOW)
    for _ in range(5):
        claim_some(engine)

    assert counts(engine, batch_id) == (1_201, 0, 0, 1_201)
    assert callbacks(engine) == ["alas", "done"]


def test_a_callback_that_cannot_be_read_is_named_and_holds_nothing_up(engine: Engine) -> None:
    broken = replace(CALLBACKS, on_success=b"{")
    batch_id = batch_of(engine, new_job(), batch=broken)

    complete(engine, claim_one(engine))

    record = found(engine, batch_id)
    assert record.state is BatchState.COMPLETED
    assert record.error is not None
    assert record.error.startswith("success_job: ")
    assert callbacks(engine) == ["done"]


def test_a_callback_keeps_its_delay_and_tags(engine: Engine) -> None:
    later = Template(job=replace(new_job(task="yay"), tags=("cheerful",)), delay_ms=500).encode()
    batch_id = batch_of(engine, batch=NewBatch(name="empty", on_success=later))

    made = found(engine, batch_id).success_job
    assert made is not None
    assert record(engine, made).run_at == NOW + 500
    assert state_of(engine, made) is State.SCHEDULED
    assert engine.tags(made) == ("cheerful",)


def test_batches_are_listed_newest_first_and_those_that_run_alone(engine: Engine) -> None:
    first, second, third = batch_of(engine, new_job()), batch_of(engine), batch_of(engine, new_job())

    assert [one.id for one in engine.list_batches(limit=10)] == [third, second, first]
    assert [one.id for one in engine.list_batches(limit=10, live=True)] == [third, first]
    assert [one.id for one in engine.list_batches(limit=1)] == [third]
    assert [one.id for one in engine.list_batches(limit=10, before_id=third)] == [second, first]
    assert engine.get_batch(99) is None


def test_a_batch_is_pruned_with_the_last_of_its_jobs_and_not_before(engine: Engine) -> None:
    kept, gone = (
        batch_of(engine, new_job(), batch=NewBatch(name="kept")),
        batch_of(engine, new_job(), batch=NewBatch(name="gone")),
    )
    bury(engine, claim_one(engine))
    complete(engine, claim_one(engine))

    for _ in range(3):
        engine.prune(finished_before=NOW + 1, limit=100)

    assert engine.get_batch(gone) is None
    assert engine.get_batch(kept) is not None


def test_a_batch_that_has_finished_lately_is_not_pruned(engine: Engine) -> None:
    empty = batch_of(engine, batch=NewBatch(name="empty"))

    engine.prune(finished_before=NOW, limit=100)
    assert engine.get_batch(empty) is not None
    engine.prune(finished_before=NOW + 1, limit=100)
    assert engine.get_batch(empty) is None


def test_two_engines_count_in_one_batch(open_engine: OpenEngine) -> None:
    one, other = open_engine(), open_engine()
    batch_id = batch_of(one, new_job(), new_job())

    complete(one, claim_one(one))
    complete(other, claim_one(other))

    assert counts(one, batch_id) == (2, 2, 0, 0)
    assert callbacks(other) == ["done", "yay"]


def test_a_fallback_in_a_batch_belongs_to_it_without_being_counted(engine: Engine) -> None:
    batch_id = batch_of(engine, replace(new_job(), on_dead=template("rescue")), batch=NewBatch(name="risky"))

    bury(engine, claim_one(engine))

    (rescue,) = engine.list_jobs(JobFilter(task="rescue"), limit=10)
    assert rescue.batch_id == batch_id
    assert counts(engine, batch_id) == (1, 0, 1, 0)
