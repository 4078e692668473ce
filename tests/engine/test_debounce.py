"""Debounced jobs: calls with one key become one job, which waits until they have ceased, and runs with the newest."""

from typing import Any

import msgspec
import pytest

from liteq.errors import UniqueKeyTaken
from liteq.model.job import Debounce, Enqueued, NewJob, OnConflict, Unique
from liteq.model.transitions import State
from liteq.store.engine import Engine
from tests.engine.conftest import ForceState
from tests.engine.steps import NOW, claim_one, claim_some, complete, enqueue_one, new_job, record, snooze, state_of

WAIT = 2_000


def call(
    engine: Engine, args: bytes, *, now: int, max_wait: int | None = 30_000, on_conflict: OnConflict = "return"
) -> Enqueued:
    return engine.enqueue([debounced(args, now=now, max_wait=max_wait, on_conflict=on_conflict)], now=now)[0]


def debounced(args: bytes, *, now: int, max_wait: int | None = 30_000, on_conflict: OnConflict = "return") -> NewJob:
    unique = Unique(key="k", scope="started", debounce=Debounce(max_wait_ms=max_wait), on_conflict=on_conflict)
    return new_job(args=args, run_at=now + WAIT, unique=unique)


def test_each_call_puts_the_job_off_and_leaves_it_the_newest_arguments(engine: Engine) -> None:
    first = call(engine, b"[1]", now=NOW)
    second = call(engine, b"[22]", now=NOW + 500)

    assert (first.answer, second) == ("new", Enqueued(first.job_id, "debounced"))
    job = record(engine, first.job_id)
    assert (job.state, job.run_at, job.args) == (State.SCHEDULED, NOW + 500 + WAIT, b"[22]")
    claim = claim_one(engine, now=NOW + 500 + WAIT)
    assert (claim.args, claim.args_crc) == (b"[22]", 4)
    assert engine.lane_counts()[0].jobs == 1


def test_the_job_is_put_off_no_later_than_max_wait_after_the_first_call(engine: Engine) -> None:
    job_id = call(engine, b"[0]", now=NOW, max_wait=3_000).job_id

    for later in (1_500, 2_500, 2_999):
        call(engine, b"[1]", now=NOW + later, max_wait=3_000)
        assert record(engine, job_id).run_at == NOW + 3_000
    call(engine, b"[2]", now=NOW + 5_000, max_wait=3_000)

    job = record(engine, job_id)
    assert (job.state, job.run_at, job.args) == (State.READY, NOW + 3_000, b"[2]")


def test_without_max_wait_calls_put_it_off_for_ever(engine: Engine) -> None:
    job_id = call(engine, b"[0]", now=NOW, max_wait=None).job_id
    for step in range(1, 50):
        call(engine, b"[1]", now=NOW + step * 1_000, max_wait=None)

    assert record(engine, job_id).run_at == NOW + 49_000 + WAIT


def test_a_due_job_that_nobody_has_claimed_is_put_off_too(engine: Engine) -> None:
    job_id = call(engine, b"[0]", now=NOW).job_id
    claim_some(engine, tasks=("another",), now=NOW + WAIT)
    assert record(engine, job_id).state is State.READY

    assert call(engine, b"[1]", now=NOW + WAIT).answer == "debounced"

    assert record(engine, job_id).state is State.SCHEDULED
    assert claim_some(engine, now=NOW + WAIT) == []


def test_once_it_has_started_a_call_makes_a_new_job(engine: Engine) -> None:
    first = call(engine, b"[0]", now=NOW)
    claim = claim_one(engine, now=NOW + WAIT)

    second = call(engine, b"[1]", now=NOW + WAIT)
    third = call(engine, b"[2]", now=NOW + WAIT + 1)

    assert (second.answer, third.answer) == ("new", "debounced")
    assert first.job_id != second.job_id == third.job_id
    assert record(engine, first.job_id).args == b"[0]"
    snooze(engine, claim, run_at=NOW + 9_000, now=NOW + WAIT)
    assert call(engine, b"[3]", now=NOW + WAIT + 2).job_id == second.job_id


@pytest.mark.parametrize("on_conflict", ["raise", "replace"])
def test_a_running_holder_of_another_kind_is_a_conflict_like_any(engine: Engine, on_conflict: OnConflict) -> None:
    job_id = enqueue_one(engine, new_job(unique=Unique(key="k", scope="finished")))
    assert call(engine, b"[1]", now=NOW).answer == "debounced"
    claim = claim_one(engine, now=NOW + WAIT)

    assert call(engine, b"[2]", now=NOW + WAIT) == Enqueued(job_id, "returned")
    with pytest.raises(UniqueKeyTaken):
        call(engine, b"[2]", now=NOW + WAIT, on_conflict=on_conflict)

    complete(engine, claim)
    assert record(engine, job_id).args == b"[1]"


def test_a_job_that_waits_for_others_stays_so_and_takes_the_newest_arguments(
    engine: Engine, force_state: ForceState
) -> None:
    job_id = call(engine, b"[0]", now=NOW).job_id
    force_state(job_id, State.WAITING)

    assert call(engine, b"[1]", now=NOW + 1).answer == "debounced"

    job = record(engine, job_id)
    assert (job.state, job.args, job.run_at) == (State.WAITING, b"[1]", NOW + 1 + WAIT)


