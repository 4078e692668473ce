"""What a due schedule makes: a job like any other, with the options and the tick it was made for."""

from datetime import timedelta
from typing import Any

from liteq import Job, JobContext, Liteq, Payload, Retry, State, every
from liteq.clock import to_datetime
from tests.face.conftest import HandClock, work
from tests.face.schedules.conftest import Report


def jobs_of(app: Liteq) -> list[Job[Any]]:
    """Give every job, the oldest first."""
    return sorted(app.list_jobs(limit=10_000), key=lambda job: job.id)


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


def test_jitter_delays_the_job_and_not_the_tick(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=10, jitter=300), report.call())
    clock.advance(600)

    (fired,) = app.fire_due()

    job = app.get_job(fired.job_id or 0)
    assert fired.fire_at == to_datetime(clock.ms)
    wanted = app.schedules["s"].schedule.jitter_ms("s", clock.ms)
    assert wanted > 0
    assert (job.run_at - fired.fire_at) / timedelta(milliseconds=1) == wanted


def test_a_burst_fires_what_is_due_and_runs_it(app: Liteq, clock: HandClock, report: Report) -> None:
    app.schedule("s", every(minutes=1), report.call())
    clock.advance(60)

    assert app.work(burst=True).completed == 1
    clock.advance(60)
    assert app.work(burst=True, scheduler=False).completed == 0


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
