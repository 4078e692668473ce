"""Schedules that fire once, by hand only, so many times, or until a moment."""

from liteq import Liteq, State, at, every, manual
from liteq.clock import to_datetime
from tests.face.conftest import HandClock, work
from tests.face.schedules.conftest import Report, counts


def test_a_one_time_schedule_fires_once(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", at(to_datetime(clock.ms + 5_000)), report.call())
    clock.advance(60)

    assert len(app.fire_due()) == 1
    clock.advance(60)
    assert app.fire_due() == []
    app.schedule("s", at(to_datetime(clock.ms - 115_000)), report.call())
    assert app.fire_due() == [], "declared again, it is still over"


def test_a_manual_schedule_fires_when_it_is_triggered_only(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", manual(), report.call())
    clock.advance(10**6)
    assert app.fire_due() == []

    job = app.trigger("s")

    assert (job.state, job.record.fire_at) == (State.READY, clock.ms)
    assert counts(app) == {"triggered": 1}


def test_a_trigger_does_not_move_the_next_tick(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=10), report.call())
    before = app.schedules["s"].next_fire_at
    clock.advance(100)

    app.trigger("s")

    assert app.schedules["s"].next_fire_at == before


def test_max_runs_ends_a_schedule_after_so_many_jobs(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=1, max_runs=3, misfire="all"), report.call())
    clock.advance(60)
    app.fire_due()
    work(app)
    clock.advance(3600)

    assert len(app.fire_due()) == 1, "the second is live when the third comes, which is skipped and counts for nothing"
    work(app)
    clock.advance(60)
    assert len(app.fire_due()) == 1
    clock.advance(60)
    assert app.fire_due() == []
    assert app.schedules["s"].next_fire_at is None


def test_no_more_ticks_are_caught_up_with_than_runs_are_left(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=1, max_runs=2, misfire="all", overlap="allow"), report.call())
    clock.advance(300)

    assert len(app.fire_due()) == 2
    assert counts(app) == {"fired": 2, "skipped: max_runs": 3}


def test_runs_are_counted_anew_where_the_ticks_are_new(app: Liteq, clock: HandClock, report: Report) -> None:
    for number in range(3):
        app.schedule("s", at(to_datetime(clock.ms + 1_000 + number), max_runs=1), report.call())
        clock.advance(60)
        assert len(app.fire_due()) == 1
        work(app)


def test_end_at_ends_a_schedule(app: Liteq, clock: HandClock, report: Report) -> None:
    end = to_datetime(clock.ms + 120_000)
    app.schedule("s", every(minutes=1, end_at=end, overlap="allow"), report.call())
    for _ in range(4):
        clock.advance(60)
        app.fire_due()

    assert counts(app) == {"fired": 2}
