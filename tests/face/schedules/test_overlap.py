"""A tick that comes while an earlier job is live, or while another holds its unique key: each policy."""

import pytest

from liteq import Liteq, ScheduleWarning, State, every
from liteq.clock import to_datetime
from liteq.model.firing import TickOutcome
from liteq.scheduler import Scheduler
from tests.face.conftest import HandClock, work
from tests.face.schedules.conftest import Report, counts, two_ticks


def test_skip_makes_no_second_job_while_one_is_live(app: Liteq, clock: HandClock, report: Report) -> None:
    two_ticks(app, clock, report, "skip")

    assert counts(app) == {"fired": 1, "skipped: overlap": 1}
    work(app)
    clock.advance(60)
    assert len(app.fire_due()) == 1


def test_allow_makes_jobs_beside_each_other(app: Liteq, clock: HandClock, report: Report) -> None:
    two_ticks(app, clock, report, "allow")

    assert counts(app) == {"fired": 2}


def test_buffer_one_keeps_one_tick_until_the_job_is_over(app: Liteq, clock: HandClock, report: Report) -> None:
    two_ticks(app, clock, report, "buffer_one")
    clock.advance(60)
    app.fire_due()

    assert counts(app) == {"fired": 1, "buffered": 1, "skipped: overlap": 1}
    work(app)
    (fired,) = app.fire_due()
    assert fired.fire_at == to_datetime(clock.ms - 60_000)
    work(app)
    assert app.fire_due() == []


def test_buffer_all_keeps_every_tick_and_runs_them_one_after_the_other(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    two_ticks(app, clock, report, "buffer_all")
    clock.advance(60)
    app.fire_due()
    assert counts(app) == {"fired": 1, "buffered": 2}

    for age in (1, 0):
        assert app.fire_due() == [], "the job before it is live"
        work(app)
        (fired,) = app.fire_due()
        assert fired.fire_at == to_datetime(clock.ms - 60_000 * age)
    assert app.count_jobs() == 3


def test_a_tick_queues_behind_those_that_are_buffered(app: Liteq, clock: HandClock, report: Report) -> None:
    two_ticks(app, clock, report, "buffer_all")
    work(app)
    clock.advance(60)

    fired = app.fire_due()

    assert [one.fire_at for one in fired] == [to_datetime(clock.ms - 60_000)]
    assert counts(app) == {"fired": 2, "buffered": 1}


def test_cancel_running_ends_the_earlier_job(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=1, overlap="cancel_running"), report.call())
    clock.advance(60)
    (first,) = app.fire_due()
    claims = app.claims(wait=False)
    running = next(iter(claims))
    clock.advance(60)
    (second,) = app.fire_due()
    clock.advance(60)
    (third,) = app.fire_due()

    assert running.id == first.job_id
    assert app.get_job(first.job_id or 0).record.cancel_asked_at is not None
    assert app.get_job(second.job_id or 0).state is State.CANCELLED
    assert app.get_job(third.job_id or 0).state is State.READY
    claims.close()


def test_a_schedule_that_catches_up_on_all_runs_one_at_a_time_unless_allowed(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    app.schedule("s", every(minutes=1, misfire="all"), report.call())
    app.schedule("b", every(minutes=1, misfire="all", overlap="buffer_all"), report.call())
    app.schedule("c", every(minutes=1, misfire="all", overlap="cancel_running"), report.call())
    clock.advance(300)

    app.fire_due()

    assert counts(app) == {"fired": 1, "skipped: overlap": 4}
    assert counts(app, "b") == {"fired": 1, "buffered": 4}
    assert counts(app, "c") == {"fired": 1, "skipped: overlap": 4}
    newest = app.schedules["c"].ticks(limit=1)[0]
    assert (newest.fire_at, newest.outcome) == (clock.ms, TickOutcome.FIRED)


def test_ticks_without_jobs_make_the_scheduler_rest_as_well(app: Liteq, clock: HandClock, report: Report) -> None:
    with pytest.warns(ScheduleWarning):
        app.schedule("s", every(0.001), report.call())
    scheduler = Scheduler(app.engine, clock)
    for _ in range(2):
        clock.advance(0.001)
        scheduler.fire_due()

    assert counts(app) == {"fired": 1, "skipped: overlap": 1}
    assert scheduler.idle_ms(1_000) >= 10


def test_a_held_unique_key_skips_the_tick_and_leaves_a_trace(app: Liteq, clock: HandClock, report: Report) -> None:
    holder = report.using(unique_key="k").enqueue()
    app.schedule("s", every(minutes=1), report.using(unique_key="k", on_conflict="raise").call())
    clock.advance(60)

    app.fire_due()

    assert counts(app) == {"skipped: unique key": 1}
    assert app.schedules["s"].ticks()[0].job_id == holder.id
    assert app.count_jobs() == 1
