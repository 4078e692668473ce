"""Jobs by id and by filter, waiting, results, queues, totals, consumer style."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from liteq import (
    FileMissing,
    GiveUp,
    InvalidOption,
    JobContext,
    JobNotFound,
    LeaseLost,
    Liteq,
    NotCompleted,
    Retry,
    Snooze,
    State,
    WaitTimeout,
    WrongState,
)
from tests.face.conftest import HandClock


def work(n: int) -> int:
    if n < 0:
        raise ValueError(f"{n} is negative")
    return n


def test_waiting_gives_the_result_as_soon_as_another_thread_has_it(app: Liteq) -> None:
    task = app.task(work)

    with app.worker():
        assert task.enqueue(7).wait(timeout=20).result == 7


def test_waiting_ends_with_an_error_when_nobody_works(app: Liteq) -> None:
    job = app.task(work).enqueue(1)

    with pytest.raises(WaitTimeout, match="still ready"):
        job.wait(timeout=0.05)


def test_waiting_inside_a_task_is_refused(app: Liteq) -> None:
    inner = app.task(work)

    @app.task(name="outer", retry=Retry.never())
    def outer() -> None:
        inner.enqueue(1).wait()

    job = outer.enqueue()
    app.work(burst=True)

    assert job.refresh().state is State.DEAD
    assert "inside a task" in (job.reason or "")


def test_the_result_of_a_job_that_did_not_complete_is_an_error_that_says_why(app: Liteq) -> None:
    job = app.task(retry=Retry.never())(work).enqueue(-1)
    app.work(burst=True)

    with pytest.raises(NotCompleted, match="-1 is negative"):
        _ = job.refresh().result


def test_a_failing_job_is_retried_until_its_budget_is_spent_and_keeps_its_story(app: Liteq) -> None:
    task = app.task(retry=Retry(max_failures=3, backoff=0.01))(work)

    job = task.enqueue(-1)
    result = app.work(burst=True)

    assert (result.retried, result.dead) == (2, 1)
    assert [attempt.attempt for attempt in job.refresh().attempts] == [1, 2, 3]
    assert all("ValueError: -1 is negative" in (attempt.traceback or "") for attempt in job.attempts)
    assert job.failures == 3


def test_give_up_and_unwanted_errors_end_a_job_at_once(app: Liteq) -> None:
    @app.task(name="gives_up")
    def gives_up() -> None:
        raise GiveUp("no such address")

    picky = app.task(name="picky", retry=Retry(give_up_on=(ValueError,)))(work)

    gone, refused = gives_up.enqueue(), picky.enqueue(-1)
    app.work(burst=True)

    assert gone.refresh().reason == "gave up: no such address"
    assert refused.refresh().reason == "not worth a retry: ValueError: -1 is negative"


def test_a_snooze_is_no_failure(app: Liteq) -> None:
    seen: list[int] = []

    @app.task(name="sleepy")
    def sleepy(ctx: JobContext) -> None:
        seen.append(ctx.attempt)
        if ctx.attempt < 3:
            raise Snooze(timedelta(milliseconds=5))

    job = sleepy.enqueue()
    app.work(burst=True)

    assert seen == [1, 2, 3]
    assert (job.refresh().state, job.failures) == (State.COMPLETED, 0)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), BaseException("odd")])
def test_what_would_end_a_process_ends_only_the_attempt(app: Liteq, error: BaseException) -> None:
    @app.task(name="rude", retry=Retry.never())
    def rude() -> None:
        raise error

    job, after = rude.enqueue(), app.task(work).enqueue(1)
    app.work(burst=True)

    assert job.refresh().state is State.DEAD
    assert job.attempts[0].outcome == "crashed"
    assert after.refresh().state is State.COMPLETED


def test_a_result_that_cannot_be_stored_leaves_the_job_completed(app: Liteq) -> None:
    @app.task(name="odd")
    def odd() -> object:
        return object()

    job = odd.enqueue()
    app.work(burst=True)

    assert job.refresh().state is State.COMPLETED
    with pytest.raises(NotCompleted, match="was not stored"):
        _ = job.result


def test_log_records_of_a_run_are_kept_with_the_attempt(app: Liteq) -> None:
    @app.task(name="chatty")
    def chatty(ctx: JobContext) -> None:
        ctx.log.warning("half way")

    job = chatty.enqueue()
    app.work(burst=True)

    assert "half way" in (job.attempts[0].log or "")


def test_jobs_are_cancelled_requeued_rescheduled_and_deleted_by_id(app: Liteq) -> None:
    job = app.task(work).enqueue(1)

    app.reschedule(job.id, delay=3600, priority=7, to_queue="later")
    assert (job.refresh().state, job.priority, job.queue) == (State.SCHEDULED, 7, "later")
    app.cancel(job.id, reason="changed my mind")
    assert (job.refresh().state, job.reason) == (State.CANCELLED, "changed my mind")
    app.requeue(job.id)
    assert job.refresh().state is State.READY
    app.delete_jobs(job.id)
    with pytest.raises(JobNotFound):
        job.refresh()


def test_a_verb_that_the_state_does_not_allow_says_so(app: Liteq) -> None:
    job = app.task(work).enqueue(1)
    app.work(burst=True)

    with pytest.raises(WrongState, match="completed"):
        app.cancel(job.id)
    with pytest.raises(JobNotFound):
        app.cancel(job.id + 100)
    with pytest.raises(InvalidOption, match="id or a filter"):
        app.delete_jobs()


def test_verbs_reach_everything_that_a_filter_matches(app: Liteq) -> None:
    task = app.task(work)
    app.enqueue_many(task.using(queue="mail", tags=["news"]).call(n) for n in range(1200))
    other = task.enqueue(1)

    gone = app.cancel(tag="news", state="ready")

    assert len(gone) == 1200
    assert app.count_jobs(state="cancelled", queue="mail") == 1200
    assert other.refresh().state is State.READY


def test_an_unknown_state_or_filter_is_refused(app: Liteq) -> None:
    with pytest.raises(InvalidOption, match="known are"):
        app.list_jobs(state="broken")


def test_a_paused_queue_stands_still_and_the_others_go_on(app: Liteq) -> None:
    task = app.task(work)
    held, other = task.using(queue="mail").enqueue(1), task.enqueue(2)

    app.pause_queue("mail", reason="provider down")
    app.work(burst=True)
    assert (held.refresh().state, other.refresh().state) == (State.READY, State.COMPLETED)
    assert [queue.paused for queue in app.stats().queues if queue.name == "mail"] == [True]

    assert app.resume_queue("mail")
    app.work(burst=True)
    assert held.refresh().state is State.COMPLETED


def test_delayed_jobs_wait_for_their_time(slow_app: Liteq, clock: HandClock) -> None:
    job = slow_app.task(work).using(delay=60).enqueue(1)

    slow_app.work(burst=True)
    assert job.refresh().state is State.SCHEDULED

    clock.advance(60)
    slow_app.work(burst=True)
    assert job.refresh().state is State.COMPLETED


def test_stats_tell_sizes_ages_and_rates(slow_app: Liteq, clock: HandClock) -> None:
    task = slow_app.task(work)
    for n in range(3):
        task.using(priority=n).enqueue(n)
    task.using(delay=60).enqueue(9)
    clock.advance(5)

    stats = slow_app.stats()

    assert (stats.live, stats.dead) == (4, 0)
    queue = stats.queues[0]
    assert (queue.ready, queue.scheduled, queue.oldest_ready_ms) == (3, 1, 5000)
    assert queue.by_priority == {2: 1, 1: 1, 0: 1}


def test_consumer_style_reports_each_claim_by_its_own_verbs(app: Liteq) -> None:
    task = app.task(work)
    jobs = app.enqueue_many(task.call(n) for n in range(5))
    done: list[int] = []

    with app.claims(wait=False) as claims:
        for claim in claims:
            verbs: list[Callable[[], None]] = [
                lambda claim=claim: claim.complete({"ok": True}),  # type: ignore[misc]
                lambda claim=claim: claim.retry("not yet", delay=60),  # type: ignore[misc]
                lambda claim=claim: claim.dead_letter("never"),  # type: ignore[misc]
                lambda claim=claim: claim.snooze(60),  # type: ignore[misc]
                lambda: None,
            ]
            verbs[len(done)]()
            done.append(claim.id)
            if len(done) == 5:
                break

    states = [job.refresh().state for job in jobs]
    assert states == [State.COMPLETED, State.SCHEDULED, State.DEAD, State.SCHEDULED, State.READY]
    assert jobs[0].record.result == b'{"ok":true}'


def test_a_claim_is_reported_once(app: Liteq) -> None:
    app.task(work).enqueue(1)

    with app.claims(wait=False) as claims:
        claim = next(claims)
        claim.complete()

        with pytest.raises((WrongState, LeaseLost)):
            claim.complete()


def test_threads_may_share_one_app(app: Liteq) -> None:
    task = app.task(work)
    threads = [threading.Thread(target=lambda: [task.enqueue(n) for n in range(50)], daemon=True) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert app.count_jobs(state="ready") == 400


def test_an_app_that_may_not_create_says_where_it_looked(tmp_path: Path) -> None:
    app = Liteq(tmp_path / "none.db", create=False)

    with pytest.raises(FileMissing, match=r"none\.db"):
        app.stats()


def test_a_rotten_payload_is_quarantined_and_the_next_job_runs(app: Liteq, tmp_path: Path) -> None:
    task = app.task(work)
    rotten, sound = task.enqueue(1), task.enqueue(2)
    app.close()
    _spoil(tmp_path / "jobs.db", rotten.id)

    app.work(burst=True)

    assert app.get_job(rotten.id).reason == "undecodable: the stored arguments do not match their checksum"
    assert app.get_job(sound.id).state is State.COMPLETED


def _spoil(path: Path, job_id: int) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE liteq_job SET args = x'7b00' WHERE id = ?", (job_id,))
    connection.close()
