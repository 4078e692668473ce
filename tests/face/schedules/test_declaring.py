"""What is declared in code: when it is stored, what is refused, what is pruned."""

import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest

from liteq import (
    BadArguments,
    InvalidName,
    InvalidOption,
    InvalidSchedule,
    Liteq,
    Payload,
    ScheduleNotFound,
    ScheduleWarning,
    at,
    every,
)
from liteq.clock import to_datetime
from liteq.importing import importing
from tests.face.conftest import HandClock
from tests.face.schedules.conftest import Report


def test_undeclared_schedules_are_pruned_and_those_added_at_run_time_stay(
    app: Liteq, clock: HandClock, report: Report, tmp_path: Path
) -> None:
    app.schedule("gone", every(minutes=10), report.call())
    app.schedule("kept", every(minutes=10), report.call())
    app.schedules.add("by hand", every(minutes=10), report.call())

    with Liteq(app.path, clock=clock) as next_version:
        task = next_version.task(name="report")(lambda_free)
        next_version.schedule("kept", every(minutes=10), task.call())

        assert next_version.schedules.prune_undeclared() == ["gone"]
        assert [one.name for one in next_version.schedules] == ["by hand", "kept"]


def lambda_free() -> None:
    """Stand for a task of the next version."""


def test_decorators_declare_beside_a_task_and_are_stored_when_something_fires(app: Liteq, clock: HandClock) -> None:
    @app.cron("*/5 * * * *", timezone="Europe/Berlin")
    @app.task(name="poll")
    def poll() -> None: ...

    @app.every(minutes=2, name="often")
    @app.every(minutes=3)
    @app.task(name="sweep")
    def sweep() -> None: ...

    @app.every(minutes=4, name="local")
    def dispatch() -> None: ...

    @app.every(minutes=9)
    @app.job(name="tidy")
    class Tidy(Payload, frozen=True):
        def handle(self) -> None: ...

    assert list(app.schedules) == []
    app.fire_due()

    stored = {one.name: one.schedule.describe() for one in app.schedules}
    assert stored == {
        "poll": "every 5 minutes, Europe/Berlin",
        "often": "every 2 minutes",
        "sweep": "every 3 minutes",
        "local": "every 4 minutes",
        "tidy": "every 9 minutes",
    }


def test_a_worker_stores_what_is_declared(app: Liteq) -> None:
    @app.every(minutes=2)
    @app.task(name="poll")
    def poll() -> None: ...

    app.work(burst=True)

    assert "poll" in app.schedules


def test_options_of_a_task_declared_above_its_schedule_count(app: Liteq, clock: HandClock) -> None:
    @app.task(name="heavy", queue="heavy", priority=9)
    @app.every(minutes=1, name="heavy")
    def heavy() -> None: ...

    app.fire_due()
    clock.advance(60)
    (fired,) = app.fire_due()

    job = app.get_job(fired.job_id or 0)
    assert (job.queue, job.priority) == ("heavy", 9)


def test_an_app_that_was_closed_stores_its_declarations_in_the_next_file(app: Liteq, report: Report) -> None:
    app.every(minutes=2)(report)
    app.fire_due()
    app.close()
    Path(app.path).unlink()

    app.fire_due()

    assert "report" in app.schedules


def test_nothing_is_stored_while_a_command_imports_the_application(app: Liteq, report: Report) -> None:
    token = importing.set("tasks")
    try:
        assert app.schedule("s", every(minutes=1), report.call()) is None
    finally:
        importing.reset(token)

    assert "s" not in app.schedules
    assert app.schedules.store_declared() == ["s"]
    assert app.schedules.store_declared() == []


def test_what_only_enqueues_never_loads_croniter(tmp_path: Path) -> None:
    code = (
        "import sys; from liteq import Liteq, every; app = Liteq('jobs.db'); note = app.task(name='note')(lambda: 1)\n"
        "app.cron('* * * * *')(note); app.every(minutes=5, name='often')(note); note.enqueue()\n"
        "assert 'croniter' not in sys.modules; app.fire_due(); assert 'croniter' in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_a_mistaken_expression_in_a_decorator_shows_when_it_is_stored(app: Liteq) -> None:
    @app.cron("61 * * * *")
    @app.task(name="poll")
    def poll() -> None: ...

    with pytest.raises(InvalidSchedule, match="minute"):
        app.fire_due()


def test_two_declarations_of_one_name_are_refused(app: Liteq, report: Report) -> None:
    app.every(minutes=2)(report)

    with pytest.raises(InvalidName, match="two schedules"):
        app.every(minutes=3)(report)


def test_two_tasks_with_one_name_and_period_are_refused(app: Liteq) -> None:
    @app.every(minutes=10, name="sweep")
    @app.task(name="one")
    def one() -> None: ...

    @app.task(name="two")
    def two() -> None: ...

    with pytest.raises(InvalidName, match="two schedules"):
        app.every(minutes=10, name="sweep")(two)


def test_a_schedule_whose_task_needs_arguments_is_refused_where_it_is_declared(app: Liteq) -> None:
    @app.task(name="needy")
    def needy(number: int) -> int:
        return number

    with pytest.raises(BadArguments):
        app.schedule("s", every(minutes=1), needy)


def test_what_is_no_schedule_is_refused(app: Liteq, report: Report) -> None:
    with pytest.raises(TypeError, match="cron, every, at or manual"):
        app.schedule("s", "0 0 * * *", report.call())  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="run_at"):
        app.schedule("s", every(minutes=1), report.using(run_at=datetime(2030, 1, 1, tzinfo=UTC)).call())
    with pytest.raises(InvalidName):
        app.schedule(" s", every(minutes=1), report.call())
    assert list(app.schedules) == []


def test_cancelling_with_a_unique_key_is_refused(app: Liteq, report: Report) -> None:
    with pytest.raises(InvalidOption, match="unique key"):
        app.schedule("s", every(minutes=1, overlap="cancel_running"), report.using(unique_key="k").call())


def test_a_schedule_without_a_tick_left_warns_and_is_kept(app: Liteq, clock: HandClock, report: Report) -> None:
    with pytest.warns(ScheduleWarning, match="no tick left"):
        app.schedule("s", at(to_datetime(clock.ms - 1_000)), report.call())

    assert app.schedules["s"].next_fire_at is None
    assert app.fire_due() == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app.schedule("s", at(to_datetime(clock.ms - 1_000)), report.call())


def test_adding_by_hand_does_not_change_what_is_there(app: Liteq, report: Report) -> None:
    app.schedule("s", every(minutes=1), report.call())

    app.schedules.add("s", every(minutes=1), report.call())
    assert app.schedules["s"].record.declared
    with pytest.raises(InvalidName, match="something else"):
        app.schedules.add("s", every(minutes=2), report.call())
    app.schedules.add("s", every(minutes=2), report.call(), replace=True)

    assert (app.schedules["s"].revision, app.schedules["s"].record.declared) == (2, False)


def test_an_unknown_name_is_said_to_be_one(app: Liteq) -> None:
    for verb in (app.trigger, app.schedules.pause, app.schedules.resume, app.schedules.remove):
        with pytest.raises(ScheduleNotFound, match="nightly"):
            verb("nightly")
