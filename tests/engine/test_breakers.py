"""Breakers: what one engine's reports lead to, every engine on the file sees in its claims."""

from contextlib import suppress
from threading import Barrier, Thread

import pytest

from liteq.model.guard import BreakerRule, Guard
from liteq.model.job import Claim
from liteq.model.rate import Rate
from liteq.model.transitions import State
from liteq.store.engine import Engine
from tests.engine.conftest import OpenEngine
from tests.engine.steps import (
    NOW,
    bury,
    claim_one,
    claim_some,
    complete,
    die,
    enqueue_one,
    fail,
    guard,
    new_job,
    record,
    register,
    retry,
    snooze,
)

OPEN_MS = 30_000
RULE = BreakerRule(failure_rate=0.5, window_ms=60_000, min_calls=4, open_ms=OPEN_MS)


def guarded(engine: Engine, rule: BreakerRule = RULE) -> None:
    engine.put_guards({"task": Guard(breaker=rule)})


def succeed(engine: Engine, times: int, *, now: int = NOW) -> None:
    for _ in range(times):
        enqueue_one(engine, new_job(run_at=now), now=now)
        complete(engine, claim_one(engine, now=now), now=now)


def opened(engine: Engine) -> int:
    """Open the breaker at NOW; give when a trial may begin."""
    guarded(engine)
    fail(engine, 4)
    assert guard(engine).state(NOW) == "open"
    return NOW + OPEN_MS


def test_too_many_failures_open_the_breaker_and_its_jobs_stay_ready(engine: Engine) -> None:
    guarded(engine)
    fail(engine, 3)
    assert guard(engine).state(NOW) == "closed"
    fail(engine, 1)

    job_id = enqueue_one(engine)
    enqueue_one(engine, new_job(task="other"))
    claims = claim_some(engine, tasks=("task", "other"))

    assert [claim.task for claim in claims] == ["other"]
    job = record(engine, job_id)
    assert (job.state, job.attempt, job.failures) == (State.READY, 0, 0)
    assert (guard(engine).opened_at, guard(engine).open_until, guard(engine).openings) == (NOW, NOW + OPEN_MS, 1)


def test_few_failures_among_many_calls_leave_it_closed(engine: Engine) -> None:
    guarded(engine)
    succeed(engine, 5)
    fail(engine, 4)
    assert guard(engine).state(NOW) == "closed"

    fail(engine, 1)

    assert guard(engine).state(NOW) == "open"


def test_retries_count_as_failures_and_snoozes_do_not(engine: Engine) -> None:
    guarded(engine)
    for verb in (snooze, snooze, snooze, snooze, retry, retry, retry):
        enqueue_one(engine)
        verb(engine, claim_one(engine), run_at=NOW + 10**9)
    assert guard(engine).state(NOW) == "closed"

    enqueue_one(engine)
    retry(engine, claim_one(engine), run_at=NOW + 10**9)

    assert guard(engine).state(NOW) == "open"


def test_failures_that_lie_further_back_than_the_window_are_forgotten(engine: Engine) -> None:
    guarded(engine)
    fail(engine, 3)
    fail(engine, 3, now=NOW + RULE.window_ms + RULE.slice_ms)
    assert guard(engine).state(NOW) == "closed"

    fail(engine, 1, now=NOW + RULE.window_ms + RULE.slice_ms)

    assert guard(engine).opened_at is not None


def test_when_its_time_is_over_exactly_one_job_is_claimed_on_trial(engine: Engine, open_engine: OpenEngine) -> None:
    half_open = opened(engine)
    rival = open_engine()
    for queue in ("one", "one", "two", "two"):
        enqueue_one(engine, new_job(queue=queue))

    assert claim_some(engine, now=half_open - 1) == []
    assert engine.next_due(now=half_open - 1) == half_open
    assert guard(engine).state(half_open) == "half-open"
    claims = [claim for one in (engine, rival, engine) for claim in claim_some(one, now=half_open)]

    assert len(claims) == 1
    assert guard(engine).trial == claims[0].job_id
    assert engine.next_due(now=half_open) is None


