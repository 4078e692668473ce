"""Ticks that were missed while nothing ran: each policy, its bound and its grace."""

from datetime import timedelta
from typing import Any

import pytest

from liteq import Liteq, cron, every
from liteq.clock import to_datetime
from tests.face.conftest import HandClock
from tests.face.schedules.conftest import Report, counts


@pytest.mark.parametrize(
    ("misfire", "fired", "trace"),
    [
        ("coalesce", 1, {"fired": 1, "coalesced": 47}),
        ("skip", 1, {"fired": 1, "skipped: missed": 47}),
        ("all", 48, {"fired": 48}),
    ],
)
def test_after_eight_hours_of_sleep_on_a_tick(
    app: Liteq, clock: HandClock, report: Report, misfire: Any, fired: int, trace: dict[str, int]
) -> None:
    app.schedule("s", every(minutes=10, misfire=misfire, overlap="allow"), report.call())
    clock.advance(8 * 3600)

    assert len(app.fire_due()) == fired
    assert counts(app) == trace
    assert app.fire_due() == []
    assert app.schedules["s"].next_fire_at == to_datetime(clock.ms) + timedelta(minutes=10)


def test_a_skipping_schedule_that_wakes_between_two_ticks_waits_for_the_next(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    app.schedule("s", every(minutes=10, misfire="skip"), report.call())
    clock.advance(8 * 3600 + 5 * 60)

    assert app.fire_due() == []
    assert counts(app) == {"skipped: missed": 48}
    clock.advance(5 * 60)
    assert len(app.fire_due()) == 1


def test_catching_up_is_bounded_and_keeps_the_newest(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=1, misfire="all", max_catchup=5, overlap="allow"), report.call())
    clock.advance(3600)

    fired = app.fire_due()

    assert [one.fire_at for one in fired] == [to_datetime(clock.ms - 60_000 * n) for n in (4, 3, 2, 1, 0)]
    assert counts(app) == {"fired": 5, "skipped: catch-up bound": 55}


@pytest.mark.parametrize(("late_s", "trace"), [(29, {"fired": 1}), (30, {"fired": 1}), (31, {"skipped: grace": 1})])
def test_a_tick_that_is_later_than_its_grace_gets_no_job(
    app: Liteq, clock: HandClock, report: Report, late_s: int, trace: dict[str, int]
) -> None:
    app.schedule("s", every(minutes=10, misfire_grace=30), report.call())
    clock.advance(600 + late_s)

    app.fire_due()

    assert counts(app) == trace


def test_ten_years_of_minutes_make_one_job_in_no_time(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", cron("* * * * *"), report.call())
    clock.advance(10 * 365 * 86_400)

    (fired,) = app.fire_due()

    assert fired.duration < 5
    assert counts(app)["coalesced"] >= 100