def test_a_debounced_job_that_was_next_of_its_key_gives_its_turn_away(engine: Engine) -> None:
    keyed = {"concurrency_key": "customer"}
    first = engine.enqueue([msgspec.structs.replace(debounced(b"[0]", now=NOW), **keyed)], now=NOW)[0].job_id
    claim_some(engine, tasks=("another",), now=NOW + WAIT)
    behind = enqueue_one(engine, msgspec.structs.replace(new_job(run_at=NOW + WAIT), **keyed), now=NOW + WAIT + 1)
    assert (record(engine, first).state, record(engine, behind).state) == (State.READY, State.BLOCKED)

    again = msgspec.structs.replace(debounced(b"[1]", now=NOW + WAIT), **keyed)
    engine.enqueue([again], now=NOW + WAIT)

    assert (record(engine, first).state, record(engine, behind).state) == (State.SCHEDULED, State.READY)


def test_calls_in_one_commit_are_debounced_in_their_order(engine: Engine) -> None:
    jobs = [debounced(f"[{n}]".encode(), now=NOW) for n in range(5)]
    other = msgspec.structs.replace(jobs[0], unique=Unique(key="other", scope="started", debounce=Debounce()))

    answers = engine.enqueue([*jobs, other], now=NOW)

    assert [one.answer for one in answers] == ["new", *["debounced"] * 4, "new"]
    assert record(engine, answers[0].job_id).args == b"[4]"


def test_a_full_queue_does_not_keep_a_held_job_from_being_put_off(engine: Engine) -> None:
    engine.limit_pending("default", 1)
    call(engine, b"[0]", now=NOW)

    assert call(engine, b"[1]", now=NOW).answer == "debounced"


@pytest.mark.parametrize("how", [{"debounce": Debounce()}, {"on_conflict": "replace"}])
def test_the_concurrency_key_comes_with_the_arguments_it_belongs_to(engine: Engine, how: dict[str, Any]) -> None:
    unique = Unique(key="report", **how)
    other = enqueue_one(engine, new_job(key="customer:2"))
    holder = enqueue_one(engine, new_job(key="customer:1", unique=unique))
    behind = enqueue_one(engine, new_job(key="customer:1"))

    assert enqueue_one(engine, new_job(key="customer:2", unique=unique)) == holder

    claims = claim_some(engine)
    assert [claim.job_id for claim in claims] == [other, behind]
    assert state_of(engine, holder) is State.BLOCKED
    complete(engine, claims[0])
    assert [claim.job_id for claim in claim_some(engine)] == [holder]


def test_a_job_loses_its_concurrency_key_to_a_newcomer_without_one(engine: Engine) -> None:
    unique = Unique(key="report", debounce=Debounce())
    first = enqueue_one(engine, new_job(key="customer:1"))
    holder = enqueue_one(engine, new_job(key="customer:1", unique=unique))

    enqueue_one(engine, new_job(unique=unique))

    assert [claim.job_id for claim in claim_some(engine)] == [first, holder]


def test_a_ready_job_goes_back_in_line_where_the_newcomer_allows_fewer_at_once(engine: Engine) -> None:
    unique = Unique(key="report", debounce=Debounce())
    enqueue_one(engine, new_job(key="k", key_max=2))
    holder = enqueue_one(engine, new_job(key="k", key_max=2, unique=unique))
    assert state_of(engine, holder) is State.READY

    enqueue_one(engine, new_job(key="k", key_max=1, unique=unique))

    assert state_of(engine, holder) is State.BLOCKED


@pytest.mark.parametrize("how", [{"debounce": Debounce()}, {"on_conflict": "replace"}])
def test_arguments_do_not_run_before_what_they_are_to_wait_for(engine: Engine, how: dict[str, Any]) -> None:
    unique = Unique(key="report", **how)
    holder = enqueue_one(engine, new_job(unique=unique))
    parent = enqueue_one(engine, new_job(task="slow"))
    follows = new_job(unique=unique, parents=(parent,), args=b"[1]")

    with pytest.raises(UniqueKeyTaken, match=f"does not wait for job {parent}"):
        enqueue_one(engine, follows)

    assert record(engine, holder).args == b"[]"
    engine.cancel([parent], reason="not needed", now=NOW)
    assert enqueue_one(engine, follows) == holder


def test_a_call_that_waits_for_the_same_as_the_job_it_puts_off_is_taken_in(engine: Engine) -> None:
    parent = enqueue_one(engine)
    follows = new_job(unique=Unique(key="report", debounce=Debounce()), parents=(parent,))
    holder = enqueue_one(engine, follows)

    assert enqueue_one(engine, msgspec.structs.replace(follows, args=b"[1]")) == holder
    assert record(engine, holder).args == b"[1]"


def test_a_job_of_another_task_never_takes_the_newcomers_arguments(engine: Engine) -> None:
    job_id = call(engine, b"[0]", now=NOW).job_id
    stranger = msgspec.structs.replace(debounced(b"[1]", now=NOW), task="another")
    replacing = msgspec.structs.replace(stranger, unique=Unique(key="k", on_conflict="replace"))

    assert engine.enqueue([stranger], now=NOW) == [Enqueued(job_id, "returned")]
    with pytest.raises(UniqueKeyTaken):
        engine.enqueue([replacing], now=NOW)

    assert record(engine, job_id).args == b"[0]"
