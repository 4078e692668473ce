"""Named locks: one holder, tokens that never fall, a line in order, and the locks of the dead."""

import pytest

from liteq.model.job import Claim
from liteq.model.lock import LockWish
from liteq.store.engine import Engine
from tests.engine.conftest import OpenEngine
from tests.engine.steps import NOW, claim_one, die, enqueue_one, register

TURN = 500
"""For so long a free lock is kept for whoever is first in line."""


def wish(name: str = "nightly", *, what: str = "a test", claim: Claim | None = None) -> LockWish:
    if claim is None:
        return LockWish(name=name, what=what)
    return LockWish(name=name, what=what, job_id=claim.job_id, attempt=claim.attempt)


def take(engine: Engine, name: str = "nightly", *, place: int | None = None, now: int = NOW) -> int | None:
    return engine.take_lock(wish(name), place=place, now=now).token


def free(engine: Engine, token: int | None, name: str = "nightly", *, now: int = NOW) -> bool:
    assert token is not None
    return engine.release_lock(name, token=token, now=now)


def test_a_lock_has_one_holder_and_each_taking_the_next_token(engine: Engine, open_engine: OpenEngine) -> None:
    other = open_engine()

    first = take(engine)
    assert (first, take(engine), take(other)) == (1, None, None)

    assert free(engine, first)
    assert (take(other), take(engine)) == (2, None)


def test_names_do_not_touch_each_other(engine: Engine) -> None:
    assert [take(engine, name) for name in ("a", "A", "a ", "a'; DROP TABLE liteq_lock;--", "ä", "a" * 255)] == [1] * 6
    assert take(engine, "a") is None


def test_the_token_survives_release_and_a_new_opening(engine: Engine, open_engine: OpenEngine) -> None:
    for expected in range(1, 6):
        token = take(engine)
        assert token == expected
        free(engine, token)
    engine.close()

    assert take(open_engine()) == 6


def test_a_late_release_frees_nobody_elses_lock(engine: Engine, open_engine: OpenEngine) -> None:
    late = take(engine)
    assert engine.break_lock("nightly", now=NOW)
    other = open_engine()
    fresh = take(other)

    assert not free(engine, late)

    assert fresh is not None
    assert other.holds_lock("nightly", token=fresh)
    assert take(engine) is None


def test_a_lock_that_was_broken_is_lost_to_its_holder(engine: Engine, open_engine: OpenEngine) -> None:
    token = take(engine)
    assert token is not None
    assert engine.holds_lock("nightly", token=token)

    assert open_engine().break_lock("nightly", now=NOW)

    assert not engine.holds_lock("nightly", token=token)
    assert not engine.break_lock("nightly", now=NOW)
    assert not engine.break_lock("never taken", now=NOW)


def test_only_the_holder_holds_it(engine: Engine, open_engine: OpenEngine) -> None:
    token = take(engine)
    assert token is not None

    assert not open_engine().holds_lock("nightly", token=token)
    assert not engine.holds_lock("nightly", token=token + 1)
    assert not engine.holds_lock("daily", token=token)


def test_those_who_wait_have_their_turns_in_the_order_in_which_they_joined(
    engine: Engine, open_engine: OpenEngine
) -> None:
    other = open_engine()
    held = take(engine)
    early, late = other.join_line(wish(), now=NOW), engine.join_line(wish(), now=NOW)
    assert engine.take_lock(wish(), place=late, now=NOW).ahead == 1
    assert other.take_lock(wish(), place=early, now=NOW).ahead == 0

    free(engine, held)

    assert take(engine) is None, "who has just come waits behind all others"
    assert take(engine, place=late) is None
    second = take(other, place=early)
    assert second == 2
    free(other, second)
    assert take(engine, place=late) == 3


def test_a_turn_that_is_not_taken_passes_on_and_is_not_lost(engine: Engine) -> None:
    held = take(engine)
    stopped, second, third = (engine.join_line(wish(), now=NOW) for _ in range(3))
    free(engine, held)

    assert take(engine, place=second, now=NOW + TURN - 1) is None
    assert take(engine, place=third, now=NOW + 2 * TURN - 1) is None
    quick = take(engine, place=second, now=NOW + TURN)
    assert quick == 2
    free(engine, quick, now=NOW + TURN)
    assert take(engine, place=third, now=NOW + TURN) is None
    assert take(engine, place=stopped, now=NOW + TURN) == 3


def test_a_clock_that_was_set_back_keeps_nobody_from_a_free_lock(engine: Engine) -> None:
    held = take(engine)
    engine.join_line(wish(), now=NOW)
    free(engine, held)

    assert take(engine, now=NOW - 3_600_000) == 2


