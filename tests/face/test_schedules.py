"""Schedules by the face, under a clock that the test moves: each policy, and what becomes of every tick."""

import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from liteq import (
    BadArguments,
    Call,
    InvalidName,
    InvalidOption,
    InvalidSchedule,
    Job,
    JobContext,
    Liteq,
    Payload,
    Retry,
    ScheduleNotFound,
    ScheduleWarning,
    State,
    Task,
    at,
    cron,
    every,
    manual,
)
from liteq.clock import to_datetime
from liteq.importing import importing
from liteq.model.firing import Advance, ScheduleRow, TickOutcome
from liteq.model.schedule import AnySchedule
from liteq.scheduler import Scheduler
from tests.face.conftest import HandClock

Report = Task[[], str]


@pytest.fixture
def app(slow_app: Liteq) -> Liteq:
    return slow_app


@pytest.fixture
def report(app: Liteq) -> Report:
    @app.task(name="report")
    def make() -> str:
        return "made"

    return make


def jobs_of(app: Liteq) -> list[Job[Any]]:
    """Give every job, the oldest first."""
    return sorted(app.list_jobs(limit=10_000), key=lambda job: job.id)


def work(app: Liteq) -> None:
    app.work(burst=True, scheduler=False)


def counts(app: Liteq, name: str = "s") -> dict[str, int]:
    return app.schedules[name].counts


# The pipeline


def test_a_schedule_fires_a_job_that_is_claimed_and_handled_and_the_queue_is_empty(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    app.schedule("nightly", every(minutes=10), report.call())
    assert app.fire_due() == []

    clock.advance(600)
    (fired,) = app.fire_due()

    assert (fired.schedule, fired.success, fired.error) == ("nightly", True, None)
    assert fired.fire_at == to_datetime(clock.ms)
    job = app.get_job(fired.job_id or 0)
    assert (job.state, job.record.fire_at, job.record.schedule_id) == (State.READY, clock.ms, 1)
    for claim in app.claims(wait=False):
        assert claim.task == "report"
        claim.complete("handled")
    assert job.refresh().state is State.COMPLETED
    assert app.count_jobs(state=["ready", "running", "scheduled"]) == 0
    assert app.fire_due() == []


def test_a_thousand_jobs_dispatched_by_a_schedule_are_run(app: Liteq, clock: HandClock) -> None:
    done: list[int] = []

    @app.task(name="one")
    def one(number: int) -> None:
        done.append(number)

    def dispatch() -> int:
        return len(app.enqueue_many(one.call(number) for number in range(1_000)))

    app.schedule("dispatcher", every(minutes=1), dispatch)
    clock.advance(60)
    (fired,) = app.fire_due()
    assert app.count_jobs() == 1, "the dispatcher runs as a job, not inside the scheduler"

    work(app)

    assert app.get_job(fired.job_id or 0).result == 1_000
    assert sorted(done) == list(range(1_000))
    assert app.count_jobs(state="completed") == 1_001


def test_job_options_ride_along(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=1), report.using(queue="q", priority=7, tags=["t"], delay=30).call())
    clock.advance(60)

    (fired,) = app.fire_due()

    job = app.get_job(fired.job_id or 0)
    assert (job.queue, job.priority, job.tags, job.state) == ("q", 7, ("t",), State.SCHEDULED)
    assert job.run_at == to_datetime(clock.ms) + timedelta(seconds=30)


def test_a_task_is_told_the_tick_that_it_runs_for(app: Liteq, clock: HandClock) -> None:
    @app.task(name="tell")
    def tell(ctx: JobContext) -> str:
        return str(ctx.fire_at)

    app.schedule("s", every(minutes=1), tell.call())
    clock.advance(90)
    (fired,) = app.fire_due()
    plain = tell.enqueue()
    work(app)

    assert app.get_job(fired.job_id or 0).result == str(to_datetime(clock.ms - 30_000))
    assert plain.refresh().result == "None"