def test_workers_of_different_queues_that_look_at_once_share_one_trial(engine: Engine, open_engine: OpenEngine) -> None:
    half_open = opened(engine)
    engines = [open_engine() for _ in range(4)]
    engine.enqueue([new_job(queue=f"queue{n}") for n in range(4)] * 2, now=NOW)

    for _ in range(15):
        together, taken = Barrier(4), list[Claim]()

        def claim(place: int, together: Barrier = together, taken: list[Claim] = taken) -> None:
            together.wait()
            taken += claim_some(engines[place], queues=(f"queue{place}",), now=half_open)

        threads = [Thread(target=claim, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 1
        engine.release(taken, reason="once more", now=half_open)


def test_a_trial_that_succeeds_closes_the_breaker(engine: Engine, open_engine: OpenEngine) -> None:
    half_open = opened(engine)
    engine.enqueue([new_job()] * 5, now=NOW)

    complete(engine, claim_one(engine, now=half_open), now=half_open)

    assert guard(engine).state(half_open) == "closed"
    assert len(claim_some(open_engine(), now=half_open)) == 4
    fail(engine, 3, now=half_open)
    assert guard(engine).state(half_open) == "closed"


def test_a_trial_that_fails_opens_it_for_as_long_again(engine: Engine) -> None:
    half_open = opened(engine)
    engine.enqueue([new_job()] * 5, now=NOW)

    retry(engine, claim_one(engine, now=half_open), run_at=half_open, now=half_open)

    assert claim_some(engine, now=half_open + OPEN_MS - 1) == []
    assert (guard(engine).opened_at, guard(engine).openings) == (NOW, 2)
    assert len(claim_some(engine, now=half_open + OPEN_MS)) == 1


@pytest.mark.parametrize("started", [True, False])
def test_a_trial_whose_worker_dies_makes_room_for_another(engine: Engine, started: bool) -> None:
    half_open = opened(engine)
    engine.enqueue([new_job()] * 5, now=NOW)
    worker = register(engine)
    claim = claim_one(engine, worker_id=worker.worker_id, now=half_open)
    if started:
        worker.start(0, claim.job_id, claim.attempt, half_open)
    die(worker)
    assert claim_some(engine, now=half_open) == []

    engine.expire(now=half_open)

    # A crash is a failure of the trial; a job that had not begun tells nothing.
    again = half_open + OPEN_MS if started else half_open
    assert claim_some(engine, now=again - 1) == []
    assert len(claim_some(engine, now=again)) == 1


@pytest.mark.parametrize("way", ["release", "snooze", "cancel"])
def test_a_trial_that_tells_nothing_makes_room_for_another(engine: Engine, way: str) -> None:
    half_open = opened(engine)
    engine.enqueue([new_job()] * 5, now=NOW)
    claim = claim_one(engine, now=half_open)
    if way == "release":
        engine.release([claim], reason="shutdown", now=half_open)
    elif way == "snooze":
        snooze(engine, claim, run_at=half_open + 10**6, now=half_open)
    else:
        engine.cancel([claim.job_id], reason="unwanted", now=half_open)
        engine.release([claim], reason="stopped", now=half_open)

    assert len(claim_some(engine, now=half_open)) == 1
    assert guard(engine).state(half_open) == "half-open"


def test_reports_of_what_was_claimed_before_it_opened_change_nothing(engine: Engine) -> None:
    guarded(engine)
    engine.enqueue([new_job()] * 8, now=NOW)
    claims = claim_some(engine, limit=8)
    for claim in claims[:4]:
        bury(engine, claim)
    until = guard(engine).open_until

    bury(engine, claims[4], now=NOW + 10)
    complete(engine, claims[5], now=NOW + 10)

    assert (guard(engine).open_until, guard(engine).openings) == (until, 1)
    half_open = NOW + OPEN_MS
    enqueue_one(engine)
    assert len(claim_some(engine, now=half_open)) == 1
    complete(engine, claims[6], now=half_open)
    assert guard(engine).state(half_open) == "half-open"


def test_a_breaker_that_was_opened_by_a_clock_since_set_back_does_not_stay_open_for_that(engine: Engine) -> None:
    opened(engine)
    enqueue_one(engine)

    assert len(claim_some(engine, now=NOW - 3_600_000)) == 1


def test_a_person_can_close_it(engine: Engine) -> None:
    opened(engine)
    enqueue_one(engine)

    assert engine.reset_breaker("task")
    assert not engine.reset_breaker("task")
    assert not engine.reset_breaker("unknown")

    assert len(claim_some(engine)) == 1
    assert guard(engine).state(NOW) == "closed"


def test_reset_forgets_what_was_counted(engine: Engine) -> None:
    guarded(engine)
    fail(engine, 3)
    engine.reset_breaker("task")
    fail(engine, 3)

    assert guard(engine).state(NOW) == "closed"


def test_guards_declared_again_keep_their_state_and_those_no_longer_declared_go(engine: Engine) -> None:
    opened(engine)
    engine.put_guards({"task": Guard(breaker=RULE), "other": None})
    assert guard(engine).openings == 1
    slower = BreakerRule(failure_rate=0.5, window_ms=60_000, min_calls=4, open_ms=OPEN_MS + 1)
    engine.put_guards({"task": Guard(breaker=slower)})
    assert (guard(engine).breaker, guard(engine).state(NOW)) == (slower, "open")
    engine.put_guards({"another": None})
    assert len(engine.guards()) == 1

    engine.put_guards({"task": None})

    assert engine.guards() == []
    enqueue_one(engine)
    assert len(claim_some(engine)) == 1


def test_a_task_keeps_its_budget_without_its_breaker(engine: Engine) -> None:
    opened(engine)

    engine.put_guards({"task": Guard(budget=Rate(count=1, per_ms=1_000))})

    assert guard(engine).state(NOW) == "closed"
    enqueue_one(engine)
    assert len(claim_some(engine)) == 1


def test_what_a_rolled_back_report_led_to_is_rolled_back(engine: Engine) -> None:
    guarded(engine)
    fail(engine, 3)
    enqueue_one(engine)
    claim = claim_one(engine)

    with suppress(KeyError), engine.transaction():
        bury(engine, claim)
        raise KeyError

    assert guard(engine).state(NOW) == "closed"
    complete(engine, claim)


def test_work_is_left_for_a_burst_that_a_breaker_keeps_for_a_while(engine: Engine) -> None:
    half_open = opened(engine)
    enqueue_one(engine)

    def left(until: int) -> bool:
        return engine.work_left(worker_id=1, queues=None, tasks=("task",), until=until, now=NOW)

    assert not left(half_open - 1)
    assert left(half_open)
