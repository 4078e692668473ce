"""An app on a fresh file, one whose clock a test moves, and how their jobs are run."""

import threading
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


class Broken(Exception):  # noqa: N818  no error of liteq
    """What a test raises inside a block."""


def nothing(number: int = 0) -> int:
    return number


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Liteq]:
    """Give an app on a file that it shares with a shop: orders, a trigger that notes each, a view of the large ones."""
    with Liteq(tmp_path / "shop.db", durability="normal", shared=True) as app:
        app.task(name="ship")(nothing)
        with app.transaction() as tx:
            for sql in (
                "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL CHECK (amount > 0))",
                "CREATE TABLE noted (order_id INTEGER)",
                "CREATE TABLE parts (order_id INTEGER REFERENCES orders (id) ON DELETE CASCADE)",
                "CREATE TABLE later (order_id INTEGER REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED)",
                "CREATE TRIGGER note AFTER INSERT ON orders BEGIN INSERT INTO noted VALUES (new.id); END",
                "CREATE VIEW large AS SELECT id FROM orders WHERE amount > 100",
            ):
                tx.execute(sql)
        yield app


def ship(app: Liteq, number: int = 0) -> int:
    return app.enqueue(app.call("ship", number)).id


def rows(app: Liteq, sql: str) -> list[tuple[Any, ...]]:
    with app.transaction() as tx:
        return tx.execute(sql)


def orders(app: Liteq) -> list[int]:
    return [row[0] for row in rows(app, "SELECT id FROM orders ORDER BY id")]


def run_in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


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
