"""Limits as applications write them."""

import threading
import time
from typing import Any

import pytest

from liteq import InvalidName, InvalidOption, JobContext, Liteq, Rate, State, every
from liteq.model.limits import Limit
from liteq.ops.reasons import why_waiting
from tests.face.conftest import HandClock


def declare(app: Liteq, **settings: Any) -> Any:
    @app.task(name="note", **settings)
    def note(n: int = 0) -> int:
        return n

    return note


def why(app: Liteq, job_id: int) -> str | None:
    return why_waiting(app.engine, app.get_job(job_id).record, now=app.clock.now_ms())


def test_jobs_with_a_key_carry_its_numbers(app: Liteq) -> None:
    note = declare(app)

    job = note.using(concurrency_key="customer:7", max_running_per_key=3, rate_per_key="10/minute").enqueue()

    record = app.get_job(job.id).record
    assert (record.concurrency_key, record.key_max_running, record.key_rate) == ("customer:7", 3, "10/minute")


def test_a_key_lets_one_job_run_at_once_unless_told_otherwise(app: Liteq) -> None:
    note = declare(app, rate_per_key=Rate(count=5, per_ms=1_000))

    first, second = (note.using(concurrency_key="k").enqueue() for _ in range(2))

    assert (first.refresh().state, second.refresh().state) == (State.READY, State.BLOCKED)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"max_running_per_key": 0}, InvalidOption),
        ({"max_running_per_key": 501}, InvalidOption),
        ({"max_running_per_key": "3"}, TypeError),
        ({"rate_per_key": "often"}, InvalidOption),
        ({"rate_per_key": 5}, TypeError),
        ({"concurrency_key": ""}, InvalidName),
        ({"concurrency_key": "x" * 2_000}, InvalidName),
        ({"concurrency_key": 7}, TypeError),
        ({"max_running": 1}, InvalidOption),
    ],
)
def test_what_cannot_be_a_limit_is_refused_before_anything_is_written(
    app: Liteq, settings: dict[str, Any], error: type[Exception]
) -> None:
    note = declare(app)

    with pytest.raises(error):
        note.using(**settings)

    assert app.count_jobs() == 0


@pytest.mark.parametrize("limit", [{"max_running": 0}, {"max_running": 1.5}, {"rate": "0/s"}, {"rate": 5}, {}])
def test_what_cannot_be_a_limit_of_a_queue_is_refused(app: Liteq, limit: dict[str, Any]) -> None:
    with pytest.raises((InvalidOption, TypeError)):
        app.limit_queue("mail", **limit)

    assert app.limits() == []


def test_an_operator_limits_a_queue_and_takes_that_back(app: Liteq) -> None:
    app.limit_queue("mail", max_running=4)
    app.limit_queue("mail", rate="100/minute")

    (held,) = app.limits()
    assert held.in_force == Limit(max_running=4, rate=Rate.parse("100/minute"))
    (queue,) = app.stats().queues
    assert (queue.name, queue.max_running, queue.rate) == ("mail", 4, "100/minute")
    assert app.unlimit_queue("mail")
    assert not app.unlimit_queue("mail")
    assert app.stats().queues == []


def test_limits_declared_beside_a_task_are_stored_when_a_worker_starts(app: Liteq) -> None:
    declare(app, max_running=2, rate="5/second")

    app.work(burst=True)

    (found,) = app.limits()
    assert (found.of, found.name, found.in_force) == ("task", "note", Limit(max_running=2, rate=Rate.parse("5/s")))
    app.limit_task("note", max_running=1)
    app.work(burst=True)
    assert app.limits()[0].in_force.max_running == 1, "the operator's stays"
    app.unlimit_task("note")
    assert app.limits()[0].in_force.max_running == 2


def test_limits_declared_beside_a_task_hold_in_a_loop_of_claims(app: Liteq) -> None:
    note = declare(app, max_running=1)
    app.enqueue_many(note.call() for _ in range(3))

    with app.claims(limit=3, wait=False) as claims:
        taken = [job.id for job in [next(claims)]]
        with pytest.raises(StopIteration):
            next(claims)

    assert len(taken) == 1


def test_no_more_run_at_once_than_a_task_declares(app: Liteq) -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    @app.task(name="busy", max_running=2)
    def busy() -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1

    app.enqueue_many(busy.call() for _ in range(20))

    result = app.work(burst=True, threads=6)

    assert (result.completed, most) == (20, 2)


