"""Jobs that wait for others: freed once, in the transaction in which the last parent ends."""

import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from liteq.errors import DependencyError
from liteq.model.job import Claim, Completion, JobFilter, NewJob, OnParentFailure, Unique
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Engine
from tests.engine.conftest import OpenEngine
from tests.engine.steps import (
    NOBODY,
    NOW,
    bury,
    cancel_between_attempts,
    cancel_while_it_runs,
    claim_one,
    claim_some,
    complete,
    die,
    enqueue_one,
    new_job,
    record,
    register,
    retry,
    state_of,
    told,
)

LATER = NOW + 1_000


def child(*parents: int, run_at: int = NOW, policy: OnParentFailure = "cancel", task: str = "child") -> NewJob:
    return replace(new_job(task=task, run_at=run_at), parents=parents, on_parent_failure=policy)


def test_a_child_waits_and_is_ready_when_its_last_parent_completes(engine: Engine) -> None:
    first, second = enqueue_one(engine), enqueue_one(engine)
    waiting = enqueue_one(engine, child(first, second))

    assert state_of(engine, waiting) is State.WAITING
    complete(engine, claim_one(engine))
    assert state_of(engine, waiting) is State.WAITING
    assert claim_some(engine, tasks=("child",)) == []
    complete(engine, claim_one(engine))

    assert state_of(engine, waiting) is State.READY
    assert [claim.job_id for claim in claim_some(engine, tasks=("child",))] == [waiting]


def test_a_child_that_is_not_due_is_scheduled_when_it_is_freed(engine: Engine) -> None:
    waiting = enqueue_one(engine, child(enqueue_one(engine), run_at=LATER))

    complete(engine, claim_one(engine))

    assert state_of(engine, waiting) is State.SCHEDULED


def test_parents_that_completed_before_do_not_hold_a_child_up(engine: Engine) -> None:
    parent = enqueue_one(engine)
    complete(engine, claim_one(engine))

    assert state_of(engine, enqueue_one(engine, child(parent))) is State.READY
    assert state_of(engine, enqueue_one(engine, child(parent, run_at=LATER))) is State.SCHEDULED


def test_a_retry_of_a_parent_frees_nobody(engine: Engine) -> None:
    waiting = enqueue_one(engine, child(enqueue_one(engine)))

    retry(engine, claim_one(engine))
    assert state_of(engine, waiting) is State.WAITING
    complete(engine, claim_one(engine))

    assert state_of(engine, waiting) is State.READY


def _crashed(engine: Engine) -> None:
    while True:
        slate = register(engine)
        claims = claim_some(engine, worker_id=slate.worker_id, limit=1, now=NOW + 10**9)
        if not claims:
            return
        slate.start(0, claims[0].job_id, claims[0].attempt, NOW)
        die(slate)
        engine.expire(now=NOW)


