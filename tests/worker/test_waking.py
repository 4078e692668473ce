"""What an idle worker wakes for: all that lets it claim a job, be it a commit, an instant or a clock that was set."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from liteq import Liteq
from liteq.clock import SystemClock
from liteq.worker.desk import Desk
from liteq.worker.settings import WorkSettings

PATIENCE_S = 5.0
HOUR_MS = 3_600_000


class SetClock(SystemClock):
    """The machine's clock, which somebody sets."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def app(tmp_path: Path, clock: SetClock) -> Iterator[Liteq]:
    with Liteq(tmp_path / "jobs.db", durability="normal", clock=clock) as app:
        yield app


def comes_true(what: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_a_worker_that_waits_for_a_token_sees_that_the_clock_was_set_back(app: Liteq, clock: SetClock) -> None:
    ran: list[int] = []
    task = app.task(name="task", rate="1/hour")(ran.append)
    task.enqueue(1)
    task.enqueue(2)

    with app.worker(scheduler=False):
        assert comes_true(lambda: len(ran) == 1)
        time.sleep(0.5)
        clock.ahead_ms = -3 * HOUR_MS

        assert comes_true(lambda: len(ran) == 2), "no token is ever further away than one interval"


def test_a_token_that_comes_between_the_look_and_the_wait_is_not_slept_through(
    app: Liteq, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    task = app.task(name="task", rate="1/hour")(ran.append)
    task.enqueue(1)
    task.enqueue(2)
    next_due = Desk.next_due

    def ask_late(desk: Desk, *args: Any) -> int | None:
        clock.ahead_ms = HOUR_MS
        return next_due(desk, *args)

    with app.worker(scheduler=False):
        assert comes_true(lambda: len(ran) == 1)
        time.sleep(0.5)
        monkeypatch.setattr(Desk, "next_due", ask_late)
        app.task(name="other")(ran.append).enqueue(3)

        assert comes_true(lambda: 2 in ran)


def test_a_worker_with_few_jobs_left_looks_again_for_what_its_coroutines_had_reserved(
    app: Liteq, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    task = app.task(name="task")(ran.append)

    @app.task(name="coroutine")
    async def coroutine() -> None: ...

    claim = Desk._claim
    reserved, looked = threading.Event(), threading.Event()

    def claim_late(desk: Desk, tasks: Any, limit: int) -> Any:
        if tasks == ("coroutine",) and not looked.is_set():
            reserved.set()
            time.sleep(1)
            looked.set()
        return claim(desk, tasks, limit)

    exchange = Desk.exchange

    def exchange_second(desk: Desk, verdicts: Any, *, tasks: Any, limit: int) -> Any:
        if tasks != ("coroutine",):
            assert reserved.wait(PATIENCE_S)
        return exchange(desk, verdicts, tasks=tasks, limit=limit)

    monkeypatch.setattr(Desk, "_claim", claim_late)
    monkeypatch.setattr(Desk, "exchange", exchange_second)
    task.enqueue(1)
    worker = app.new_worker(WorkSettings(max_jobs=1, scheduler=False))
    worker.start()
    try:
        assert comes_true(lambda: ran == [1])
    finally:
        worker.stop()
        worker.join()
