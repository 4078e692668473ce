"""The jobs that are measured: they do nothing, say when they began, or take a known time."""

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
    mail: Task[[str, int], None]


class Bodies(NamedTuple):
    """Tasks that take so many milliseconds: asleep, or of the CPU."""

    doze: Task[[int], None]
    burn: Task[[int], None]


def declare(path: Path, durability: Durability) -> Jobs:
    """Give an app on the file with the measured tasks; their names do not depend on the process."""
    app = Liteq(path, durability=durability)

    @app.task(name="noop")
    def noop() -> None:
        pass

    @app.task(name="stamp")
    def stamp() -> int:
        return time.time_ns()

    @app.task(name="mail")
    def mail(to: str, number: int) -> None:
        pass

    return Jobs(app, noop, stamp, mail)


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


def declare_bodies(app: Liteq) -> Bodies:
    """Add the functions that take a known time."""
    return Bodies(app.task(name="doze")(doze), app.task(name="burn")(burn))


def declare_coroutine_body(app: Liteq) -> Task[[int], None]:
    """Add a coroutine task that sleeps for so many milliseconds."""

    @app.task(name="doze_async")
    async def doze_async(ms: int) -> None:
        import asyncio  # noqa: PLC0415  the other tasks are measured without it

        await asyncio.sleep(ms / 1000)

    return doze_async


def doze(ms: int) -> None:
    """Sleep so long."""
    time.sleep(ms / 1000)


def burn(ms: int) -> None:
    """Use so much CPU time in this thread; what others take from the core meanwhile does not count."""
    end = time.thread_time_ns() + ms * 1_000_000
    while time.thread_time_ns() < end:
        pass