FAILURES: dict[str, tuple[Callable[[Engine], object], str]] = {
    "dead": (lambda engine: bury(engine, claim_one(engine)), "dead"),
    "crashed to death": (_crashed, "dead"),
    "aborted": (cancel_while_it_runs, "cancelled"),
    "cancelled between attempts": (cancel_between_attempts, "cancelled"),
    "cancelled at rest": (lambda engine: engine.cancel([1], reason="unwanted", now=NOW), "cancelled"),
    "deleted": (lambda engine: engine.delete([1], now=NOW), "deleted"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_parent_that_does_not_complete_cancels_its_children_and_theirs_with_a_reason(
    engine: Engine, how: str
) -> None:
    parent = enqueue_one(engine)
    waiting = enqueue_one(engine, child(parent))
    grandchild = enqueue_one(engine, child(waiting))
    fail, word = FAILURES[how]

    fail(engine)

    assert parent == 1
    assert record(engine, waiting).state is State.CANCELLED
    assert record(engine, waiting).reason == f"its parent, job 1, was {word}"
    assert record(engine, grandchild).state is State.CANCELLED
    assert record(engine, grandchild).reason == f"its parent, job {waiting}, was cancelled"
    assert sum(row.cancelled for row in engine.metrics(since_minute=0)) >= 2


@pytest.mark.parametrize("how", FAILURES)
def test_a_child_that_says_so_runs_when_its_parent_does_not_complete(engine: Engine, how: str) -> None:
    waiting = enqueue_one(engine, child(enqueue_one(engine), policy="run"))

    FAILURES[how][0](engine)

    assert state_of(engine, waiting) is State.READY


@pytest.mark.parametrize("how", FAILURES)
def test_of_the_children_of_one_parent_each_goes_its_own_way(engine: Engine, how: str) -> None:
    parent = enqueue_one(engine)
    stopped, running = enqueue_one(engine, child(parent)), enqueue_one(engine, child(parent, policy="run"))

    FAILURES[how][0](engine)

    assert (state_of(engine, stopped), state_of(engine, running)) == (State.CANCELLED, State.READY)


def test_a_child_of_a_failed_parent_is_cancelled_at_once_unless_it_runs_anyway(engine: Engine) -> None:
    parent = enqueue_one(engine)
    bury(engine, claim_one(engine))

    stopped = record(engine, enqueue_one(engine, child(parent)))
    running = record(engine, enqueue_one(engine, child(parent, policy="run")))

    assert (stopped.state, stopped.reason, stopped.finished_at) == (State.CANCELLED, "its parent, job 1, was dead", NOW)
    assert running.state is State.READY


def test_a_parent_that_does_not_exist_is_refused_and_nothing_is_stored(engine: Engine) -> None:
    with pytest.raises(DependencyError, match="999"):
        engine.enqueue([new_job(), child(999)], now=NOW)

    assert engine.get_job(1) is None


@pytest.mark.parametrize("place", [0, 1, 5, -1])
def test_a_job_waits_only_for_those_before_it(engine: Engine, place: int) -> None:
    with pytest.raises(DependencyError, match="before it"):
        engine.enqueue([replace(new_job(), siblings=(place,))], now=NOW)

    assert engine.get_job(1) is None


def test_a_whole_tree_is_stored_by_places(engine: Engine) -> None:
    jobs = [new_job(), replace(child(), siblings=(0,)), replace(child(), siblings=(0, 1))]

    first, second, third = (answer.job_id for answer in engine.enqueue(jobs, now=NOW))

    assert [job.id for job in engine.parents(third)] == [first, second]
    assert [job.id for job in engine.children(first, limit=10)] == [second, third]
    assert [job.id for job in engine.children(first, limit=1)] == [second]
    assert [job.id for job in engine.children(first, limit=10, after=second)] == [third]
    complete(engine, claim_one(engine))
    assert (state_of(engine, second), state_of(engine, third)) == (State.READY, State.WAITING)


def test_parents_are_given_in_the_order_in_which_they_were_named_once_each(engine: Engine) -> None:
    first, second = enqueue_one(engine), enqueue_one(engine)

    waiting = enqueue_one(engine, child(second, first, second))

    assert [job.id for job in engine.parents(waiting)] == [second, first]
    for _ in range(2):
        complete(engine, claim_one(engine))
    assert state_of(engine, waiting) is State.READY


def test_a_late_report_of_a_parent_frees_nobody(engine: Engine) -> None:
    slow = register(engine, "slow")
    waiting = enqueue_one(engine, child(enqueue_one(engine)))
    late = claim_one(engine, worker_id=slow.worker_id)
    die(slow)
    engine.expire(now=NOW)
    claim_one(engine)

    lost = engine.complete_many([_completion(late)], now=NOW)

    assert lost == [late]
    assert state_of(engine, waiting) is State.WAITING


def _completion(claim: Claim) -> Completion:
    return Completion(claim=claim, report=told(Outcome.COMPLETED), result=b"null")


def test_a_parent_that_completes_a_second_time_frees_nobody_a_second_time(engine: Engine) -> None:
    first, second = enqueue_one(engine), enqueue_one(engine)
    waiting = enqueue_one(engine, child(first, second))
    complete(engine, claim_one(engine))
    engine.requeue([first], now=NOW)

    complete(engine, next(claim for claim in claim_some(engine) if claim.job_id == first))

    assert state_of(engine, waiting) is State.WAITING


def test_a_cancelled_child_is_told_nothing_and_can_be_run_by_hand(engine: Engine) -> None:
    parent = enqueue_one(engine)
    waiting = enqueue_one(engine, child(parent))
    engine.cancel([waiting], reason="unwanted", now=NOW)

    complete(engine, claim_one(engine))
    assert state_of(engine, waiting) is State.CANCELLED
    engine.requeue([waiting], now=NOW)

    assert state_of(engine, waiting) is State.READY


def test_a_child_with_a_held_key_is_the_holder(engine: Engine) -> None:
    unique = Unique(key="k")
    holder = enqueue_one(engine, replace(child(enqueue_one(engine)), unique=unique))

    (answer,) = engine.enqueue([replace(child(1), unique=unique)], now=NOW)

    assert (answer.job_id, answer.answer) == (holder, "returned")
    assert [job.id for job in engine.children(1, limit=10)] == [holder]


def test_a_cancelled_child_gives_its_key_back(engine: Engine) -> None:
    parent = enqueue_one(engine)
    enqueue_one(engine, replace(child(parent), unique=Unique(key="k")))
    bury(engine, claim_one(engine))

    stopped = enqueue_one(engine, replace(child(parent), unique=Unique(key="k")))
    (answer,) = engine.enqueue([replace(new_job(), unique=Unique(key="k"))], now=NOW)

    assert state_of(engine, stopped) is State.CANCELLED
    assert answer.answer == "new"


def test_many_children_are_freed_some_hundred_in_a_transaction_and_all_in_the_end(engine: Engine) -> None:
    parent = enqueue_one(engine)
    engine.enqueue([child(parent, task="leaf")] * 1_300, now=NOW)

    complete(engine, claim_one(engine))
    freed = len(claim_some(engine, tasks=("nothing", "leaf"), limit=2_000))
    rounds = 0
    while claims := claim_some(engine, tasks=("leaf",), limit=2_000):
        freed += len(claims)
        rounds += 1

    assert freed == 1_300
    assert rounds >= 1


def test_what_is_left_of_a_fan_out_is_work_left(engine: Engine) -> None:
    parent = enqueue_one(engine)
    engine.enqueue([child(parent, task="leaf")] * 1_300, now=NOW)
    complete(engine, claim_one(engine))
    claim_some(engine, tasks=("leaf",), limit=500, worker_id=NOBODY + 1)

    assert engine.work_left(worker_id=NOBODY, queues=None, tasks=("leaf",), until=NOW, now=NOW)


def test_a_long_chain_of_cancelled_children_is_cancelled_to_its_end(engine: Engine) -> None:
    jobs = [new_job(), *(replace(child(), siblings=(place,)) for place in range(1_600))]
    ids = [answer.job_id for answer in engine.enqueue(jobs, now=NOW)]

    engine.cancel(ids[:1], reason="unwanted", now=NOW)
    for _ in range(5):
        claim_some(engine)

    assert state_of(engine, ids[-1]) is State.CANCELLED


def test_a_parent_is_kept_while_a_child_may_ask_for_its_result(engine: Engine) -> None:
    parent = enqueue_one(engine)
    enqueue_one(engine, child(parent))
    complete(engine, claim_one(engine))

    assert engine.prune(finished_before=LATER, limit=10) == 0
    (claim,) = claim_some(engine, tasks=("child",))
    complete(engine, claim)

    assert engine.prune(finished_before=LATER, limit=10) == 2


def test_a_child_is_not_freed_twice_by_two_who_report_its_last_parents_at_once(open_engine: OpenEngine) -> None:
    """The rounds are few here; a race by processes is in the tests of workers."""
    mine, yours = open_engine(), open_engine()
    for _ in range(20):
        parents = [enqueue_one(mine) for _ in range(2)]
        waiting = enqueue_one(mine, child(*parents))
        claims = [claim_one(mine), claim_one(yours)]
        threads = [
            threading.Thread(target=complete, args=(engine, claim))
            for engine, claim in zip((mine, yours), claims, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        (claim,) = claim_some(mine, tasks=("child",))
        assert claim.job_id == waiting
        complete(mine, claim)


def test_a_parent_that_ends_once_more_does_not_tell_a_child_twice(engine: Engine) -> None:
    parent, other = enqueue_one(engine), enqueue_one(engine, new_job(task="other"))
    waiting = enqueue_one(engine, child(parent, other))
    complete(engine, claim_one(engine))
    engine.requeue([parent], now=NOW)
    newcomer = enqueue_one(engine, child(parent))

    complete(engine, claim_one(engine))

    assert state_of(engine, newcomer) is State.READY
    assert state_of(engine, waiting) is State.WAITING


def test_a_parent_that_had_ended_before_its_child_came_is_not_counted_when_it_ends_again(engine: Engine) -> None:
    parent = enqueue_one(engine)
    complete(engine, claim_one(engine))
    waiting = enqueue_one(engine, child(parent, enqueue_one(engine, new_job(task="other"))))
    engine.requeue([parent], now=NOW)
    enqueue_one(engine, child(parent))

    bury(engine, claim_one(engine))

    assert state_of(engine, waiting) is State.WAITING


def half_told(engine: Engine, *, dead: bool = False) -> int:
    """Give a parent with more children than are told in the commit of its end."""
    parent = enqueue_one(engine)
    engine.enqueue([child(parent)] * 1_200, now=NOW)
    (bury if dead else complete)(engine, claim_one(engine))
    return parent


def tell_all(engine: Engine) -> None:
    while engine.next_due(now=NOW) is not None:
        assert claim_some(engine, tasks=("nothing",)) == []


def test_the_children_of_a_deleted_parent_are_told_to_the_last(engine: Engine) -> None:
    parent = half_told(engine)

    engine.delete([parent], now=NOW)
    tell_all(engine)

    assert engine.count_jobs(JobFilter(states=(State.READY,), task="child")) == 1_200
    assert engine.parents(parent + 1) == []


def test_a_child_that_comes_while_others_are_still_told_waits_for_the_next_end(engine: Engine) -> None:
    parent = half_told(engine)
    engine.requeue([parent], now=NOW)
    newcomer = enqueue_one(engine, child(parent))

    tell_all(engine)
    assert state_of(engine, newcomer) is State.WAITING
    bury(engine, claim_one(engine))

    assert state_of(engine, newcomer) is State.CANCELLED
    assert engine.count_jobs(JobFilter(states=(State.READY,), task="child")) == 1_200


def test_nobody_sleeps_while_children_are_still_to_be_told(engine: Engine) -> None:
    half_told(engine, dead=True)

    assert engine.next_due(now=NOW) == NOW
    tell_all(engine)

    assert engine.count_jobs(JobFilter(states=(State.CANCELLED,))) == 1_200
