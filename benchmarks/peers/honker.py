"""honker: a SQLite extension with queues; its wheel brings a SQLite of its own."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Level, Peer, Queue, Setting
from benchmarks.peers.tally import TALLY, ran

BATCH = 100
WORKER = "bench"


class HonkerQueue(Queue):
    """One queue of a honker database."""

    def __init__(self, path: Path) -> None:
        self._database: Any = import_module("honker").open(str(path))
        self._queue: Any = self._database.queue("bench")

    def enqueue(self) -> None:
        self._queue.enqueue({})

    def fill(self, jobs: int) -> None:
        with self._database.transaction() as transaction:
            for _ in range(jobs):
                self._queue.enqueue({}, tx=transaction)

    def work(self) -> None:
        asyncio.run(self._run(forever=False))

    def hurry(self) -> None:
        while claimed := self._queue.claim_batch(WORKER, BATCH):
            for _ in claimed:
                ran()
            self._queue.ack_batch([job.id for job in claimed], WORKER)

    def serve(self) -> None:
        asyncio.run(self._run(forever=True))

    def left(self) -> int:
        rows = self._database.query("SELECT count(*) AS jobs FROM _honker_jobs")
        return int(rows[0]["jobs"])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    async def _run(self, *, forever: bool) -> None:
        async for job in self._queue.claim(WORKER):
            ran()
            job.ack()
            if TALLY.done.is_set() and not forever:
                return


@contextmanager
def opened(path: Path, _level: Level) -> Generator[Queue]:
    """Give the queue in the file."""
    queue = HonkerQueue(path)
    yield queue
    queue.close()


PEER = Peer(
    name="honker",
    package="honker",
    modules=("honker",),
    levels={"normal": Setting("default, no other", 5_000, 1_000, 20_000)},
    worker="queue.claim(), job.ack()",
    fastest=f"claim_batch({BATCH}), ack_batch()",
    bare=True,
    open=opened,
    pickup=True,
    hint="not installed: its wheel is in the group honker, which wants glibc 2.38 or newer",
)
