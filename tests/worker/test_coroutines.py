"""Coroutine jobs are claimed ahead and reported together: what has not started goes back, and nothing runs twice."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from liteq import JobContext, Liteq, Retry, State
from liteq.worker.worker import Worker


def until(met: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "waited for in vain"
        time.sleep(0.005)


class Nap:
    """A coroutine task that sleeps for so many milliseconds, or until it is let go, and notes which jobs have begun."""

    def __init__(self, app: Liteq) -> None:
        self.begun: list[int] = []
        self.let_go = threading.Event()
        self._app = app
        self._task = app.task(name="nap", retry=Retry.never())(self._nap)

    async def _nap(self, ctx: JobContext, ms: float | None) -> None:
        self.begun.append(ctx.id)
        if ms is not None:
            await asyncio.sleep(ms / 1000)
        else:
            await asyncio.to_thread(self.let_go.wait, 20)

    def enqueue(self, *all_ms: float | None) -> list[int]:
        return [job.id for job in self._app.enqueue_many(self._task.call(ms) for ms in all_ms)]


@contextmanager
def working(app: Liteq, nap: Nap, coroutines: int) -> Iterator[Worker]:
    """Run a worker beside the block, at whose end it is not kept by what is not let go."""
    with app.worker(coroutines=coroutines) as worker:
        try:
            yield worker
        finally:
            nap.let_go.set()


@pytest.fixture
def nap(app: Liteq) -> Nap:
    return Nap(app)


@pytest.mark.parametrize("slots", [1, 3, 100])
def test_every_job_runs_once_and_is_completed(app: Liteq, nap: Nap, slots: int) -> None:
    ids = nap.enqueue(*([0] * 300 + [1, 2, 0, 3] * 50))

    result = app.work(burst=True, coroutines=slots)

    assert result.completed == len(ids)
    assert Counter(nap.begun) == Counter(ids)


def test_what_was_claimed_ahead_goes_back_from_behind_a_long_job(app: Liteq, nap: Nap) -> None:
    nap.enqueue(*[1] * 30, None, *[1] * 30)

    with working(app, nap, 1):
        until(lambda: len(nap.begun) == 31)
        until(lambda: app.count_jobs(state="running") == 1)
        ready, begun = app.count_jobs(state="ready"), len(nap.begun)
        nap.let_go.set()
        until(lambda: app.count_jobs(state="completed") == 61)

    assert (ready, begun) == (30, 31)
    assert len(set(nap.begun)) == 61


def test_what_was_claimed_ahead_goes_back_when_the_worker_stops_though_another_runs_on(app: Liteq, nap: Nap) -> None:
    nap.enqueue(None, *[2] * 400)

    with working(app, nap, 2) as worker:
        until(lambda: len(nap.begun) > 40)
        worker.stop()
        until(lambda: app.count_jobs(state="running") == 1)
        ready, completed = app.count_jobs(state="ready"), app.count_jobs(state="completed")
        nap.let_go.set()

    assert ready + completed == 400
    assert len(nap.begun) == completed + 1
    assert app.count_jobs(state="completed") == completed + 1
    assert app.stats().workers == []


def test_what_was_claimed_ahead_goes_back_from_behind_a_coroutine_that_blocks_the_loop(app: Liteq) -> None:
    free = threading.Event()

    async def perhaps_block(block: bool) -> None:
        if block:
            free.wait(20)

    task = app.task(name="perhaps_block")(perhaps_block)
    app.enqueue_many(task.call(n == 60) for n in range(121))

    with app.worker(coroutines=2):
        until(lambda: app.count_jobs(state="ready") >= 58)
        free.set()
        until(lambda: app.count_jobs(state="completed") == 121)

    assert app.count_jobs() == app.count_jobs(state="completed") == 121


def test_a_coroutine_that_ends_beside_a_long_one_is_reported_soon(app: Liteq, nap: Nap) -> None:
    with working(app, nap, 2):
        nap.enqueue(*[0] * 50)
        until(lambda: app.count_jobs(state="completed") == 50)
        nap.enqueue(None)
        until(lambda: len(nap.begun) == 51)
        nap.enqueue(0)
        # Whatever was forgotten is found when the longest rest is over, after four seconds.
        until(lambda: app.count_jobs(state="completed") == 51, seconds=3)
        assert app.count_jobs(state="running") == 1, "the long one goes on"


def test_a_coroutine_that_has_ended_is_no_longer_noted_as_started(app: Liteq, nap: Nap) -> None:
    with working(app, nap, 3):
        nap.enqueue(None, *[0] * 50)
        until(lambda: app.count_jobs(state="completed") == 50)
        (worker,) = app.engine.workers()

    assert [job.job_id for job in worker.started] == [nap.begun[0]]


def test_no_more_are_claimed_ahead_than_the_worker_may_run(app: Liteq, nap: Nap) -> None:
    nap.enqueue(*[0] * 200)

    result = app.work(coroutines=2, max_jobs=77)

    assert result.completed == 77 == len(nap.begun)
    assert app.count_jobs(state="ready") == 123


def test_a_coroutine_that_cancels_itself_as_it_ends_is_reported_once(app: Liteq) -> None:
    async def odd() -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()

    job = app.task(name="odd", retry=Retry.never())(odd).enqueue()
    app.work(burst=True, coroutines=1)

    assert job.refresh().state is State.DEAD
    assert len(job.attempts) == 1