def test_a_look_that_read_the_clock_before_the_release_overtakes_nobody(engine: Engine) -> None:
    held = take(engine)
    first = engine.join_line(wish(), now=NOW)
    free(engine, held)

    assert take(engine, now=NOW - 1) is None
    assert take(engine, place=first, now=NOW - 1) == 2


def test_who_leaves_the_line_is_waited_for_no_more(engine: Engine) -> None:
    held = take(engine)
    place = engine.join_line(wish(), now=NOW)
    free(engine, held)
    assert take(engine) is None

    engine.leave_line(place)

    assert take(engine) == 2


def test_closing_an_engine_is_death_to_its_locks_and_places(engine: Engine, open_engine: OpenEngine) -> None:
    other, third = open_engine(), open_engine()
    take(other)
    third.join_line(wish(), now=NOW)
    place = engine.join_line(wish(), now=NOW)
    assert take(engine, place=place) is None

    other.close()
    assert take(engine, place=place) is None, "somebody living is first in line"
    third.close()

    assert take(engine, place=place) == 2


def test_all_locks_of_the_dead_come_free_however_many(engine: Engine, open_engine: OpenEngine) -> None:
    other = open_engine()
    with other.transaction():
        for n in range(1_200):
            take(other, f"lock {n}")
    assert len(engine.list_locks(limit=2_000)) == 1_200
    other.close()

    assert take(engine, "lock 7") == 2

    assert [one.name for one in engine.list_locks(limit=2_000)] == ["lock 7"]


def test_engines_of_one_process_are_strangers_to_each_other(engine: Engine, open_engine: OpenEngine) -> None:
    mine, theirs = take(engine, "a"), take(open_engine(), "b")

    assert (mine, theirs) == (1, 1)
    assert (take(engine, "b"), take(open_engine(), "a")) == (None, None)


def test_locks_tell_who_holds_them_and_how_many_wait(engine: Engine, open_engine: OpenEngine) -> None:
    enqueue_one(engine)
    claim = claim_one(engine)
    engine.take_lock(wish("b", what="the night's work", claim=claim), now=NOW + 5)
    take(engine, "a")
    engine.join_line(wish("b"), now=NOW)

    looker = open_engine()
    a, b = looker.list_locks(limit=10)
    assert (a.name, a.token, a.waiting, a.job_id) == ("a", 1, 0, None)
    assert (b.name, b.what, b.taken_at, b.waiting, b.alive, b.here) == ("b", "the night's work", NOW + 5, 1, True, True)
    assert (b.job_id, b.attempt) == (claim.job_id, claim.attempt)
    assert looker.list_locks(limit=1) == [a]
    assert looker.list_locks(limit=1, after="a") == [b] == [looker.get_lock("b")]
    assert looker.get_lock("c") is None
    engine.close()
    assert [one.alive for one in looker.list_locks(limit=10)] == [False, False]


def test_an_attempts_locks_are_released_together_and_nobody_elses(engine: Engine) -> None:
    enqueue_one(engine)
    claim = claim_one(engine)
    for name in ("a", "b"):
        engine.take_lock(wish(name, claim=claim), now=NOW)
    take(engine, "c")

    assert engine.release_locks_of(job_id=claim.job_id, attempt=claim.attempt + 1, now=NOW) == []
    assert engine.release_locks_of(job_id=claim.job_id, attempt=claim.attempt, now=NOW) == ["a", "b"]
    assert engine.release_locks_of(job_id=claim.job_id, attempt=claim.attempt, now=NOW) == []
    assert [one.name for one in engine.list_locks(limit=10)] == ["c"]


def test_a_job_that_is_taken_from_its_worker_loses_its_locks(engine: Engine) -> None:
    worker = register(engine)
    enqueue_one(engine)
    claim = claim_one(engine, worker_id=worker.worker_id)
    token = engine.take_lock(wish(claim=claim), now=NOW).token
    assert token is not None
    die(worker)

    engine.expire(now=NOW)

    assert not engine.holds_lock("nightly", token=token)
    assert take(engine) == 2


def test_a_taking_that_is_rolled_back_never_was(engine: Engine, open_engine: OpenEngine) -> None:
    def fail() -> None:
        with engine.transaction():
            assert take(engine) == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert engine.list_locks(limit=10) == []
    assert take(open_engine()) == 1
    assert take(engine) is None
    assert take(engine, "another") == 1


def test_ten_thousand_names_cost_a_taking_nothing_more(engine: Engine) -> None:
    with engine.transaction():
        for n in range(10_000):
            take(engine, f"lock {n}")

    assert take(engine, "lock 5000") is None
    assert take(engine, "one more") == 1
    assert len(engine.list_locks(limit=20_000)) == 10_001
