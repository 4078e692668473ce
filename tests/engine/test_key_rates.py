"""Jobs of one concurrency key start no faster than its rate, token by token."""

from liteq.model.transitions import State
from liteq.store.engine import Engine
from tests.engine.steps import (
    NOW,
    claim_one,
    claim_some,
    complete,
    die,
    enqueue_one,
    enqueue_some,
    new_job,
    register,
    retry,
    state_of,
    states,
)


def test_a_key_that_has_spent_its_rate_blocks_its_jobs_until_the_next_token(engine: Engine) -> None:
    ids = enqueue_some(engine, 3, key_rate="2/minute")
    complete(engine, claim_one(engine))

    assert states(engine, ids) == ["completed", "blocked", "blocked"]
    assert engine.next_due(now=NOW) == NOW + 30_000
    assert claim_some(engine, now=NOW + 29_999) == []
    assert [claim.job_id for claim in claim_some(engine, now=NOW + 30_000)] == ids[1:2]
    assert engine.next_due(now=NOW + 30_000) is None, "its turn is taken: a commit wakes whoever waits, not the clock"


def test_a_key_with_free_turns_starts_one_job_with_each_token(engine: Engine) -> None:
    enqueue_some(engine, 4, key_max=4, key_rate="1/s")

    counts = [len(claim_some(engine, now=NOW + n * 500)) for n in range(8)]

    assert counts == [1, 0, 1, 0, 1, 0, 1, 0]


def test_the_tokens_of_a_key_are_taken_in_the_order_of_priority(engine: Engine) -> None:
    enqueue_some(engine, 2, key_max=4, key_rate="1/s")
    claim_one(engine)
    urgent = enqueue_one(engine, new_job(key="k", key_max=4, key_rate="1/s", priority=9))

    assert [claim.job_id for claim in claim_some(engine, now=NOW + 1_000)] == [urgent]


def test_a_job_that_comes_first_takes_the_token_of_one_that_no_worker_has_taken(engine: Engine) -> None:
    (usual,) = enqueue_some(engine, 1, key_max=4, key_rate="1/s")
    urgent = enqueue_one(engine, new_job(key="k", key_max=4, key_rate="1/s", priority=9))

    assert states(engine, [usual, urgent]) == ["blocked", "ready"]
    assert [claim.job_id for claim in claim_some(engine)] == [urgent]
    assert [claim.job_id for claim in claim_some(engine, now=NOW + 1_000)] == [usual]


def test_a_burst_of_a_key_starts_at_once(engine: Engine) -> None:
    enqueue_some(engine, 9, key_max=9, key_rate="1/s burst 3")

    assert len(claim_some(engine)) == 3
    assert len(claim_some(engine, now=NOW + 1_000)) == 1


def test_jobs_given_back_unstarted_give_their_keys_tokens_back_and_others_do_not(engine: Engine) -> None:
    (job_id,) = enqueue_some(engine, 1, key_rate="1/minute")

    engine.release([claim_one(engine)], reason="made room", now=NOW, unstarted=True)
    claim = claim_one(engine)
    engine.release([claim], reason="shutdown", now=NOW)

    assert state_of(engine, job_id) is State.BLOCKED
    assert claim_some(engine) == []
    assert claim_some(engine, now=NOW + 60_000)


def test_a_job_that_crashed_its_worker_takes_another_token(engine: Engine) -> None:
    worker = register(engine)
    (job_id,) = enqueue_some(engine, 1, key_rate="1/minute")
    claim = claim_one(engine, worker_id=worker.worker_id)
    worker.start(0, job_id, claim.attempt, NOW)
    die(worker)

    engine.expire(now=NOW)

    assert claim_some(engine) == []
    assert len(claim_some(engine, now=NOW + 60_000)) == 1


def test_a_late_release_gives_no_token_back(engine: Engine) -> None:
    enqueue_some(engine, 2, key_max=2, key_rate="1/minute")
    late = claim_one(engine)
    complete(engine, late)

    assert engine.release([late], reason="shutdown", now=NOW, unstarted=True) == [late]
    enqueue_some(engine, 1, key_max=2, key_rate="1/minute")

    assert claim_some(engine) == []


def test_retries_wait_for_a_token_too(engine: Engine) -> None:
    (job_id,) = enqueue_some(engine, 1, key_rate="1/minute")
    retry(engine, claim_one(engine), run_at=NOW + 10)

    assert claim_some(engine, now=NOW + 10) == []
    assert state_of(engine, job_id) is State.BLOCKED
    assert [claim.job_id for claim in claim_some(engine, now=NOW + 60_000)] == [job_id]


def test_tokens_that_say_nothing_any_more_are_swept(engine: Engine) -> None:
    for n in range(300):
        now = NOW + n * 1_000
        enqueue_one(engine, new_job(key=f"k{n}", key_rate="10/s", run_at=now), now=now)
        complete(engine, claim_one(engine, now=now), now=now)

    assert engine.turn_of("k0").next_at is None
    assert engine.turn_of("k299").next_at is not None


def test_a_ready_job_without_a_rate_keeps_no_token_from_one_with_it(engine: Engine) -> None:
    (free,) = enqueue_some(engine, 1, key_max=3)
    (paced,) = enqueue_some(engine, 1, key_max=3, key_rate="1/s")

    assert {claim.job_id for claim in claim_some(engine)} == {free, paced}


def test_one_that_comes_first_takes_no_turn_for_which_it_has_no_token(engine: Engine) -> None:
    enqueue_some(engine, 1, key_rate="1/s")
    complete(engine, claim_one(engine))
    (free,) = enqueue_some(engine, 1)
    (paced,) = enqueue_some(engine, 1, key_rate="1/s", priority=1)

    assert states(engine, [free, paced]) == ["ready", "blocked"]
    assert engine.next_due(now=NOW) == NOW + 1_000
    claim_some(engine, tasks=("nothing",), now=NOW + 1_000)

    assert states(engine, [free, paced]) == ["blocked", "ready"]
