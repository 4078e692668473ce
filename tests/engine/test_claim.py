"""Jobs go out: which, in what order, and at what cost to others."""

import threading

import pytest

from liteq.errors import WrongState
from liteq.model.transitions import State
from liteq.store.engine import Engine
from tests.engine.conftest import OpenEngine
from tests.engine.steps import NOW, claim_one, claim_some, enqueue_one, new_job, record, retry, state_of


def test_jobs_are_claimed_by_priority_then_run_at_then_id_across_queues_and_tasks(engine: Engine) -> None:
    jobs = [
        new_job(task=task, queue=queue, priority=priority, run_at=NOW - age)
        for priority in (0, 2, -1)
        for queue in ("b", "a")
        for task in ("two", "one")
        for age in (0, 5, 5)
    ]
    ids = [answer.job_id for answer in engine.enqueue(jobs, now=NOW)]
    wanted = sorted(zip(jobs, ids, strict=True), key=lambda one: (-one[0].priority, one[0].run_at, one[1]))

    taken = []
    while some := claim_some(engine, tasks=("one", "two"), limit=5):
        taken += some

    assert [claim.job_id for claim in taken] == [job_id for _, job_id in wanted]


def test_a_claim_tells_all_that_the_worker_needs(engine: Engine) -> None:
    job_id = enqueue_one(engine, new_job(args=b"[1]", priority=4))

    claim = claim_one(engine, worker_id=3, now=NOW + 9)

    found = record(engine, job_id)
    assert (claim.job_id, claim.attempt, claim.worker_id, claim.claimed_at) == (job_id, 1, 3, NOW + 9)
    assert (claim.args, claim.args_crc, claim.priority, claim.enqueued_at) == (b"[1]", 3, 4, NOW)
    assert (found.owner, found.attempt, found.claimed_at) == (3, 1, NOW + 9)


@pytest.mark.parametrize(("now", "promoted"), [(NOW + 99, False), (NOW + 100, True)])
def test_a_scheduled_job_is_claimed_at_its_very_millisecond(engine: Engine, now: int, promoted: bool) -> None:
    job_id = enqueue_one(engine, new_job(run_at=NOW + 100))

    claims = claim_some(engine, now=now)

    assert [claim.job_id for claim in claims] == ([job_id] if promoted else [])


def test_a_due_job_of_higher_priority_is_promoted_before_anything_is_taken(engine: Engine) -> None:
    enqueue_one(engine)
    due = enqueue_one(engine, new_job(run_at=NOW + 1, priority=1))

    assert claim_one(engine, now=NOW + 1).job_id == due


def test_next_due_is_the_earliest_scheduled_instant(engine: Engine) -> None:
    assert engine.next_due(now=NOW) is None
    enqueue_one(engine)
    assert engine.next_due(now=NOW) is None

    for run_at in (NOW + 30, NOW + 10, NOW + 20):
        enqueue_one(engine, new_job(run_at=run_at))

    assert engine.next_due(now=NOW) == NOW + 10


def test_a_paused_queue_gives_nothing_until_it_is_resumed(engine: Engine) -> None:
    enqueue_one(engine, new_job(queue="held"))
    free = enqueue_one(engine, new_job(queue="free"))
    engine.pause_queue("held", reason="repairs", now=NOW)

    assert [claim.job_id for claim in claim_some(engine)] == [free]
    assert claim_some(engine, queues=("held",)) == []
    assert [(one.name, one.paused_at, one.paused_reason) for one in engine.queues()] == [("held", NOW, "repairs")]

    assert engine.resume_queue("held")
    assert not engine.resume_queue("held")
    assert len(claim_some(engine)) == 1


def test_a_job_that_comes_due_in_a_paused_queue_stays(engine: Engine) -> None:
    job_id = enqueue_one(engine, new_job(run_at=NOW + 1))
    engine.pause_queue("default", reason=None, now=NOW)

    assert claim_some(engine, now=NOW + 1) == []
    assert state_of(engine, job_id) is State.READY


def test_a_second_pause_keeps_the_first_instant(engine: Engine) -> None:
    engine.pause_queue("held", reason="one", now=NOW)
    engine.pause_queue("held", reason="two", now=NOW + 1)

    assert [(one.paused_at, one.paused_reason) for one in engine.queues()] == [(NOW, "two")]


def test_only_registered_tasks_and_named_queues_are_taken(engine: Engine) -> None:
    enqueue_one(engine, new_job(task="unknown"))
    enqueue_one(engine, new_job(queue="elsewhere"))
    mine = enqueue_one(engine)

    assert claim_some(engine, tasks=()) == []
    assert claim_some(engine, queues=()) == []
    assert [claim.job_id for claim in claim_some(engine, queues=("default",))] == [mine]


def test_a_limit_of_nothing_takes_nothing(engine: Engine) -> None:
    job_id = enqueue_one(engine)

    assert claim_some(engine, limit=0) == []
    assert state_of(engine, job_id) is State.READY


def test_a_claim_with_nothing_to_take_waits_for_no_writer(engine: Engine, open_engine: OpenEngine) -> None:
    other = open_engine()
    enqueue_one(engine, new_job(run_at=NOW + 1))
    enqueue_one(engine, new_job(task="unknown"))
    claims: list[object] = [None]
    taker = threading.Thread(target=lambda: claims.extend(claim_some(other)))

    with engine.transaction():
        enqueue_one(engine)
        taker.start()
        taker.join(2)
        answered_beside_the_writer = not taker.is_alive()
    taker.join()

    assert answered_beside_the_writer
    assert claims == [None]


def test_two_engines_never_take_the_same_job(engine: Engine, open_engine: OpenEngine) -> None:
    other = open_engine()
    ids = [answer.job_id for answer in engine.enqueue([new_job()] * 200, now=NOW)]
    taken: dict[int, list[int]] = {1: [], 2: []}

    def take(taker: Engine, worker_id: int) -> None:
        while claims := claim_some(taker, worker_id=worker_id, limit=3):
            taken[worker_id] += [claim.job_id for claim in claims]

    threads = [threading.Thread(target=take, args=one) for one in ((engine, 1), (other, 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken[1] + taken[2]) == ids


def test_the_budget_of_failures_is_never_overdrawn(engine: Engine) -> None:
    job_id = enqueue_one(engine, new_job(max_failures=3))
    for _ in range(2):
        retry(engine, claim_one(engine))
        claim_some(engine, tasks=(), now=NOW)
    claim = claim_one(engine)

    with pytest.raises(WrongState):
        retry(engine, claim)

    assert claim.last_chance
    assert (record(engine, job_id).failures, record(engine, job_id).state) == (2, State.RUNNING)


def test_a_paused_queue_full_of_urgent_jobs_stands_in_nobodys_way(engine: Engine) -> None:
    for _ in range(5):
        enqueue_one(engine, new_job(queue="paused", priority=9))
    other = enqueue_one(engine)
    engine.pause_queue("paused", reason=None, now=NOW)

    assert [claim.job_id for claim in claim_some(engine, limit=3)] == [other]
