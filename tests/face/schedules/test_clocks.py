"""Clocks that were set back, forward or wrong, and new rules of time zones."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from liteq import Liteq, at, cron, every
from liteq.clock import to_datetime
from liteq.model.firing import Advance
from tests.face.conftest import HandClock
from tests.face.schedules.conftest import Report


def test_an_hour_back_fires_no_cron_tick_twice_and_an_hour_forward_none_either(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    app.schedule("s", cron("0 * * * *", overlap="allow", misfire="all"), report.call())
    ticks: list[datetime] = []
    for seconds in (3600, -3600, 1800, 1800, 3600, 3600):
        clock.advance(seconds)
        ticks += [one.fire_at for one in app.fire_due()]

    assert len(ticks) == len(set(ticks))
    assert ticks == sorted(ticks)
    assert len(ticks) == 3


def test_an_interval_goes_on_at_once_after_the_clock_was_set_back(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=10, overlap="allow"), report.call())
    clock.advance(600)
    assert len(app.fire_due()) == 1
    clock.advance(-3600)
    assert app.fire_due() == []

    clock.advance(600)

    assert len(app.fire_due()) == 1


def test_a_pause_and_a_new_bound_fire_no_cron_tick_twice_after_the_clock_was_set_back(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    for name in ("paused", "bounded"):
        app.schedule(name, cron("0 * * * *", overlap="allow"), report.call())
    clock.advance(3600)
    assert len(app.fire_due()) == 2
    clock.advance(-600)
    app.schedules.pause("paused")
    app.schedules.resume("paused")
    app.schedule("bounded", cron("0 * * * *", overlap="allow", max_runs=50), report.call())
    clock.advance(620)

    assert app.fire_due() == []


def test_a_file_from_the_year_2036_is_put_right(app: Liteq, clock: HandClock, report: Report) -> None:
    today = clock.ms
    clock.ms = int(datetime(2036, 5, 5, tzinfo=UTC).timestamp() * 1000)
    app.schedule("cron", cron("*/5 * * * *"), report.call())
    app.schedule("every", every(minutes=10), report.call())
    app.schedule("old", at(datetime(2036, 5, 6, tzinfo=UTC)), report.call())
    app.close()
    clock.ms = today

    app.fire_due()
    upcoming = {one.name: one.next_fire_at for one in app.schedules}

    now = to_datetime(today)
    assert upcoming["cron"] is not None
    assert upcoming["cron"] - now <= timedelta(minutes=5)
    assert upcoming["every"] == now + timedelta(minutes=10)
    assert upcoming["old"] == datetime(2036, 5, 6, tzinfo=UTC)


def test_a_new_job_does_not_hide_that_the_clock_was_wrong(app: Liteq, clock: HandClock, report: Report) -> None:
    clock.advance(365 * 86_400)
    app.schedule("s", cron("*/10 * * * *"), report.call())
    app.close()
    clock.advance(-365 * 86_400)

    app.schedule("s", cron("*/10 * * * *"), report.using(priority=1).call())
    app.fire_due()

    upcoming = app.schedules["s"].next_fire_at
    assert upcoming is not None
    assert upcoming - to_datetime(clock.ms) <= timedelta(minutes=10)


def test_a_paused_schedule_is_put_right_too(app: Liteq, clock: HandClock, report: Report) -> None:
    clock.advance(365 * 86_400)
    app.schedule("s", every(minutes=10), report.call())
    app.schedules.pause("s")
    app.close()
    clock.advance(-365 * 86_400)
    app.fire_due()

    app.schedules.resume("s")

    assert app.schedules["s"].next_fire_at == to_datetime(clock.ms) + timedelta(minutes=10)


def test_new_rules_of_time_zones_move_the_next_tick(
    app: Liteq, clock: HandClock, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.schedule("s", cron("0 2 * * *", timezone="Europe/Berlin"), report.call())
    app.schedule("u", cron("0 2 * * *"), report.call())
    right = app.schedules["s"].next_fire_at
    with app.engine.transaction():
        for name in ("s", "u"):
            record = app.schedules[name].record
            app.engine.advance_schedules([_moved(record, release="1999a" if name == "s" else "")], now=clock.ms)

    app.fire_due()

    assert app.schedules["s"].next_fire_at == right
    assert app.schedules["u"].next_fire_at != right, "UTC knows no rules, so nothing is computed anew"


def _moved(record: Any, *, release: str) -> Any:

    return Advance(
        schedule_id=record.id,
        revision=record.revision,
        expected=record.next_fire_at,
        next_fire_at=record.next_fire_at + 3_600_000,
        tzdata=release,
    )
