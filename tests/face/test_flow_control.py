"""Flow control as an application sees it: full queues, debounced jobs, retry budgets and breakers."""

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from liteq import (
    Breaker,
    InvalidName,
    InvalidOption,
    Liteq,
    Payload,
    QueueFull,
    Retry,
    State,
    at,
    every,
    manual,
)
from liteq.clock import to_datetime
from liteq.model.firing import TickOutcome
from tests.face.conftest import HandClock


def work(app: Liteq) -> None:
    app.work(burst=True, scheduler=False)


# Full queues


def test_a_full_queue_refuses_one_and_many(app: Liteq) -> None:
    @app.task(queue="mail", name="send")
    def send(n: int) -> None: ...

    app.limit_queue("mail", max_pending=2)
    send.enqueue(1)

    with pytest.raises(QueueFull) as refusal:
        app.enqueue_many(send.call(n) for n in range(2))
    assert (refusal.value.queue, refusal.value.pending, refusal.value.max_pending) == ("mail", 1, 2)
    send.enqueue(2)
    with pytest.raises(QueueFull, match="queue 'mail' is full: 2 of at most 2 wait in it"):
        send.enqueue(3)

    work(app)
    send.enqueue(4)
    app.unlimit_queue("mail")
    app.enqueue_many(send.call(n) for n in range(9))


def test_who_waits_for_room_gets_it_when_a_worker_makes_some(app: Liteq) -> None:
    @app.task(queue="mail", name="send")
    def send(n: int) -> None: ...

    app.limit_queue("mail", max_pending=1)
    send.enqueue(1)
    jobs: list[Any] = []
    waiting = threading.Thread(target=lambda: jobs.append(send.using(wait_for_room=30).enqueue(2)))
    waiting.start()

    with app.worker(scheduler=False):
        waiting.join()
        assert jobs[0].wait(30).state is State.COMPLETED


def test_waiting_for_room_ends_with_the_refusal(app: Liteq) -> None:
    @app.task(queue="mail", name="send")
    def send(n: int) -> None: ...

    app.limit_queue("mail", max_pending=1)
    send.enqueue(1)

    with pytest.raises(QueueFull):
        app.enqueue(send.call(2), wait_for_room=timedelta(milliseconds=20))
    with pytest.raises(QueueFull, match="2 more do not fit"):
        app.enqueue_many([send.using(wait_for_room=10**6).call(n) for n in range(2)])
    with app.engine.transaction(), pytest.raises(QueueFull):
        send.using(wait_for_room=10**6).enqueue(2)
    assert app.count_jobs() == 1


@pytest.mark.parametrize("bad", [0, -1, 10**10])
def test_a_limit_that_is_none_is_refused(app: Liteq, bad: int) -> None:
    with pytest.raises(InvalidOption, match="max_pending"):
        app.limit_queue("mail", max_pending=bad)
    assert app.engine.queues() == []


@pytest.mark.parametrize("bad", [True, "5", 1.5])
def test_a_limit_of_the_wrong_type_is_refused(app: Liteq, bad: Any) -> None:
    with pytest.raises(TypeError, match="max_pending"):
        app.limit_queue("mail", max_pending=bad)


def test_a_limit_wants_the_name_of_a_queue(app: Liteq) -> None:
    with pytest.raises(InvalidName):
        app.limit_queue("", max_pending=1)


def test_a_tick_that_finds_the_queue_full_leaves_a_trace_and_the_schedule_goes_on(
    slow_app: Liteq, clock: HandClock
) -> None:
    @slow_app.task(queue="reports", name="report")
    def report() -> None: ...

    slow_app.schedule("regular", every(minutes=1, overlap="allow"), report.call())
    slow_app.limit_queue("reports", max_pending=1)
    clock.advance(60)
    assert [fired.success for fired in slow_app.fire_due()] == [True]
    clock.advance(60)

    assert slow_app.fire_due() == []

    schedule = slow_app.engine.get_schedule("regular")
    assert schedule is not None
    assert schedule.error is None
    assert {one.outcome: one.ticks for one in slow_app.engine.tick_counts(schedule.id)} == {
        TickOutcome.FIRED: 1,
        TickOutcome.FULL: 1,
    }
    assert [trace.job_id for trace in slow_app.engine.ticks(schedule.id, limit=1)] == [None]
    with pytest.raises(QueueFull):
        slow_app.trigger("regular")
    work(slow_app)
    clock.advance(60)
    assert len(slow_app.fire_due()) == 1


