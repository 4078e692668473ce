"""Ticks of the past that are filled in by hand."""

from datetime import timedelta

import pytest

from liteq import InvalidOption, Liteq, cron, every, manual
from liteq.clock import to_datetime
from tests.face.conftest import HandClock
from tests.face.schedules.conftest import Report, counts, two_ticks


def test_a_backfill_makes_the_jobs_that_are_missing_and_can_be_repeated(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    app.schedule("s", cron("0 * * * *"), report.call())
    end = to_datetime(clock.ms)
    start = end - timedelta(hours=5)

    made = app.schedules.backfill("s", start, end)

    hours = [start + timedelta(hours=n) for n in range(6)]
    assert [to_datetime(job.record.fire_at or 0) for job in made] == hours
    assert counts(app) == {"backfilled": 6}
    assert app.schedules.backfill("s", start, end) == []
    assert all(job.record.run_at == clock.ms for job in made), "none jumps the queue by its age"


def test_a_backfill_is_bounded_and_of_the_past(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", cron("* * * * * *"), report.call())
    app.schedule("m", manual(), report.call())
    now = to_datetime(clock.ms)

    with pytest.raises(InvalidOption, match="10,000"):
        app.schedules.backfill("s", now - timedelta(days=1), now)
    with pytest.raises(InvalidOption, match="past"):
        app.schedules.backfill("s", now, now + timedelta(seconds=1))
    with pytest.raises(InvalidOption, match="manual"):
        app.schedules.backfill("m", now - timedelta(seconds=1), now)
    assert app.count_jobs() == 0


def test_a_backfill_leaves_what_is_due_or_waits_to_the_scheduler(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("due", every(minutes=1, overlap="allow"), report.call())
    two_ticks(app, clock, report, "buffer_all")
    clock.advance(60)
    now = to_datetime(clock.ms)

    assert app.schedules.backfill("due", now - timedelta(seconds=1), now) == []
    assert app.schedules.backfill("s", now - timedelta(seconds=90), now) == []
    assert len([one for one in app.fire_due() if one.schedule == "due"]) == 1