def test_a_burst_runs_all_jobs_of_a_key_though_most_are_blocked_at_first(app: Liteq) -> None:
    order: list[int] = []

    @app.task(name="keyed")
    def keyed(n: int) -> None:
        order.append(n)

    app.enqueue_many(keyed.call(n).using(concurrency_key=f"k{n % 3}") for n in range(60))

    assert app.work(burst=True, threads=3).completed == 60
    assert [n for n in order if n % 3 == 0] == list(range(0, 60, 3))


def test_coroutines_of_one_key_take_turns(app: Liteq) -> None:
    at_once, most = 0, 0

    @app.task(name="soft")
    async def soft() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        at_once -= 1

    app.enqueue_many(soft.call().using(concurrency_key="k", max_running_per_key=2) for _ in range(30))

    assert app.work(burst=True).completed == 30
    assert most <= 2


def test_a_burst_waits_for_the_tokens_of_a_rate(app: Liteq) -> None:
    note = declare(app, rate="50/s")
    app.enqueue_many(note.call(n) for n in range(10))
    began = time.monotonic()

    assert app.work(burst=True).completed == 10

    assert time.monotonic() - began > 0.1


def test_a_burst_does_not_wait_for_a_token_that_comes_tomorrow(slow_app: Liteq) -> None:
    note = declare(slow_app, rate="1/day")
    slow_app.enqueue_many(note.call(n) for n in range(3))

    assert slow_app.work(burst=True).completed == 1


def test_a_job_of_a_key_may_enqueue_one_of_the_same_key(app: Liteq) -> None:
    @app.task(name="again")
    def again(ctx: JobContext, left: int) -> None:
        if left:
            app.call("again", left - 1).using(concurrency_key="k")
            app.enqueue(app.call("again", left - 1), concurrency_key="k")

    app.enqueue(app.call("again", 3), concurrency_key="k")

    assert app.work(burst=True).completed == 4


def test_why_a_job_does_not_start_is_told(slow_app: Liteq, clock: HandClock) -> None:
    note = declare(slow_app)
    jobs = [note.using(concurrency_key="customer:7", max_running_per_key=3).enqueue(n) for n in range(5)]
    claims = slow_app.claims(limit=3, wait=False)
    running = [next(claims) for _ in range(3)]

    assert why(slow_app, jobs[3].id) == "key 'customer:7' has 3 of 3 (jobs 1, 2, 3)"
    running[0].complete()
    assert why(slow_app, jobs[4].id) == "key 'customer:7' has 3 of 3 (jobs 2, 3, 4), 1 of them not started yet"
    assert why(slow_app, jobs[3].id) is None
    claims.close()


def test_why_a_queue_or_task_lets_nothing_start_is_told(slow_app: Liteq) -> None:
    note = declare(slow_app)
    slow_app.enqueue_many(note.using(queue="mail").call(n) for n in range(3))
    slow_app.limit_queue("mail", max_running=1)
    claims = slow_app.claims(limit=1, wait=False)
    job = next(claims)

    assert why(slow_app, 2) == "queue 'mail' has 1 of 1"
    job.complete()
    slow_app.unlimit_queue("mail")
    slow_app.limit_task("note", rate="2/minute")
    assert why(slow_app, 2) is None
    next(claims).complete()
    assert why(slow_app, 3) == "task 'note' has spent its 2/minute; the next may start in 30 s"
    slow_app.pause_queue("mail")
    assert why(slow_app, 3) == "queue 'mail' is paused"
    claims.close()


def test_why_a_key_waits_for_its_rate_is_told(slow_app: Liteq, clock: HandClock) -> None:
    note = declare(slow_app, rate_per_key="2/minute")
    slow_app.enqueue_many(note.using(concurrency_key="k").call(n) for n in range(2))

    slow_app.work(burst=True, max_jobs=1)

    clock.advance(10)
    assert why(slow_app, 2) == "key 'k' has spent its 2/minute; the next may start in 20 s"


def test_schedules_make_jobs_with_the_key_and_limits_of_their_call(slow_app: Liteq, clock: HandClock) -> None:
    note = declare(slow_app)
    slow_app.schedule("often", every(1), note.using(concurrency_key="k", max_running_per_key=2).call())
    clock.advance(1)

    (fired,) = slow_app.fire_due()

    assert fired.job_id is not None
    assert slow_app.get_job(fired.job_id).record.concurrency_key == "k"
