"""persist-queue: queue.Queue with its items in SQLite. It has no worker, and its wait knows only its own process."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Level, Peer, Queue, Setting
from benchmarks.peers.tally import ran

BATCH = 100


class AckQueue(Queue):
    """A SQLiteAckQueue: each item is taken, and later acknowledged."""

    def __init__(self, path: Path) -> None:
        self._queue: Any = import_module("persistqueue").SQLiteAckQueue(str(path))

    def enqueue(self) -> None:
        self._queue.put({})

    def work(self) -> None:
        while self._queue.qsize():
            item = self._queue.get(block=False, raw=True)
            ran()
            self._queue.ack(item)

    def left(self) -> int:
        return int(self._queue.qsize())

    def close(self) -> None:
        """Close the file."""
        self._queue.close()


class FifoQueue(AckQueue):
    """A FIFOSQLiteQueue without auto_commit: what was taken is deleted by task_done(), any number in one commit."""

    def __init__(self, path: Path) -> None:
        self._queue = import_module("persistqueue").FIFOSQLiteQueue(str(path), auto_commit=False)

    def hurry(self) -> None:
        while self._queue.qsize():
            for _ in range(min(BATCH, self._queue.qsize())):
                self._queue.get(block=False)
                ran()
            self._queue.task_done()


@contextmanager
def opened(path: Path, _level: Level) -> Generator[Queue]:
    """Give the queue with acknowledgements in the folder."""
    queue = AckQueue(path)
    yield queue
    queue.close()


@contextmanager
def opened_fifo(path: Path, _level: Level) -> Generator[Queue]:
    """Give the queue without auto_commit in the folder."""
    queue = FifoQueue(path)
    yield queue
    queue.close()


PEER = Peer(
    name="persist-queue",
    package="persist-queue",
    modules=("persistqueue",),
    levels={"full": Setting("default, no other", 1_000, 800, 5_000)},
    worker="none: a loop of get(), ack()",
    fastest=f"auto_commit=False, task_done() by {BATCH}",
    bare=True,
    open=opened,
    open_fastest=opened_fifo,
)
