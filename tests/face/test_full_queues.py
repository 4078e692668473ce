"""Queues that take so many waiting jobs and no more: who is refused, who waits for room, and ticks without it."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from liteq import InvalidName, InvalidOption, Liteq, QueueFull, State, at, every
from liteq.clock import to_datetime
from liteq.model.firing import TickOutcome
from tests.face.conftest import HandClock, work


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
