"""litequeue: messages in a table, popped and marked done. It has no worker and no wait: users write the loop."""

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Level, Peer, Queue, Setting
from benchmarks.peers.tally import ran

BATCH = 100


class LiteQueue(Queue):
    """A LiteQueue, which sets NORMAL itself; its connection is public, and so is what it is set to."""

    def __init__(self, path: Path, level: Level) -> None:
        self._queue: Any = import_module("litequeue").LiteQueue(str(path))
        self._queue.conn.execute(f"PRAGMA synchronous = {level}")

    def enqueue(self) -> None:
        self._queue.put("{}")

    def work(self) -> None:
        while (message := self._queue.pop()) is not None:
            ran()
            self._queue.done(message.message_id)

    def hurry(self) -> None:
        popped = [self._queue.pop() for _ in range(BATCH)]
        while messages := [message for message in popped if message is not None]:
            for _ in messages:
                ran()
            with self._queue.transaction():
                for message in messages:
                    self._queue.done(message.message_id)
            popped = [self._queue.pop() for _ in range(BATCH)]

    def left(self) -> int:
        return int(self._queue.qsize())

    def close(self) -> None:
        """Close the file."""
        self._queue.close()


@contextmanager
def opened(path: Path, level: Level) -> Generator[Queue]:
    """Give the queue in the file."""
    queue = LiteQueue(path, level)
    yield queue
    queue.close()


PEER = Peer(
    name="litequeue",
    package="litequeue",
    modules=("litequeue",),
    levels={
        "full": Setting("PRAGMA", 1_000, 800, 1_000),
        "normal": Setting("default", 5_000, 5_000, 5_000),
    },
    worker="none: a loop of pop(), done()",
    fastest=f"done() by {BATCH} in a transaction()",
    bare=True,
    open=opened,
)
