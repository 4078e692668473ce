"""Breakers and retry budgets: declared with a task, seen and reset by an operator."""

import logging
import threading
from datetime import timedelta
from typing import Any

import pytest

from liteq import Breaker, InvalidOption, Liteq, Payload, Retry, State
from liteq.clock import to_datetime
from tests.face.conftest import HandClock, work


def test_a_breaker_opens_keeps_jobs_ready_and_closes_after_a_trial(
    slow_app: Liteq, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    healthy = False
    ran: list[int] = []
    caplog.set_level(logging.INFO, "liteq.worker")

    @slow_app.task(
        name="send",
        retry=Retry.never(),
        breaker=Breaker(failure_rate=0.5, window=60, min_calls=4, open_for=timedelta(seconds=30)),
    )
    def send(n: int) -> None:
        ran.append(n)
        if not healthy:
            raise OSError("down")

    for n in range(4):
        send.enqueue(n)
    work(slow_app)
    (guard,) = slow_app.guards()
    assert guard.state(clock.ms) == "open"
    held = [send.enqueue(n) for n in range(4, 8)]
    assert takes_nothing(slow_app)

    clock.advance(30)
    with slow_app.claims(tasks=["send"], wait=False, limit=10) as claims:
        claim = next(claims)
        assert slow_app.count_jobs(state="running") == 1
        assert slow_app.guards()[0].state(clock.ms) == "half-open"
        claim.retry("still down", delay=0)
    assert slow_app.guards()[0].state(clock.ms) == "open"
    assert takes_nothing(slow_app)

    clock.advance(30)
    healthy = True
    work(slow_app)
    assert slow_app.guards()[0].state(clock.ms) == "closed"
    assert ran == [0, 1, 2, 3, 5, 6, 7]
    assert [job.refresh().state for job in held] == [State.DEAD, *[State.COMPLETED] * 3]
    assert [job.attempt for job in held] == [1] * 4
    told = [record.getMessage() for record in caplog.records if "breaker" in record.getMessage()]
    assert [line.partition(":")[0] for line in told] == ["the breaker of send opened", "the breaker of send closed"]


def takes_nothing(app: Liteq) -> bool:
    """Tell whether there is nothing to claim, consumer style."""
    with app.claims(tasks=["send"], wait=False, limit=10) as claims:
        return list(claims) == []


def test_a_worker_tells_its_log_when_a_breaker_opens_and_closes(app: Liteq, caplog: pytest.LogCaptureFixture) -> None:
    healthy = threading.Event()

    @app.task(name="send", retry=Retry.never(), breaker=Breaker(min_calls=2, open_for=timedelta(seconds=2)))
    def send() -> None:
        if not healthy.is_set():
            raise OSError("down")

    caplog.set_level(logging.INFO, "liteq.worker")
    with app.worker(scheduler=False):
        for _ in range(2):
            send.enqueue().wait(30)
        held = send.enqueue()
        wait_for_words(caplog, "the breaker of send opened")
        healthy.set()
        held.wait(30)
        wait_for_words(caplog, "the breaker of send closed")

    assert held.refresh().state is State.COMPLETED


def wait_for_words(caplog: pytest.LogCaptureFixture, words: str) -> None:
    for _ in range(600):
        if words in caplog.text:
            return
        threading.Event().wait(0.05)
    raise AssertionError(f"{words!r} was not logged: {caplog.text}")


def test_a_breaker_is_reset_by_hand(slow_app: Liteq, clock: HandClock) -> None:
    @slow_app.task(name="send", retry=Retry.never(), breaker=Breaker(min_calls=1))
    def send() -> None:
        raise OSError("down")

    send.enqueue()
    work(slow_app)
    send.enqueue()
    assert takes_nothing(slow_app)

    assert slow_app.reset_breaker("send")

    assert not slow_app.reset_breaker("send")
    assert not takes_nothing(slow_app)


def test_a_retry_budget_spreads_retries_and_says_so(slow_app: Liteq, clock: HandClock) -> None:
    @slow_app.task(name="send", retry_budget="2/minute", retry=Retry(backoff=3_600 * 24, cap=10**6, jitter=0))
    def send() -> None:
        raise OSError("down")

    jobs = [send.enqueue() for _ in range(4)]
    work(slow_app)

    waits = sorted((job.refresh().run_at - to_datetime(clock.ms)).total_seconds() - 86_400 for job in jobs)
    assert waits == [0, 0, 30, 60]
    told = [job.attempts[0].error for job in jobs if job.attempts[0].error != "OSError: down"]
    assert "OSError: down (waits 30.0 s longer: the budget of 2/minute retries is spent)" in told
    assert slow_app.stats().guards[0].postponed == 2


def test_a_job_class_is_guarded_too(app: Liteq) -> None:
    @app.job(name="cleanup", breaker=Breaker(min_calls=1), retry=Retry.never())
    class Cleanup(Payload, frozen=True):
        def handle(self) -> None:
            raise OSError("down")

    app.enqueue(Cleanup())
    work(app)

    assert app.guards()[0].opened_at is not None


def test_a_guard_that_is_declared_no_more_is_gone_with_the_next_worker(app: Liteq) -> None:
    @app.task(name="send", retry_budget="1/day")
    def send() -> None: ...

    work(app)
    assert [guard.task for guard in app.guards()] == ["send"]

    with Liteq(app.path, durability="normal") as later:

        @later.task(name="send")
        def send_again() -> None: ...

        app.close()
        work(later)
        assert later.guards() == []


@pytest.mark.parametrize(
    "bad",
    [
        {"failure_rate": 0},
        {"failure_rate": 1.1},
        {"failure_rate": float("nan")},
        {"min_calls": 0},
        {"min_calls": 10**7},
        {"window": 0.5},
        {"window": -1},
        {"open_for": 0},
        {"open_for": float("inf")},
    ],
)
def test_a_breaker_outside_its_range_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidOption, match=next(iter(bad))):
        Breaker(**bad)


@pytest.mark.parametrize("bad", [{"failure_rate": "1"}, {"failure_rate": True}, {"min_calls": 1.5}, {"window": "1m"}])
def test_a_breaker_of_the_wrong_type_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=next(iter(bad))):
        Breaker(**bad)


@pytest.mark.parametrize(
    "bad", ["", "20", "0/minute", "-1/minute", "20/fortnight", "20000/second", "5/s burst 2", "1.5/minute", "9" * 99]
)
def test_a_retry_budget_that_cannot_be_read_is_refused(app: Liteq, bad: str) -> None:
    with pytest.raises(InvalidOption, match="retry_budget"):
        app.task(retry_budget=bad)


def test_guards_of_the_wrong_type_are_refused(app: Liteq) -> None:
    wrong: Any = 20
    with pytest.raises(TypeError, match="retry_budget"):
        app.task(retry_budget=wrong)
    with pytest.raises(TypeError, match="breaker"):
        app.task(breaker=wrong)


def test_guards_belong_to_a_task_and_not_to_a_job(app: Liteq) -> None:
    @app.task(name="send")
    def send() -> None: ...

    for settings in ({"breaker": Breaker()}, {"retry_budget": "1/day"}):
        wrong: Any = settings
        with pytest.raises(InvalidOption, match="where the task is declared"):
            send.using(**wrong)
