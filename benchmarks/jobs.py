"""The jobs that are measured: they do nothing, or say when they began."""

import time
from pathlib import Path
from typing import Literal, NamedTuple

from liteq import Liteq, Task

Durability = Literal["full", "normal"]
BOTH: tuple[Durability, ...] = ("full", "normal")


class Jobs(NamedTuple):
    """An app and its tasks."""

    app: Liteq
    noop: Task[[], None]
    stamp: Task[[], int]


def declare(path: Path, durability: Durability) -> Jobs:
    """Give an app on the file with the measured tasks; their names do not depend on the process."""
    app = Liteq(path, durability=durability)

    @app.task(name="noop")
    def noop() -> None:
        pass

    @app.task(name="stamp")
    def stamp() -> int:
        return time.time_ns()

    return Jobs(app, noop, stamp)


def declare_coroutine(app: Liteq) -> Task[[], None]:
    """Add a coroutine task; a worker has an event loop only if there is one."""

    @app.task(name="async_noop")
    async def async_noop() -> None:
        pass

    return async_noop


def declare_echo(app: Liteq) -> Task[[str], int]:
    """Add a task that takes a text of any length and gives that."""

    @app.task(name="echo")
    def echo(text: str) -> int:
        return len(text)

    return echo
