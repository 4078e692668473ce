"""An app on a fresh file, one whose clock a test moves, and how their jobs are run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from liteq import Job, JobContext, Liteq, Retry

TWICE = Retry(max_failures=2, backoff=0, jitter=0)


class AgainError(Exception):
    """What a task raises here to be run again."""


class HandClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Liteq]:
    with Liteq(tmp_path / "jobs.db", durability="normal") as app:
        yield app


@pytest.fixture
def slow_app(tmp_path: Path, clock: HandClock) -> Iterator[Liteq]:
    with Liteq(tmp_path / "slow.db", durability="normal", clock=clock) as app:
        yield app


def work(app: Liteq) -> None:
    app.work(burst=True, scheduler=False)


def run(app: Liteq, body: Callable[[JobContext], Any], **settings: Any) -> Job[Any]:
    """Run a job of the body to its end."""

    @app.task(name=f"task{len(list(app.tasks))}", **settings)
    def task(ctx: JobContext) -> Any:
        return body(ctx)

    job = task.enqueue()
    app.work(burst=True)
    return job.refresh()
