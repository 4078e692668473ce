"""What a killed worker's job has kept, and what another process sees of a job while it runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from liteq import Liteq, State

CREW = """
import asyncio, os, signal, sys, time
from liteq import JobContext, LeaseLost, Liteq

app = Liteq("jobs.db", durability="normal", lease=1)

def mark(word: str) -> None:
    descriptor = os.open("marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{word}\\n".encode())
    os.close(descriptor)

def act(number: int, attempt: int) -> int:
    mark(f"step {number} in attempt {attempt}")
    if number == 3 and attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * 10

@app.task(name="five")
def five(ctx: JobContext) -> list[int]:
    return [ctx.step(f"step {n}", act, n, ctx.attempt) for n in range(1, 6)]

async def act_async(number: int, attempt: int) -> int:
    await asyncio.sleep(0)
    return act(number, attempt)

@app.task(name="five_async")
async def five_async(ctx: JobContext) -> list[int]:
    return [await ctx.step(f"step {n}", act_async, n, ctx.attempt) for n in range(1, 6)]

@app.task(name="count")
def count(ctx: JobContext) -> int:
    for n in range(ctx.saved(int, default=0), 6):
        mark(f"{n} in attempt {ctx.attempt}")
        ctx.publish(n)
        ctx.checkpoint(n + 1)
        if n == 2 and ctx.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return ctx.saved(int)

@app.task(name="tell")
def tell(ctx: JobContext, parts: int) -> None:
    for n in range(parts):
        ctx.progress(n + 1, parts, f"word {n}")
        ctx.publish(n)
        time.sleep(0.02)

@app.task(name="pour")
def pour(ctx: JobContext, parts: int) -> None:
    for n in range(parts):
        ctx.publish(n)

@app.task(name="hold")
def hold(ctx: JobContext) -> str:
    if ctx.attempt == 1:
        mark("attempt 1 holds")
        while not ctx.lost:
            time.sleep(0.01)
    try:
        ctx.checkpoint(f"attempt {ctx.attempt}")
    except LeaseLost:
        mark(f"attempt {ctx.attempt} is late")
        raise
    mark(f"attempt {ctx.attempt} kept")
    return ctx.saved(str)

if __name__ == "__main__":
    app.work(burst="burst" in sys.argv, scheduler=False)
"""


def nothing() -> None:
    """Stand for the crew's tasks where they are only enqueued."""


def counted(parts: int) -> None:
    """Stand for those that take a number."""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Liteq]:
    (tmp_path / "crew.py").write_text(CREW)
    monkeypatch.chdir(tmp_path)
    with Liteq("jobs.db", durability="normal") as app:
        app.engine.queues()
        yield app


@contextmanager
def worker(*words: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "crew.py", *words])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def marks() -> list[str]:
    path = Path("marks")
    return path.read_text().splitlines() if path.exists() else []


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


@pytest.mark.parametrize("name", ["five", "five_async"])
def test_steps_that_were_done_before_a_kill_are_not_run_again(app: Liteq, name: str) -> None:
    job = app.task(name=name)(nothing).enqueue()

    with worker() as first:
        assert first.wait(30) == -9
    assert [step.name for step in app.engine.steps(job.id)] == ["step 1", "step 2"]
    with worker():
        job.wait(30)

    assert marks() == [
        "step 1 in attempt 1",
        "step 2 in attempt 1",
        "step 3 in attempt 1",
        "step 3 in attempt 2",
        "step 4 in attempt 2",
        "step 5 in attempt 2",
    ]
    assert job.refresh().record.result == b"[10,20,30,40,50]"
    assert [step.attempt for step in app.engine.steps(job.id)] == [1, 1, 2, 2, 2]


def test_a_killed_jobs_checkpoint_reaches_its_next_attempt(app: Liteq) -> None:
    job = app.task(name="count")(nothing).enqueue()

    with worker() as first:
        assert first.wait(30) == -9
    with worker():
        job.wait(30)

    assert marks() == [f"{n} in attempt {1 if n < 3 else 2}" for n in range(6)]
    assert job.refresh().record.result == b"6"
    # What was published before a checkpoint is as safe as that: the next attempt does not say it again.
    assert [(part.value, part.attempt) for part in job.stream()] == [(n, 1 if n < 3 else 2) for n in range(6)]


def test_another_process_follows_progress_and_parts_as_they_come(app: Liteq) -> None:
    job = app.task(name="tell")(counted).enqueue(60)
    seen: list[tuple[int, State]] = []
    told: set[float] = set()

    with worker("burst"):
        for part in job.stream(timeout=30):
            seen.append((part.value, job.record.state))
            progress = job.progress
            assert progress is not None
            told.add(progress.done)

    assert [value for value, _ in seen] == list(range(60))
    assert State.RUNNING in {state for _, state in seen}
    assert len(told) > 1
    last = job.progress
    assert last is not None
    assert (last.done, last.fraction, last.note) == (60, 1.0, "word 59")


def test_many_parts_take_few_commits_and_are_all_there_when_the_job_has_ended(app: Liteq) -> None:
    job = app.task(name="pour")(counted).enqueue(9_000)

    with worker("burst") as process:
        assert process.wait(30) == 0

    assert job.refresh().state is State.COMPLETED
    assert [part.value for part in job.stream()] == list(range(9_000))


def test_a_late_attempt_keeps_nothing_and_is_told(app: Liteq) -> None:
    job = app.task(name="hold")(nothing).enqueue()

    with worker() as slow:
        until(marks)
        os.kill(slow.pid, signal.SIGSTOP)
        with worker():
            job.wait(30)
        os.kill(slow.pid, signal.SIGCONT)
        until(lambda: len(marks()) == 3)

    assert marks() == ["attempt 1 holds", "attempt 2 kept", "attempt 1 is late"]
    assert app.engine.checkpoint(job.id) == b'"attempt 2"'
    assert job.refresh().record.result == b'"attempt 2"'
