"""dramatiq on Redis: actors, messages that are fetched ahead and acknowledged one by one."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any

from benchmarks.peers import redis
from benchmarks.peers.peer import DEADLINE_S, Level, Peer, Queue, Setting
from benchmarks.peers.tally import TALLY, ran

QUEUE = "bench"
THREADS = 8


class Actor(Queue):
    """One actor on a broker."""

    def __init__(self, path: Path) -> None:
        self._module: Any = import_module("dramatiq")
        brokers: Any = import_module("dramatiq.brokers.redis")
        self._broker: Any = brokers.RedisBroker(client=redis.client(path))
        self._actor: Any = self._module.actor(ran, queue_name=QUEUE, broker=self._broker)

    def enqueue(self) -> None:
        self._actor.send()

    def work(self) -> None:
        self._work(threads=1)

    def hurry(self) -> None:
        self._work(threads=THREADS)

    def serve(self) -> None:
        self._module.Worker(self._broker, worker_threads=1).start()
        Event().wait()

    def left(self) -> int:
        return int(self._broker.do_qsize(QUEUE))

    def _work(self, *, threads: int) -> None:
        worker = self._module.Worker(self._broker, worker_threads=threads)
        worker.start()
        TALLY.done.wait(DEADLINE_S)
        worker.join()
        worker.stop()


@contextmanager
def opened(path: Path, _level: Level) -> Generator[Queue]:
    """Give the actor on the server of ``path``."""
    queue = Actor(path)
    yield queue


PEER = Peer(
    name="dramatiq, Redis",
    package="dramatiq",
    modules=("dramatiq", "redis"),
    levels={"full": Setting(redis.ALWAYS, 1_000, 300, 1_000), "normal": Setting(redis.EVERY_SECOND, 2_000, 300, 1_500)},
    worker="Worker, one thread",
    fastest=f"{THREADS} threads",
    open=opened,
    pickup=True,
    program=redis.PROGRAM,
    server=redis.server,
)
