"""Queues that hold a limited number of waiting jobs: the limit holds at every way in, the count at every way out."""

from collections.abc import Callable
from threading import Thread

import msgspec
import pytest

from liteq.errors import DependencyError, QueueFull
from liteq.model.batch import NewBatch
from liteq.model.job import Change, Claim, Enqueued, NewJob, Unique
from liteq.model.template import Template
from liteq.model.transitions import AT_REST
from liteq.store.engine import Engine
from tests.engine.conftest import OpenEngine
from tests.engine.steps import (
    NOW,
    abort,
    bury,
    claim_one,
    claim_some,
    complete,
    die,
    enqueue_one,
    new_job,
    register,
    retry,
    snooze,
    state_of,
)


def pending(engine: Engine, queue: str = "default") -> int | None:
    return next((one.pending for one in engine.queues() if one.name == queue), None)


def rows_at_rest(engine: Engine, queue: str = "default") -> int:
    return sum(lane.jobs for lane in engine.lane_counts() if lane.state in AT_REST and lane.queue == queue)


def child_of(parent: int, **changes: object) -> NewJob:
    return msgspec.structs.replace(new_job(), parents=(parent,), **changes)


def test_a_full_queue_refuses_and_says_how_full_it_is(engine: Engine) -> None:
    engine.limit_pending("default", 2)
    engine.enqueue([new_job(), new_job(run_at=NOW + 5)], now=NOW)

    with pytest.raises(QueueFull) as refusal:
        enqueue_one(engine)

    full = refusal.value
    assert (full.queue, full.pending, full.max_pending, full.wanted) == ("default", 2, 2, 1)
    assert rows_at_rest(engine) == pending(engine) == 2


def test_other_queues_go_on(engine: Engine) -> None:
    engine.limit_pending("default", 1)
    enqueue_one(engine)

    assert engine.enqueue([new_job(queue="other")] * 3, now=NOW)
    assert pending(engine, "other") is None


def test_many_are_stored_all_or_none(engine: Engine) -> None:
    engine.limit_pending("small", 2)
    engine.limit_pending("default", 100)

    with pytest.raises(QueueFull):
        engine.enqueue([new_job()] * 3 + [new_job(queue="small")] * 3, now=NOW)

    assert (pending(engine), pending(engine, "small")) == (0, 0)
    assert engine.lane_counts() == []
    engine.enqueue([new_job()] * 3 + [new_job(queue="small")] * 2, now=NOW)
    assert (pending(engine), pending(engine, "small")) == (3, 2)


def test_a_refusal_inside_a_transaction_leaves_that_transaction_whole(engine: Engine) -> None:
    engine.limit_pending("small", 1)
    engine.limit_pending("default", 100)
    key = Unique(key="k")

    with engine.transaction():
        enqueue_one(engine)
        for bad in (
            [new_job(), new_job(queue="small"), new_job(queue="small")],
            [new_job(unique=key), new_job(queue="small"), new_job(queue="small", unique=Unique(key="other"))],
        ):
            with pytest.raises(QueueFull):
                engine.enqueue(bad, now=NOW)

    assert (pending(engine), pending(engine, "small")) == (1, 0)
    assert rows_at_rest(engine) == 1
    assert enqueue_one(engine, new_job(queue="small", unique=key))


def test_a_job_that_says_skip_is_left_out_of_a_full_queue(engine: Engine) -> None:
    engine.limit_pending("default", 2)
    skips = msgspec.structs.replace(new_job(), when_full="skip")
    keyed = msgspec.structs.replace(skips, unique=Unique(key="k"))

    answers = engine.enqueue([skips, skips, skips, keyed], now=NOW)

    assert [one.answer for one in answers] == ["new", "new", "full", "full"]
    assert rows_at_rest(engine) == pending(engine) == 2


def test_a_held_key_is_answered_by_a_full_queue_too(engine: Engine) -> None:
    engine.limit_pending("default", 1)
    job_id = enqueue_one(engine, new_job(unique=Unique(key="k")))

    (answer,) = engine.enqueue([new_job(unique=Unique(key="k"))], now=NOW)

    assert (answer.job_id, answer.answer) == (job_id, "returned")
    assert pending(engine) == 1