def test_a_buffered_tick_that_finds_the_queue_full_leaves_a_trace(slow_app: Liteq, clock: HandClock) -> None:
    @slow_app.task(queue="reports", name="report")
    def report() -> None: ...

    slow_app.schedule("regular", every(minutes=1, overlap="buffer_one"), report.call())
    clock.advance(60)
    (first,) = slow_app.fire_due()
    clock.advance(60)
    slow_app.fire_due()
    assert first.job_id is not None
    slow_app.limit_queue("reports", max_pending=1)
    slow_app.cancel(first.job_id)
    report.enqueue()

    assert slow_app.fire_due() == []

    schedule = slow_app.engine.get_schedule("regular")
    assert schedule is not None
    assert TickOutcome.FULL in {one.outcome for one in slow_app.engine.tick_counts(schedule.id)}
    assert slow_app.engine.buffered_ticks() == []


# Debounce


def test_debounced_calls_become_one_job_with_the_newest_arguments(slow_app: Liteq, clock: HandClock) -> None:
    seen: list[str] = []

    @slow_app.task(name="reindex", debounce=timedelta(seconds=2), max_wait=5)
    def reindex(what: str) -> None:
        seen.append(what)

    begun = clock.ms
    first = reindex.using(unique_key="7").enqueue("old")
    clock.advance(1)
    again = reindex.using(unique_key="7").enqueue("new")
    other = reindex.using(unique_key="8").enqueue("other")

    assert (first.answer, again.answer, other.answer) == ("new", "debounced", "new")
    assert (again.id, again.created) == (first.id, False)
    assert again.run_at == to_datetime(begun + 3_000)
    clock.advance(2)
    with slow_app.claims(limit=2) as claims:
        assert next(claims).id == again.id
        assert reindex.using(unique_key="7").enqueue("next").created
    work(slow_app)
    assert sorted(seen) == ["new", "other"]


def test_many_debounced_calls_in_one_commit_are_one_job(slow_app: Liteq, clock: HandClock) -> None:
    @slow_app.task(name="reindex", debounce=2, unique_key="k")
    def reindex(n: int) -> None: ...

    jobs = slow_app.enqueue_many(reindex.call(n) for n in range(100))

    assert {job.id for job in jobs} == {1}
    assert jobs[0].args == {"n": 99}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"debounce": 2}, "unique_key"),
        ({"max_wait": 2}, "needs debounce"),
        ({"debounce": 2, "unique_key": "k", "max_wait": 1}, "at least as long"),
        ({"debounce": 2, "unique_key": "k", "delay": 1}, "neither delay nor run_at"),
        ({"debounce": 2, "unique_key": "k", "run_at": datetime(2027, 1, 1, tzinfo=UTC)}, "neither delay nor run_at"),
        ({"debounce": 2, "unique_key": "k", "unique_until": "always"}, "unique_until"),
        ({"debounce": 0, "unique_key": "k"}, "above zero"),
        ({"debounce": -1, "unique_key": "k"}, "zero or more"),
        ({"debounce": float("nan"), "unique_key": "k"}, "finite"),
        ({"debounce": 1, "max_wait": float("inf"), "unique_key": "k"}, "finite"),
        ({"wait_for_room": -1}, "zero or more"),
    ],
)
def test_options_that_contradict_are_refused_before_anything_is_written(app: Liteq, settings: Any, words: str) -> None:
    @app.task(name="reindex")
    def reindex() -> None: ...

    with pytest.raises(InvalidOption, match=words):
        reindex.using(**settings).enqueue()

    assert app.count_jobs() == 0


@pytest.mark.parametrize("name", ["debounce", "max_wait", "wait_for_room"])
@pytest.mark.parametrize("bad", ["2s", True])
def test_options_of_the_wrong_type_are_refused(app: Liteq, name: str, bad: Any) -> None:
    @app.task(name="reindex")
    def reindex() -> None: ...

    settings: Any = {name: bad}
    with pytest.raises(TypeError, match=name):
        reindex.using(**settings)


def test_a_schedule_takes_no_debounced_job(app: Liteq) -> None:
    @app.task(name="reindex", debounce=2, unique_key="k")
    def reindex() -> None: ...

    with pytest.raises(InvalidOption, match="debounce"):
        app.schedule("regular", manual(), reindex.call())


# Guards


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


def test_a_one_time_schedule_into_a_full_queue_is_not_left_undone_in_silence(slow_app: Liteq, clock: HandClock) -> None:
    @slow_app.task(queue="reports", name="report")
    def report() -> None: ...

    slow_app.limit_queue("reports", max_pending=1)
    report.enqueue()
    slow_app.schedule("once", at(to_datetime(clock.ms + 1_000)), report.call())
    clock.advance(2)

    assert slow_app.fire_due() == []

    schedule = slow_app.engine.get_schedule("once")
    assert schedule is not None
    assert [one.outcome for one in slow_app.engine.ticks(schedule.id, limit=5)] == [TickOutcome.FULL]
