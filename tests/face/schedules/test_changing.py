"""A schedule that is declared again: its revision, and what becomes of the tick that is due."""

import pytest

from liteq import Call, Liteq, cron, every
from liteq.clock import to_datetime
from liteq.model.schedule import AnySchedule
from tests.face.conftest import HandClock
from tests.face.schedules.conftest import Report, counts


def test_the_same_declaration_changes_nothing(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=10), report.call())
    before = app.schedules["s"].record
    clock.advance(90)

    app.schedule("s", every(minutes=10), report.call())

    assert app.schedules["s"].record == before


@pytest.mark.parametrize("change", ["period", "option", "job", "kind"])
def test_a_changed_declaration_raises_the_revision(app: Liteq, clock: HandClock, report: Report, change: str) -> None:
    app.schedule("s", every(minutes=10), report.call())
    clock.advance(90)

    changes: dict[str, tuple[AnySchedule, Call[str]]] = {
        "period": (every(minutes=5), report.call()),
        "option": (every(minutes=10, overlap="allow"), report.call()),
        "job": (every(minutes=10), report.using(priority=1).call()),
        "kind": (cron("0 0 * * *"), report.call()),
    }
    app.schedule("s", *changes[change])

    assert app.schedules["s"].revision == 2
    kept = app.schedules["s"].next_fire_at == to_datetime(clock.ms - 90_000 + 600_000)
    assert kept is (change in {"option", "job"}), "what alters no tick moves none"


def test_a_tick_that_is_due_survives_a_change_of_its_job(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=10), report.call())
    clock.advance(700)

    app.schedule("s", every(minutes=10), report.using(priority=1).call())

    (fired,) = app.fire_due()
    assert app.get_job(fired.job_id or 0).priority == 1


def test_a_new_bound_keeps_the_tick_that_is_due(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=60), report.call())
    clock.advance(3605)

    app.schedule("s", every(minutes=60, max_runs=50), report.call())

    assert len(app.fire_due()) == 1


def test_a_new_expression_drops_the_tick_that_is_due_with_a_trace(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=60), report.call())
    clock.advance(3605)

    app.schedule("s", every(minutes=30), report.call())

    assert app.fire_due() == []
    assert counts(app) == {"skipped: replaced": 1}
