"""What a task keeps for its next attempt, and how long that lives."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from liteq import GiveUp, JobContext, Liteq, PayloadNotSerializable, PayloadTooLarge, Retry, Snooze, Undecodable
from tests.face.conftest import AgainError, run


def test_a_checkpoint_reaches_the_next_attempt(app: Liteq) -> None:
    def body(ctx: JobContext) -> list[int]:
        done: list[int] = ctx.saved(list[int], default=[])
        assert done == list(range(ctx.attempt - 1))
        ctx.checkpoint([*done, len(done)])
        assert ctx.saved() == [*done, len(done)]
        if ctx.attempt < 3:
            raise AgainError
        return done

    assert run(app, body, retry=Retry(max_failures=3, backoff=0, jitter=0)).result == [0, 1]


def test_nothing_saved_is_none_or_the_default(app: Liteq) -> None:
    assert run(app, lambda ctx: [ctx.saved(), ctx.saved(int), ctx.saved(int, 7)]).result == [None, None, 7]


def test_a_checkpoint_of_another_type_cannot_be_read(app: Liteq) -> None:
    def body(ctx: JobContext) -> str:
        ctx.checkpoint({"a": datetime(2027, 1, 1, tzinfo=UTC)})
        assert ctx.saved(dict[str, datetime]) == {"a": datetime(2027, 1, 1, tzinfo=UTC)}
        with pytest.raises(Undecodable, match="checkpoint"):
            ctx.saved(int)
        return "done"

    assert run(app, body).result == "done"


def test_a_checkpoint_that_json_cannot_carry_or_too_large_is_refused(app: Liteq) -> None:
    def body(ctx: JobContext) -> str:
        ctx.checkpoint(1)
        with pytest.raises(PayloadNotSerializable, match=r"checkpoint\.a"):
            ctx.checkpoint({"a": object()})
        with pytest.raises(PayloadTooLarge, match="max_payload"):
            ctx.checkpoint("x" * 2**20)
        return cast("str", ctx.saved())

    assert run(app, body).result == 1


def test_coroutines_keep_without_stopping_the_loop(app: Liteq) -> None:
    @app.task(name="co")
    async def co(ctx: JobContext) -> Any:
        await ctx.acheckpoint({"n": 1})
        return ctx.saved()

    job = co.enqueue()
    app.work(burst=True)
    assert job.refresh().result == {"n": 1}


def test_a_snoozed_job_keeps_its_checkpoint(app: Liteq) -> None:
    def body(ctx: JobContext) -> Any:
        if ctx.attempt == 1:
            ctx.checkpoint("kept")
            raise Snooze(0)
        return ctx.saved()

    assert run(app, body).result == "kept"


def test_a_dead_job_requeued_by_hand_goes_on_and_a_completed_one_begins_anew(app: Liteq) -> None:
    seen: list[Any] = []

    @app.task(name="job", retry=Retry.never())
    def task(ctx: JobContext) -> None:
        seen.append((ctx.saved(), ctx.step("one", lambda: ctx.attempt)))
        ctx.checkpoint(ctx.attempt)
        ctx.publish(ctx.attempt)
        if ctx.attempt == 1:
            raise GiveUp("mend me")

    job = task.enqueue()
    for _ in range(3):
        app.work(burst=True)
        app.requeue(job.id)
    app.cancel(job.id)
    app.requeue(job.id)
    app.work(burst=True)

    assert seen == [(None, 1), (1, 1), (None, 3), (None, 4)]
    assert [(part.seq, part.attempt) for part in job.stream()] == [(n, n) for n in range(1, 5)]


def test_what_a_job_said_and_kept_goes_with_it(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        ctx.progress(1)
        ctx.checkpoint(1)
        ctx.step("one", int)
        ctx.publish(1)

    job = run(app, body)
    app.delete_jobs(job.id)

    engine = app.engine
    assert (engine.progress([job.id]), engine.checkpoint(job.id), engine.steps(job.id)) == ({}, None, [])
    assert (engine.parts(job.id, after=0, limit=9), engine.stream(job.id)) == ([], None)
