"""Jobs of one concurrency key take turns, whatever ends or moves them."""

from collections.abc import Callable

import pytest

from liteq.errors import LeaseLost
from liteq.model.job import Change, Claim, Completion, Unique
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Engine
from tests.engine.steps import (
    NOW,
    abort,
    bury,
    claim_one,
    claim_some,
    complete,
    die,
    enqueue_one,
    enqueue_some,
    move,
    new_job,
    register,
    retry,
    snooze,
    state_of,
    states,
    told,
)

LATER = NOW + 1_000
KEYED = new_job(key="customer:7")


def test_only_the_next_job_of_a_key_is_ready_and_the_others_are_blocked_from_the_start(engine: Engine) -> None:
    ids = enqueue_some(engine, 3)

    assert states(engine, ids) == ["ready", "blocked", "blocked"]
    assert [claim.job_id for claim in claim_some(engine)] == ids[:1]
    assert claim_some(engine) == []


def test_as_many_jobs_of_a_key_run_at_once_as_it_allows(engine: Engine) -> None:
    ids = enqueue_some(engine, 5, key_max=3)

    assert [claim.job_id for claim in claim_some(engine)] == ids[:3]
    assert states(engine, ids) == ["running"] * 3 + ["blocked"] * 2


def test_keys_do_not_hold_up_each_other_nor_jobs_without_one(engine: Engine) -> None:
    enqueue_some(engine, 2, key="a")
    enqueue_some(engine, 2, key="b")
    enqueue_one(engine)

    assert len(claim_some(engine)) == 3


def test_a_key_that_is_in_use_holds_up_jobs_of_every_queue(engine: Engine) -> None:
    enqueue_one(engine, new_job(key="k", queue="a"))
    second = enqueue_one(engine, new_job(key="k", queue="b"))

    assert state_of(engine, second) is State.BLOCKED


def _stop(engine: Engine, claim: Claim) -> None:
    engine.cancel([claim.job_id], reason="no", now=NOW)
    abort(engine, claim)


LEAVING: dict[str, Callable[[Engine, Claim], object]] = {
    "complete": complete,
    "dead_letter": bury,
    "retry": lambda engine, claim: retry(engine, claim, run_at=LATER),
    "snooze": lambda engine, claim: snooze(engine, claim, run_at=LATER),
    "abort": _stop,
}


@pytest.mark.parametrize("verb", LEAVING)
def test_the_report_that_ends_a_turn_lets_in_the_next(engine: Engine, verb: str) -> None:
    _, second, third = enqueue_some(engine, 3)
    claim = claim_one(engine)

    LEAVING[verb](engine, claim)

    assert states(engine, [second, third]) == ["ready", "blocked"]


@pytest.mark.parametrize("verb", [*LEAVING, "release"])
def test_a_late_report_lets_in_nobody(engine: Engine, verb: str) -> None:
    """The fenced update moved no row, so nothing may follow from it."""
    worker = register(engine)
    first, second = enqueue_some(engine, 2)
    late = claim_one(engine, worker_id=worker.worker_id)
    die(worker)
    engine.expire(now=NOW)
    fresh = claim_one(engine)
    engine.cancel([first], reason="so that abort is allowed", now=NOW)

    if verb == "release":
        assert engine.release([late], reason="shutdown", now=NOW) == [late]
    else:
        with pytest.raises(LeaseLost):
            LEAVING[verb](engine, late)

    assert fresh.job_id == first
    assert states(engine, [first, second]) == ["running", "blocked"]
    assert claim_some(engine) == []


def test_a_late_completion_among_timely_ones_lets_in_nobody(engine: Engine) -> None:
    (held, waiting), plain = enqueue_some(engine, 2), enqueue_one(engine)
    claims = {claim.job_id: claim for claim in claim_some(engine)}
    engine.release([claims[held]], reason="made room", now=NOW)
    claim_one(engine)

    with pytest.raises(LeaseLost):
        complete(engine, claims[held])
    complete(engine, claims[plain])

    assert state_of(engine, waiting) is State.BLOCKED


def test_a_crash_keeps_the_turn_and_a_death_ends_it(engine: Engine) -> None:
    first, second = enqueue_some(engine, 2, max_crashes=2)
    for expected in (["ready", "blocked"], ["dead", "ready"]):
        worker = register(engine)
        claim = claim_one(engine, worker_id=worker.worker_id)
        worker.start(0, claim.job_id, claim.attempt, NOW)
        die(worker)
        engine.expire(now=NOW)
        assert states(engine, [first, second]) == expected


