"""rq on Redis: a worker that forks a process for every job, and one that does not."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers import redis
from benchmarks.peers.peer import Level, Peer, Queue, Setting
from benchmarks.peers.tally import ran


class RqQueue(Queue):
    """One queue of rq."""

    def __init__(self, path: Path) -> None:
        self._module: Any = import_module("rq")
        self._client = redis.client(path)
        self._queue: Any = self._module.Queue(connection=self._client)

    def enqueue(self) -> None:
        self._queue.enqueue(ran)

    def work(self) -> None:
        self._work("Worker", burst=True)

    def hurry(self) -> None:
        self._work("SimpleWorker", burst=True)

    def serve(self) -> None:
        self._work("Worker", burst=False)

    def left(self) -> int:
        return len(self._queue)

    def _work(self, kind: str, *, burst: bool) -> None:
        worker = getattr(self._module, kind)([self._queue], connection=self._client)
        worker.work(burst=burst, logging_level="WARNING")


@contextmanager
def opened(path: Path, _level: Level) -> Generator[Queue]:
    """Give the queue on the server of ``path``."""
    yield RqQueue(path)


PEER = Peer(
    name="rq, Redis",
    package="rq",
    modules=("rq", "redis"),
    levels={"full": Setting(redis.ALWAYS, 300, 40, 80), "normal": Setting(redis.EVERY_SECOND, 1_000, 50, 150)},
    worker="Worker, a fork a job",
    fastest="SimpleWorker, no fork",
    open=opened,
    pickup=True,
    forks=True,
    program=redis.PROGRAM,
    server=redis.server,
)
