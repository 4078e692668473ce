"""The jobs that are measured: they do nothing, or say when they began."""

import time
from pathlib import Path
from typing import Literal, NamedTuple

from liteq import Liteq, Task

Durability = Literal["full", "normal"]


class Jobs(NamedTuple):
    """An app and its tasks."""

    app: Liteq
    noop: Task[[], None]
    async_noop: Task[[], None]
    stamp: Task[[], int]


def declare(path: Path, durability: Durability) -> Jobs:
    """Give an app on the file with the measured tasks; their names do not depend on the process."""
    app = Liteq(path, durability=durability)

    @app.task(name="noop")
    def noop() -> None:
        pass

    @app.task(name="async_noop")
    async def async_noop() -> None:
        pass

    @app.task(name="stamp")
    def stamp() -> int:
        return time.time_ns()

    return Jobs(app, noop, async_noop, stamp)