def test_a_job_that_is_given_back_is_next_again(engine: Engine) -> None:
    ids = enqueue_some(engine, 2)
    claim = claim_one(engine)

    assert engine.release([claim], reason="made room", now=NOW) == []

    assert states(engine, ids) == ["ready", "blocked"]


@pytest.mark.parametrize("verb", ["cancel", "delete", "delay"])
def test_a_job_that_is_taken_out_while_it_waits_for_a_worker_lets_in_the_next(engine: Engine, verb: str) -> None:
    first, second = enqueue_some(engine, 2)

    if verb == "cancel":
        engine.cancel([first], reason="unwanted", now=NOW)
    elif verb == "delete":
        engine.delete([first], now=NOW)
    else:
        move(engine, first, run_at=LATER)

    assert state_of(engine, second) is State.READY


def test_deleting_what_runs_or_has_finished_lets_in_nobody(engine: Engine) -> None:
    first, second, third = enqueue_some(engine, 3)
    complete(engine, claim_one(engine))
    claim_one(engine)

    assert engine.delete([first, second], now=NOW) == [first]

    assert states(engine, [second, third]) == ["running", "blocked"]


def test_a_job_that_comes_first_takes_the_turn_of_one_that_no_worker_has_taken(engine: Engine) -> None:
    usual, urgent = enqueue_one(engine, KEYED), enqueue_one(engine, new_job(key="customer:7", priority=5))

    assert states(engine, [usual, urgent]) == ["blocked", "ready"]


def test_the_best_of_a_long_line_is_next_wherever_it_came_in(engine: Engine) -> None:
    enqueue_one(engine, KEYED)
    claim = claim_one(engine)
    ids = [enqueue_one(engine, new_job(key="customer:7", priority=priority)) for priority in (0, 1, 5, 3)]

    complete(engine, claim)

    assert states(engine, ids) == ["blocked", "blocked", "ready", "blocked"]


def test_a_turn_that_a_worker_has_taken_is_kept(engine: Engine) -> None:
    usual = enqueue_one(engine, KEYED)
    claim_one(engine)
    urgent = enqueue_one(engine, new_job(key="customer:7", priority=5))

    assert states(engine, [usual, urgent]) == ["running", "blocked"]


def test_a_new_priority_moves_a_blocked_job_in_its_line(engine: Engine) -> None:
    first, second, third = enqueue_some(engine, 3)
    claims = [claim_one(engine)]

    engine.reschedule([third], Change(priority=9), now=NOW)
    for _ in range(2):
        complete(engine, claims[-1])
        claims.append(claim_one(engine))

    assert [claim.job_id for claim in claims] == [first, third, second]


def test_a_blocked_job_that_is_put_off_is_scheduled_and_comes_back_to_its_line(engine: Engine) -> None:
    _, second = enqueue_some(engine, 2)
    claim = claim_one(engine)

    assert move(engine, second, run_at=LATER) == [second]
    assert state_of(engine, second) is State.SCHEDULED
    claim_some(engine, now=LATER)

    assert state_of(engine, second) is State.BLOCKED
    complete(engine, claim, now=LATER)
    assert state_of(engine, second) is State.READY


def test_delayed_jobs_of_a_key_get_in_line_when_they_are_due(engine: Engine) -> None:
    ids = [enqueue_one(engine, new_job(key="k", run_at=NOW + n)) for n in (2, 1, 3)]
    assert states(engine, ids) == ["scheduled"] * 3

    (claim,) = claim_some(engine, now=LATER)

    assert claim.job_id == ids[1]
    assert states(engine, ids) == ["blocked", "running", "blocked"]


def test_more_jobs_than_one_promotion_moves_keep_to_the_limit_of_their_key(engine: Engine) -> None:
    engine.enqueue([new_job(key="k", key_max=3, run_at=NOW + 1)] * 700, now=NOW)

    assert len(claim_some(engine, limit=100, now=LATER)) == 3
    assert claim_some(engine, limit=100, now=LATER) == []


def test_a_requeued_job_gets_in_line(engine: Engine) -> None:
    first, second = enqueue_some(engine, 2)
    complete(engine, claim_one(engine))
    claim_one(engine)

    assert engine.requeue([first], now=NOW) == [first]

    assert states(engine, [first, second]) == ["blocked", "running"]


