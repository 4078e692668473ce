"""Parts that a task publishes, and who follows them."""

import asyncio
import threading
from datetime import UTC
from typing import Any

import pytest

import liteq.memory
from liteq import (
    InvalidOption,
    Job,
    JobContext,
    JobNotFound,
    Liteq,
    Part,
    PayloadNotSerializable,
    State,
    StreamFull,
    Task,
    Undecodable,
    WaitTimeout,
)
from tests.face.conftest import TWICE, AgainError, run


def test_parts_come_in_order_and_know_their_attempt(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        for n in range(3):
            ctx.publish({"n": n})
        if ctx.attempt == 1:
            raise AgainError

    job = run(app, body, retry=TWICE)
    parts = list(job.stream())

    assert [part.seq for part in parts] == [1, 2, 3, 4, 5, 6]
    assert [part.attempt for part in parts] == [1, 1, 1, 2, 2, 2]
    assert [part.value["n"] for part in parts] == [0, 1, 2] * 2
    assert parts[0].value_as(dict[str, int]) == {"n": 0}
    assert all(part.published_at.tzinfo is UTC for part in parts)
    with pytest.raises(Undecodable):
        parts[0].value_as(int)


def test_a_part_says_which_it_is(app: Liteq) -> None:
    (part,) = run(app, lambda ctx: ctx.publish(1)).stream()
    assert isinstance(part, Part)
    assert repr(part) == "<Part 1 of job 1>"


def test_a_stream_is_resumed_behind_a_part(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        for n in range(5):
            ctx.publish(n)

    job = run(app, body)

    assert [part.value for part in job.stream(after=3)] == [3, 4]
    assert list(job.stream(after=99)) == []
    with pytest.raises(InvalidOption, match="after"):
        job.stream(after=-1)


@pytest.fixture
def ticking(app: Liteq) -> Task[[int], None]:
    app_threads = threading.Event()

    @app.task(name="ticking")
    def tick(ctx: JobContext, parts: int) -> None:
        for n in range(parts):
            ctx.publish(n)
            app_threads.wait(0.1)

    return tick


def test_a_stream_is_followed_while_the_job_runs(app: Liteq, ticking: Task[[int], None]) -> None:
    with app.worker():
        job = ticking.enqueue(12)
        states = [(part.value, job.record.state) for part in job.stream(timeout=20)]

    assert [value for value, _ in states] == list(range(12))
    assert states[0][1] is State.RUNNING


def test_a_stream_is_followed_by_a_coroutine(app: Liteq, ticking: Task[[int], None]) -> None:
    async def follow(job: Job[Any]) -> list[Any]:
        return [part.value async for part in job.astream(timeout=20)]

    with app.worker():
        assert asyncio.run(follow(ticking.enqueue(6))) == list(range(6))


def test_a_coroutine_that_follows_can_be_cancelled(app: Liteq, ticking: Task[[int], None]) -> None:
    async def follow(job: Job[Any]) -> None:
        async with asyncio.timeout(0.2):
            async for _ in job.astream():
                pass

    with pytest.raises(TimeoutError):
        asyncio.run(follow(ticking.enqueue(1)))


def test_following_ends_with_the_time_or_with_the_job(app: Liteq, ticking: Task[[int], None]) -> None:
    job = ticking.enqueue(1)

    with pytest.raises(WaitTimeout):
        list(job.stream(timeout=0.05))
    app.delete_jobs(job.id)
    with pytest.raises(JobNotFound):
        list(job.stream())


def test_a_task_may_read_the_stream_of_a_finished_job_only(app: Liteq, ticking: Task[[int], None]) -> None:
    finished = run(app, lambda ctx: ctx.publish("here"))
    waiting = ticking.using(delay=3600).enqueue(1)

    def body(ctx: JobContext) -> Any:
        with pytest.raises(InvalidOption, match="inside a task"):
            app.get_job(waiting.id).stream()
        return [part.value for part in app.get_job(finished.id).stream()]

    assert run(app, body).result == ["here"]


def test_an_attempt_that_fills_its_stream_is_told(app: Liteq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liteq.memory, "MAX_PARTS", 3)
    monkeypatch.setattr(liteq.memory, "MAX_STREAM_BYTES", 100)

    def body(ctx: JobContext) -> str:
        ctx.publish(1)
        with pytest.raises(StreamFull, match="bytes"):
            ctx.publish("x" * 99)
        ctx.publish(2)
        ctx.publish(3)
        with pytest.raises(StreamFull, match="3 parts"):
            ctx.publish(4)
        with pytest.raises(PayloadNotSerializable, match="part"):
            ctx.publish(object())
        return "done"

    job = run(app, body)
    assert job.result == "done"
    assert [part.value for part in job.stream()] == [1, 2, 3]
