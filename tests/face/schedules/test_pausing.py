"""Schedules that are paused and go on."""

from liteq import Liteq, every
from tests.face.conftest import HandClock, work
from tests.face.schedules.conftest import Report, counts, two_ticks


def test_a_paused_schedule_does_not_fire_and_goes_on_from_now(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=10), report.call())
    assert app.schedules.pause("s", reason="holiday")
    clock.advance(3600)
    assert app.fire_due() == []

    assert app.schedules.resume("s")
    assert not app.schedules.resume("s")

    assert app.fire_due() == []
    assert counts(app) == {"skipped: paused": 6}
    clock.advance(600)
    assert len(app.fire_due()) == 1


def test_a_paused_schedule_can_catch_up(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=10, misfire="all", overlap="allow"), report.call())
    app.schedules.pause("s")
    clock.advance(3600)

    app.schedules.resume("s", catch_up=True)

    assert len(app.fire_due()) == 6


def test_a_buffered_tick_waits_while_its_schedule_is_paused(app: Liteq, clock: HandClock, report: Report) -> None:
    two_ticks(app, clock, report, "buffer_one")
    work(app)
    app.schedules.pause("s")
    assert app.fire_due() == []

    app.schedules.resume("s")

    assert len(app.fire_due()) == 1