def test_the_limit_counts_what_waits_already_and_lets_it_stay(engine: Engine) -> None:
    engine.enqueue([new_job(), new_job(run_at=NOW + 5), new_job(), new_job(queue="other")], now=NOW)
    claim_one(engine)

    engine.limit_pending("default", 1)

    assert pending(engine) == rows_at_rest(engine) == 2
    with pytest.raises(QueueFull):
        enqueue_one(engine)
    claim_some(engine)
    assert pending(engine) == 1


def test_a_limit_may_be_raised_and_taken_away(engine: Engine) -> None:
    assert not engine.limit_pending("default", 1)
    enqueue_one(engine)
    with pytest.raises(QueueFull):
        enqueue_one(engine)

    engine.limit_pending("default", 2)
    enqueue_one(engine)
    assert engine.limit_pending("default", None)
    enqueue_one(engine)

    assert engine.queues() == []
    engine.limit_pending("default", 3)
    assert pending(engine) == 3


@pytest.mark.parametrize("hand", ["another", "own"])
def test_a_limit_holds_from_the_next_job_on_whoever_sets_it(engine: Engine, open_engine: OpenEngine, hand: str) -> None:
    for _ in range(2):
        enqueue_one(engine)

    (engine if hand == "own" else open_engine()).limit_pending("default", 2)

    with pytest.raises(QueueFull):
        enqueue_one(engine)


