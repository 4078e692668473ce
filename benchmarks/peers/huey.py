"""huey's SqliteHuey: rows that are deleted when they are handed out, workers that poll."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import DEADLINE_S, Level, Peer, Queue, Setting
from benchmarks.peers.tally import TALLY, ran


class HueyQueue(Queue):
    """A SqliteHuey with one task."""

    def __init__(self, path: Path, level: Level) -> None:
        module: Any = import_module("huey")
        self._huey: Any = module.SqliteHuey(filename=str(path), fsync=level == "full")
        self._task: Any = self._huey.task()(ran)

    def enqueue(self) -> None:
        self._task()

    def work(self) -> None:
        consumer = self._consumer()
        consumer.start()
        TALLY.done.wait(DEADLINE_S)
        consumer.stop(graceful=True)

    def serve(self) -> None:
        self._consumer().run()

    def left(self) -> int:
        return int(self._huey.pending_count())

    def close(self) -> None:
        """Close the file."""
        self._huey.storage.close()

    def _consumer(self) -> Any:
        return self._huey.create_consumer(workers=1, worker_type="thread", periodic=False)


@contextmanager
def opened(path: Path, level: Level) -> Generator[Queue]:
    """Give the queue in the file."""
    queue = HueyQueue(path, level)
    yield queue
    queue.close()


PEER = Peer(
    name="huey",
    package="huey",
    modules=("huey",),
    levels={"full": Setting("fsync=True", 1_000, 1_000), "off": Setting("fsync=False", 5_000, 5_000)},
    worker="Consumer, one thread",
    open=opened,
    pickup=True,
)