def test_children_of_one_key_take_turns_when_their_parent_completes(engine: Engine) -> None:
    parent = enqueue_one(engine, new_job(task="parent"))
    children = [enqueue_one(engine, new_job(key="k", parents=(parent,))) for _ in range(3)]
    assert states(engine, children) == ["waiting"] * 3

    complete(engine, claim_some(engine, tasks=("parent",))[0])

    assert states(engine, children) == ["ready", "blocked", "blocked"]


def test_a_child_whose_parents_have_completed_already_gets_in_line_at_once(engine: Engine) -> None:
    parent = enqueue_one(engine, new_job(task="parent"))
    complete(engine, claim_some(engine, tasks=("parent",))[0])
    enqueue_one(engine, new_job(key="k"))

    assert state_of(engine, enqueue_one(engine, new_job(key="k", parents=(parent,)))) is State.BLOCKED


def test_a_blocked_holder_of_a_unique_key_can_be_replaced(engine: Engine) -> None:
    enqueue_one(engine, new_job(key="k"))
    unique = Unique(key="u", on_conflict="replace")
    holder = enqueue_one(engine, new_job(key="k", unique=unique))

    (answer,) = engine.enqueue([new_job(key="k", unique=unique, priority=3)], now=NOW)

    assert (answer.job_id, answer.answer) == (holder, "replaced")
    assert state_of(engine, holder) is State.READY


def test_a_job_is_let_in_by_its_own_number_whatever_those_before_it_said(engine: Engine) -> None:
    wide = [enqueue_one(engine, new_job(key="k", key_max=3)) for _ in range(2)]
    narrow = enqueue_one(engine, new_job(key="k", key_max=1))
    behind = enqueue_one(engine, new_job(key="k", key_max=3))
    first, second = claim_some(engine)
    assert states(engine, [*wide, narrow, behind]) == ["running", "running", "blocked", "blocked"]

    complete(engine, first)
    assert states(engine, [narrow, behind]) == ["blocked", "blocked"], "nobody passes who is next"
    complete(engine, second)

    assert states(engine, [narrow, behind]) == ["ready", "blocked"]


def test_those_let_in_together_are_held_to_the_smallest_of_their_numbers(engine: Engine) -> None:
    enqueue_one(engine, new_job(key="k"))
    claim = claim_one(engine)
    ids = [enqueue_one(engine, new_job(key="k", key_max=most)) for most in (3, 1, 3)]

    complete(engine, claim)

    assert states(engine, ids) == ["ready", "blocked", "blocked"]


def test_a_job_with_a_larger_number_takes_the_turn_of_one_with_a_smaller_that_it_comes_before(engine: Engine) -> None:
    narrow = enqueue_one(engine, new_job(key="k", key_max=1))
    wide = enqueue_one(engine, new_job(key="k", key_max=3, priority=1))

    assert states(engine, [narrow, wide]) == ["blocked", "ready"]


def test_who_is_next_is_sought_past_jobs_of_paused_queues(engine: Engine) -> None:
    first = enqueue_one(engine, new_job(key="k"))
    stopped = enqueue_one(engine, new_job(key="k", queue="stopped"))
    last = enqueue_one(engine, new_job(key="k"))
    claim = claim_one(engine)
    engine.pause_queue("stopped", reason=None, now=NOW)

    complete(engine, claim)

    assert states(engine, [first, stopped, last]) == ["completed", "blocked", "ready"]


def test_a_batch_of_outcomes_lets_in_as_many_as_have_left(engine: Engine) -> None:
    ids = enqueue_some(engine, 10, key_max=4)

    claims = claim_some(engine)
    engine.complete_many(
        [Completion(claim=claim, report=told(Outcome.COMPLETED), result=None) for claim in claims[:3]], now=NOW
    )

    assert states(engine, ids) == ["completed"] * 3 + ["running"] + ["ready"] * 3 + ["blocked"] * 3


def test_how_a_key_stands_can_be_asked(engine: Engine) -> None:
    ids = enqueue_some(engine, 6, key_max=3)
    claim_some(engine, limit=2)

    turn = engine.turn_of("k")

    assert (turn.running, turn.ready, turn.blocked) == (2, 1, 3)
    assert sorted(turn.holders) == ids[:3]
    assert engine.turn_of("unknown").running == 0


def test_those_behind_a_blocked_job_that_is_deleted_come_up(engine: Engine) -> None:
    enqueue_some(engine, 1, key_max=2)
    alone = enqueue_one(engine, new_job(key="k", key_max=1))
    (behind,) = enqueue_some(engine, 1, key_max=2)
    assert states(engine, [alone, behind]) == ["blocked", "blocked"]

    engine.delete([alone], now=NOW)

    assert state_of(engine, behind) is State.READY