def test_a_job_class_and_a_command_can_be_scheduled(app: Liteq, clock: HandClock) -> None:
    @app.job(name="clean")
    class Clean(Payload, frozen=True):
        days: int = 3

        def handle(self) -> int:
            return self.days

    app.schedule("class", every(minutes=1), Clean(days=5))
    app.schedule("command", every(minutes=1), app.command(["true"]))
    clock.advance(60)
    app.fire_due()
    work(app)

    assert [job.state for job in jobs_of(app)] == [State.COMPLETED] * 2


# Declaring


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


def test_a_schedule_without_a_tick_left_warns_and_is_kept(app: Liteq, clock: HandClock, report: Report) -> None:
    with pytest.warns(ScheduleWarning, match="no tick left"):
        app.schedule("s", at(to_datetime(clock.ms - 1_000)), report.call())

    assert app.schedules["s"].next_fire_at is None
    assert app.fire_due() == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app.schedule("s", at(to_datetime(clock.ms - 1_000)), report.call())


def test_nothing_is_stored_while_a_command_imports_the_application(app: Liteq, report: Report) -> None:
    token = importing.set("tasks")
    try:
        assert app.schedule("s", every(minutes=1), report.call()) is None
    finally:
        importing.reset(token)

    assert "s" not in app.schedules
    assert app.schedules.store_declared() == ["s"]
    assert app.schedules.store_declared() == []


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


# Kinds


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


def test_jitter_delays_the_job_and_not_the_tick(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=10, jitter=300), report.call())
    clock.advance(600)

    (fired,) = app.fire_due()

    job = app.get_job(fired.job_id or 0)
    assert fired.fire_at == to_datetime(clock.ms)
    wanted = app.schedules["s"].schedule.jitter_ms("s", clock.ms)
    assert wanted > 0
    assert (job.run_at - fired.fire_at) / timedelta(milliseconds=1) == wanted


# Misfires


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


# Overlaps


def two_ticks(app: Liteq, clock: HandClock, report: Report, overlap: Any) -> None:
    """Fire twice, the first job still live at the second tick."""
    app.schedule("s", every(minutes=1, overlap=overlap), report.call())
    for _ in range(2):
        clock.advance(60)
        app.fire_due()


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


def test_a_held_unique_key_skips_the_tick_and_leaves_a_trace(app: Liteq, clock: HandClock, report: Report) -> None:
    holder = report.using(unique_key="k").enqueue()
    app.schedule("s", every(minutes=1), report.using(unique_key="k", on_conflict="raise").call())
    clock.advance(60)

    app.fire_due()

    assert counts(app) == {"skipped: unique key": 1}
    assert app.schedules["s"].ticks()[0].job_id == holder.id
    assert app.count_jobs() == 1


# Pausing, filling in


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


# Clocks


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


# Trouble


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


def test_the_status_tells_what_is_due_what_was_fired_and_how_it_went(app: Liteq, clock: HandClock) -> None:
    @app.task(name="flaky")
    def flaky(ctx: JobContext) -> None:
        raise ValueError

    @app.task(name="fine")
    def fine() -> None: ...

    app.schedule("fine", every(minutes=1), fine.call())
    app.schedule("flaky", every(minutes=1), flaky.using(retry=Retry.never()).call())
    app.schedule("paused", every(minutes=1), fine.call())
    app.schedules.pause("paused")
    clock.advance(62)
    before = app.schedules.status()
    clock.advance(5)
    late = app.schedules.status()
    app.fire_due()
    work(app)
    after = app.schedules.status()

    assert (before.schedules, before.due, before.overdue, before.paused) == (3, 2, 0, 1)
    assert late.overdue == 2
    assert (after.due, after.fired, after.average_lateness_ms, after.success_rate) == (0, 2, 7_000, 0.5)
    assert after.next_fire_at == clock.ms - 7_000 + 60_000


def test_a_burst_fires_what_is_due_and_runs_it(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=1), report.call())
    clock.advance(60)

    assert app.work(burst=True).completed == 1
    clock.advance(60)
    assert app.work(burst=True, scheduler=False).completed == 0


