"""How far a job says it is, and what others see of it."""

import asyncio
import threading
from datetime import UTC
from decimal import Decimal
from typing import Any

import pytest

from liteq import InvalidOption, JobContext, Liteq, Progress, State
from tests.face.conftest import TWICE, AgainError, run


def test_the_last_progress_is_kept_with_the_job(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        for n in range(1_000):
            ctx.progress(n)
        ctx.progress(3, 4, "nearly")

    job = run(app, body)

    progress = job.progress
    assert isinstance(progress, Progress)
    assert (progress.done, progress.total, progress.note, progress.attempt) == (3, 4, "nearly", 1)
    assert progress.fraction == 0.75
    assert progress.updated_at.tzinfo is UTC


def test_a_job_that_says_nothing_has_no_progress(app: Liteq) -> None:
    assert run(app, lambda _ctx: None).progress is None


@pytest.mark.parametrize(
    ("said", "fraction"),
    [((3,), None), ((0.5, 1), 0.5), ((0, 0), 1.0), ((2**63 - 1, 2**63 - 1), 1.0), ((0, 10), 0.0)],
)
def test_progress_comes_back_as_it_was_said(app: Liteq, said: tuple[Any, ...], fraction: float | None) -> None:
    job = run(app, lambda ctx: ctx.progress(*said))

    assert job.state is State.COMPLETED
    progress = job.progress
    assert progress is not None
    assert (progress.done, progress.total) == (*said, None)[:2]
    assert type(progress.done) is type(said[0])
    assert progress.fraction == fraction


@pytest.mark.parametrize(
    "said", [(-1,), (float("nan"),), (float("inf"),), (2**63,), (3, 2), (0, -1), (0, float("nan"))]
)
def test_progress_out_of_range_is_refused(app: Liteq, said: tuple[Any, ...]) -> None:
    def body(ctx: JobContext) -> None:
        with pytest.raises(InvalidOption):
            ctx.progress(*said)

    assert run(app, body).state is State.COMPLETED


@pytest.mark.parametrize(
    "said", [(True,), ("1",), (None,), (Decimal(1),), (1, "2"), (1, False), (1, 2, 3), (1, 2, b"")]
)
def test_progress_that_is_no_number_or_note_is_a_mistake_of_type(app: Liteq, said: tuple[Any, ...]) -> None:
    def body(ctx: JobContext) -> None:
        with pytest.raises(TypeError):
            ctx.progress(*said)

    job = run(app, body)
    assert (job.state, job.progress) == (State.COMPLETED, None)


def test_a_note_that_no_database_takes_and_a_long_one_do_no_harm(app: Liteq) -> None:
    job = run(app, lambda ctx: ctx.progress(1, note="\ud800" + "x" * 10_000))

    assert job.progress is not None
    assert job.progress.note == "?" + "x" * 499


def test_progress_is_seen_while_the_job_runs(app: Liteq) -> None:
    seen = threading.Event()

    @app.task(name="long")
    def long(ctx: JobContext) -> None:
        ctx.progress(1, 2, "half")
        assert seen.wait(20)

    with app.worker():
        job = long.enqueue()
        watch = app.engine.watch()
        while job.progress is None:
            watch.wait(500)
        watch.close()
        assert job.refresh().state is State.RUNNING
        assert job.progress.fraction == 0.5
        seen.set()
        job.wait(20)


def test_coroutines_say_how_far_they_are(app: Liteq) -> None:
    @app.task(name="co")
    async def co(ctx: JobContext) -> None:
        ctx.progress(1, 1)
        ctx.publish("a")
        await asyncio.sleep(0)
        ctx.publish("b")

    job = co.enqueue()
    app.work(burst=True)

    assert job.progress is not None
    assert [part.value for part in job.stream()] == ["a", "b"]


def test_a_failed_job_keeps_what_it_said_last(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        ctx.progress(ctx.attempt, 5)
        raise AgainError

    job = run(app, body, retry=TWICE)

    assert job.state is State.DEAD
    assert job.progress is not None
    assert (job.progress.done, job.progress.attempt) == (2, 2)
