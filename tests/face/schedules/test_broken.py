"""Schedules that cannot be read or stored: each fails alone."""

from liteq import Liteq, cron, every
from liteq.clock import to_datetime
from liteq.model.firing import ScheduleRow
from tests.face.conftest import HandClock, work
from tests.face.schedules.conftest import Report, counts, two_ticks


def spoil(app: Liteq, name: str, **columns: bytes) -> None:
    """Write into the row what no verb of liteq would write."""

    record = app.schedules[name].record
    row = {
        "name": name,
        "revision": record.revision,
        "declared": True,
        "spec": record.spec,
        "job": record.job,
        "next_fire_at": record.next_fire_at,
        "tzdata": record.tzdata,
    }
    assert app.engine.put_schedules([ScheduleRow(**(row | columns))], now=app.clock.now_ms()) == [True]  # type: ignore[arg-type]


def test_a_schedule_that_cannot_be_read_is_put_aside_and_the_others_fire(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    app.schedule("good", every(minutes=1), report.call())
    for name in ("bad spec", "bad job"):
        app.schedule(name, every(minutes=1), report.call())
    spoil(app, "bad spec", spec=b'{"kind":"moon"}')
    spoil(app, "bad job", job=b"[]")
    clock.advance(60)

    fired = {one.schedule: one for one in app.fire_due()}

    assert fired["good"].success
    assert not fired["bad spec"].success
    assert "InvalidSchedule" in (fired["bad spec"].error or "")
    assert "Undecodable" in (fired["bad job"].error or "")
    assert app.schedules["bad spec"].error == fired["bad spec"].error
    assert app.schedules.status().broken == 2
    assert app.fire_due() == []
    app.schedule("bad job", every(minutes=1), report.call())
    assert app.schedules["bad job"].error is None
    clock.advance(60)
    assert "bad job" in {one.schedule for one in app.fire_due()}, "stored anew, it fires again"


def test_a_job_that_no_database_takes_breaks_its_own_schedule_only(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    app.schedule("good", every(minutes=1), report.call())
    app.schedule("bad", every(minutes=1), report.call())
    huge = app.schedules["bad"].record.job.replace(b'"priority":0', b'"priority":99999999999999999999')
    spoil(app, "bad", job=huge)
    clock.advance(60)

    fired = {one.schedule: one.success for one in app.fire_due()}

    assert fired == {"good": True, "bad": False}
    assert app.count_jobs() == 1


def test_a_buffered_tick_whose_job_no_database_takes_fails_alone(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("good", every(minutes=1, overlap="buffer_one"), report.call())
    two_ticks(app, clock, report, "buffer_one")
    work(app)
    spoil(app, "s", job=app.schedules["s"].record.job.replace(b'"priority":0', b'"priority":99999999999999999999'))

    fired = {one.schedule: one.success for one in app.fire_due()}

    assert fired == {"good": True, "s": False}
    assert counts(app)["failed"] == 1


def test_a_zone_that_is_unknown_here_is_not_taken_for_a_broken_schedule(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    app.schedule("s", cron("0 * * * *", timezone="Europe/Berlin"), report.call())
    spoil(app, "s", spec=app.schedules["s"].record.spec.replace(b"Europe/Berlin", b"Europe/Nowhere"))
    clock.advance(3600)

    assert app.fire_due() == []

    assert (app.schedules["s"].error, app.schedules["s"].next_fire_at) == (None, to_datetime(clock.ms))
