"""Why a job does not start, and how it stands with it in each state."""

from datetime import timedelta

from liteq import Breaker, JobContext, Liteq, Retry
from liteq.ops.reasons import explain_job, why_waiting
from tests.face.conftest import HandClock


def explained(app: Liteq, job_id: int) -> str:
    return explain_job(app.engine, app.get_job(job_id).record, now=app.clock.now_ms())


def test_an_open_breaker_is_named_with_when_it_lets_a_job_through(slow_app: Liteq, clock: HandClock) -> None:
    fails = True
    seen: list[str | None] = []

    @slow_app.task(name="call", retry=Retry.never(), breaker=Breaker(min_calls=2, open_for=timedelta(seconds=30)))
    def call() -> None:
        if fails:
            raise OSError("down")
        # While the trial runs, the one behind it is held up by it.
        seen.append(why_waiting(slow_app.engine, slow_app.get_job(4).record, now=clock.ms))

    for _ in range(4):
        call.enqueue()
    slow_app.work(burst=True, max_jobs=2)

    assert explained(slow_app, 3) == "the breaker of task 'call' is open; one job is let through in 30 s"
    clock.advance(12)
    assert explained(slow_app, 3) == "the breaker of task 'call' is open; one job is let through in 18 s"
    clock.advance(18)
    assert explained(slow_app, 3) == "no worker is alive"
    fails = False
    slow_app.work(burst=True, max_jobs=1)
    assert seen == ["the breaker of task 'call' is half-open: job 3 is on trial"]
    assert explained(slow_app, 4) == "no worker is alive"


def test_a_job_that_waits_names_those_it_waits_for(slow_app: Liteq) -> None:
    @slow_app.task(name="part")
    def part() -> None: ...

    parents = [part.enqueue() for _ in range(7)]
    child = part.using(after=parents).enqueue()
    last = part.using(after=child).enqueue()

    assert explained(slow_app, last.id) == "it waits for job 8 (waiting)"
    assert explained(slow_app, child.id) == (
        "it waits for jobs 1 (ready), 2 (ready), 3 (ready), 4 (ready), 5 (ready) and 2 more"
    )


def test_a_ready_job_says_which_worker_is_missing(slow_app: Liteq) -> None:
    @slow_app.task(name="part")
    def part() -> None: ...

    job, elsewhere = part.enqueue(), part.using(queue="mail").enqueue()
    unknown = slow_app.enqueue(slow_app.command("true").using(queue="mail"))
    heard: list[str] = []

    @slow_app.task(name="look", queue="night", priority=9)
    def look(ctx: JobContext) -> None:
        heard.extend(explained(slow_app, one) for one in (job.id, elsewhere.id, unknown.id, ctx.id))

    look.enqueue()
    assert explained(slow_app, job.id) == "no worker is alive"
    slow_app.work(queues=["night"], burst=True)

    missing = [f"no living worker serves queue {queue!r}" for queue in ("default", "mail", "mail")]
    assert heard == [*missing, "worker 1 has had it since 2027-01-15T08:00:00+00:00, attempt 1"]


def test_scheduled_and_ended_jobs_say_when_and_how(slow_app: Liteq) -> None:
    @slow_app.task(name="part", retry=Retry(max_failures=2, backoff=60, jitter=0))
    def part(fail: bool = False) -> None:
        if fail:
            raise ValueError("no")

    later, retried, done, gone = (
        part.using(delay=60).enqueue(),
        part.enqueue(fail=True),
        part.enqueue(),
        part.using(delay=90).enqueue(),
    )
    slow_app.cancel(gone.id, reason="not needed")
    slow_app.work(max_jobs=2)

    assert explained(slow_app, later.id) == "it is due at 2027-01-15T08:01:00+00:00"
    assert explained(slow_app, retried.id) == "attempt 1 is over; it is due at 2027-01-15T08:01:00+00:00"
    assert explained(slow_app, done.id) == "it has ended at 2027-01-15T08:00:00+00:00"
    assert explained(slow_app, gone.id) == "not needed"