def test_what_only_enqueues_never_loads_croniter(tmp_path: Path) -> None:
    code = (
        "import sys; from liteq import Liteq, every; app = Liteq('jobs.db'); note = app.task(name='note')(lambda: 1)\n"
        "app.cron('* * * * *')(note); app.every(minutes=5, name='often')(note); note.enqueue()\n"
        "assert 'croniter' not in sys.modules; app.fire_due(); assert 'croniter' in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


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


def test_a_backfill_leaves_what_is_due_or_waits_to_the_scheduler(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("due", every(minutes=1, overlap="allow"), report.call())
    two_ticks(app, clock, report, "buffer_all")
    clock.advance(60)
    now = to_datetime(clock.ms)

    assert app.schedules.backfill("due", now - timedelta(seconds=1), now) == []
    assert app.schedules.backfill("s", now - timedelta(seconds=90), now) == []
    assert len([one for one in app.fire_due() if one.schedule == "due"]) == 1


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


def test_two_tasks_with_one_name_and_period_are_refused(app: Liteq) -> None:
    @app.every(minutes=10, name="sweep")
    @app.task(name="one")
    def one() -> None: ...

    @app.task(name="two")
    def two() -> None: ...

    with pytest.raises(InvalidName, match="two schedules"):
        app.every(minutes=10, name="sweep")(two)


def test_options_of_a_task_declared_above_its_schedule_count(app: Liteq, clock: HandClock) -> None:
    @app.task(name="heavy", queue="heavy", priority=9)
    @app.every(minutes=1, name="heavy")
    def heavy() -> None: ...

    app.fire_due()
    clock.advance(60)
    (fired,) = app.fire_due()

    job = app.get_job(fired.job_id or 0)
    assert (job.queue, job.priority) == ("heavy", 9)


def test_a_buffered_tick_whose_job_no_database_takes_fails_alone(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("good", every(minutes=1, overlap="buffer_one"), report.call())
    two_ticks(app, clock, report, "buffer_one")
    work(app)
    spoil(app, "s", job=app.schedules["s"].record.job.replace(b'"priority":0', b'"priority":99999999999999999999'))

    fired = {one.schedule: one.success for one in app.fire_due()}

    assert fired == {"good": True, "s": False}
    assert counts(app)["failed"] == 1


def test_cancelling_with_a_unique_key_is_refused(app: Liteq, report: Report) -> None:
    with pytest.raises(InvalidOption, match="unique key"):
        app.schedule("s", every(minutes=1, overlap="cancel_running"), report.using(unique_key="k").call())


def test_an_app_that_was_closed_stores_its_declarations_in_the_next_file(app: Liteq, report: Report) -> None:
    app.every(minutes=2)(report)
    app.fire_due()
    app.close()
    Path(app.path).unlink()

    app.fire_due()

    assert "report" in app.schedules


def test_ticks_without_jobs_make_the_scheduler_rest_as_well(app: Liteq, clock: HandClock, report: Report) -> None:
    with pytest.warns(ScheduleWarning):
        app.schedule("s", every(0.001), report.call())
    scheduler = Scheduler(app.engine, clock)
    for _ in range(2):
        clock.advance(0.001)
        scheduler.fire_due()

    assert counts(app) == {"fired": 1, "skipped: overlap": 1}
    assert scheduler.idle_ms(1_000) >= 10


def test_a_zone_that_is_unknown_here_is_not_taken_for_a_broken_schedule(
    app: Liteq, clock: HandClock, report: Report
) -> None:
    app.schedule("s", cron("0 * * * *", timezone="Europe/Berlin"), report.call())
    spoil(app, "s", spec=app.schedules["s"].record.spec.replace(b"Europe/Berlin", b"Europe/Nowhere"))
    clock.advance(3600)

    assert app.fire_due() == []

    assert (app.schedules["s"].error, app.schedules["s"].next_fire_at) == (None, to_datetime(clock.ms))