def test_a_limit_whose_end_was_undone_holds_still(engine: Engine) -> None:
    engine.limit_pending("default", 2)

    def unlimit_in_vain() -> None:
        with engine.transaction():
            engine.limit_pending("default", None)
            engine.enqueue([new_job()] * 3, now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        unlimit_in_vain()

    with pytest.raises(QueueFull):
        engine.enqueue([new_job()] * 3, now=NOW)


def test_pause_and_limit_do_not_touch_each_other(engine: Engine) -> None:
    engine.limit_pending("default", 1)
    engine.pause_queue("default", reason=None, now=NOW)
    enqueue_one(engine)

    assert engine.resume_queue("default")

    assert [(one.paused_at, one.max_pending, one.pending) for one in engine.queues()] == [(None, 1, 1)]
    engine.pause_queue("default", reason="again", now=NOW)
    engine.limit_pending("default", None)
    assert [(one.paused_reason, one.max_pending) for one in engine.queues()] == [("again", None)]


def _expire(engine: Engine, claim: Claim) -> object:
    return engine.expire(now=NOW)


WAYS: dict[str, tuple[Callable[[Engine, Claim], object], int]] = {
    "complete": (complete, 0),
    "retry": (lambda engine, claim: retry(engine, claim, run_at=NOW + 5), 1),
    "dead_letter": (bury, 0),
    "snooze": (lambda engine, claim: snooze(engine, claim, run_at=NOW + 5), 1),
    "release": (lambda engine, claim: engine.release([claim], reason="room", now=NOW), 1),
    "expire": (_expire, 1),
}


@pytest.mark.parametrize("cancelled", [False, True], ids=["plain", "asked to stop"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_out_of_running_keeps_the_count(engine: Engine, way: str, cancelled: bool) -> None:
    engine.limit_pending("default", 1)
    worker = register(engine)
    job_id = enqueue_one(engine)
    claim = claim_one(engine, worker_id=worker.worker_id)
    enqueue_one(engine)
    verb, comes_back = WAYS[way]
    if cancelled:
        engine.cancel([job_id], reason="unwanted", now=NOW)
    die(worker)

    verb(engine, claim)

    assert pending(engine) == rows_at_rest(engine) == 1 + (comes_back if not cancelled else 0)


def test_an_aborted_job_is_not_counted(engine: Engine) -> None:
    engine.limit_pending("default", 1)
    claim = claim_one(engine) if enqueue_one(engine) else None
    assert claim is not None
    engine.cancel([claim.job_id], reason="unwanted", now=NOW)

    abort(engine, claim)

    assert pending(engine) == 0


def test_jobs_in_the_file_are_never_refused(engine: Engine) -> None:
    engine.limit_pending("default", 1)
    first = enqueue_one(engine)
    complete(engine, claim_one(engine))
    enqueue_one(engine)
    moved = enqueue_one(engine, new_job(queue="other"))

    assert engine.requeue([first], now=NOW) == [first]
    assert engine.reschedule([moved], Change(queue="default"), now=NOW) == [moved]

    assert pending(engine) == rows_at_rest(engine) == 3


def test_what_is_done_by_hand_keeps_the_count(engine: Engine) -> None:
    engine.limit_pending("default", 10)
    engine.limit_pending("other", 10)
    ids = [one.job_id for one in engine.enqueue([new_job()] * 5, now=NOW)]
    claim = claim_one(engine)

    engine.reschedule(ids[:2], Change(queue="other"), now=NOW)
    assert (pending(engine), pending(engine, "other")) == (3, 1)
    engine.reschedule([ids[2]], Change(priority=7), now=NOW)
    engine.cancel([ids[1], ids[2]], reason="unwanted", now=NOW)
    assert (pending(engine), pending(engine, "other")) == (2, 0)
    complete(engine, claim)
    engine.delete([*ids[:4]], now=NOW)

    assert (pending(engine), pending(engine, "other")) == (1, 0)
    assert rows_at_rest(engine) == 1


def test_children_are_counted_while_they_wait_and_until_they_are_cancelled(engine: Engine) -> None:
    engine.limit_pending("default", 3)
    parent = enqueue_one(engine)
    child = enqueue_one(engine, child_of(parent))
    enqueue_one(engine, child_of(child))
    with pytest.raises(QueueFull):
        enqueue_one(engine, child_of(parent))

    bury(engine, claim_one(engine))

    assert pending(engine) == rows_at_rest(engine) == 0
    (late,) = engine.enqueue([child_of(parent)], now=NOW)
    assert state_of(engine, late.job_id) not in AT_REST
    assert pending(engine) == 0


def test_a_refused_child_leaves_nothing(engine: Engine) -> None:
    engine.limit_pending("default", 10)
    with pytest.raises(DependencyError):
        engine.enqueue([new_job(), child_of(99)], now=NOW)

    assert pending(engine) == rows_at_rest(engine) == 0


def test_threads_never_go_beyond_the_limit(engine: Engine, open_engine: OpenEngine) -> None:
    engine.limit_pending("default", 50)
    taken: list[int] = []

    def produce(mine: Engine) -> None:
        for _ in range(60):
            try:
                taken.append(enqueue_one(mine))
            except QueueFull:
                continue

    threads = [Thread(target=produce, args=(mine,)) for mine in (engine, engine, engine, engine)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == rows_at_rest(engine) == pending(engine) == 50


def test_jobs_that_the_file_makes_by_itself_are_counted_and_never_refused(engine: Engine) -> None:
    engine.limit_pending("default", 1)
    later = Template(job=new_job(run_at=0)).encode()
    member = msgspec.structs.replace(new_job(), on_dead=later)
    engine.enqueue_batch(NewBatch(name="batch", on_complete=later), [member], now=NOW)
    claim = claim_one(engine)
    enqueue_one(engine)

    bury(engine, claim)

    assert pending(engine) == rows_at_rest(engine) == 3


def test_a_child_that_says_so_is_left_out_of_a_full_queue_too(engine: Engine) -> None:
    parent = enqueue_one(engine)
    engine.limit_pending("default", 1)

    (answer,) = engine.enqueue([msgspec.structs.replace(new_job(parents=(parent,)), when_full="skip")], now=NOW)

    assert answer == Enqueued(0, "full")
    assert engine.children(parent, limit=10) == []


def test_nobody_waits_for_a_job_that_was_left_out(engine: Engine) -> None:
    engine.limit_pending("default", 0)
    jobs = [
        msgspec.structs.replace(new_job(), when_full="skip"),
        msgspec.structs.replace(new_job(queue="other"), siblings=(0,)),
    ]

    with pytest.raises(DependencyError, match="left out, because its queue is full"):
        engine.enqueue(jobs, now=NOW)
