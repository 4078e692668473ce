"""What type checkers know of tasks. mypy reads this file: an ignore that is not needed is an error there."""

from typing import Any, assert_type

from liteq import Job, JobContext, Liteq, StoredJobs, Task


def test_enqueue_has_the_functions_own_parameters_and_result(app: Liteq) -> None:
    @app.task(name="add")
    def add(a: int, b: int = 2) -> str:
        return str(a + b)

    @app.task(name="told")
    def told(ctx: JobContext, word: str) -> int:
        return len(word) + ctx.attempt

    @app.task(name="later")
    async def later(x: float) -> bytes:
        return bytes(int(x))

    job = add.enqueue(1, b=3)
    word = told.enqueue("abc")
    streamed = app.enqueue_many([add.call(1)], chunk=5)
    listed = app.enqueue_many([add.call(1)])
    wait = later.using(priority=3).enqueue(1.5)
    app.work(burst=True)

    assert_type(job, Job[str])
    assert_type(streamed, StoredJobs)
    assert_type(listed, list[Job[Any]])
    assert_type(word.refresh().result, int)
    assert_type(wait, Job[bytes])
    assert (job.refresh().result, word.result, wait.refresh().result) == ("4", 4, b"\0")


def wrong_calls_that_a_checker_must_refuse(add: Task[[int], str]) -> None:
    add.enqueue("one")  # type: ignore[arg-type]
    add.enqueue(1, 2)  # type: ignore[call-arg]
    add.using(priority="high")  # type: ignore[arg-type]
    add.using(colour="red")  # type: ignore[call-arg]
