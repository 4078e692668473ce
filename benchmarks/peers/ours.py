"""liteq itself, by the functions that the questions ``enqueue`` and ``drain`` are measured with."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from benchmarks import drain, enqueue
from benchmarks.harness import Sample
from benchmarks.jobs import Durability, declare
from benchmarks.peers.peer import Level, Peer, Queue, Setting
from benchmarks.peers.tally import ran


class Ours(Queue):
    """A file with one task, to be picked up."""

    def __init__(self, path: Path, level: Level) -> None:
        self._app = declare(path, cast("Durability", level)).app
        self._task = self._app.task(name="ran")(ran)

    def enqueue(self) -> None:
        self._task.enqueue()

    def work(self) -> None:
        self._app.work(burst=True)

    def serve(self) -> None:
        self._app.work()

    def left(self) -> int:
        return self._app.count_jobs(state=["ready", "running"])

    def close(self) -> None:
        """Close the file."""
        self._app.close()


@contextmanager
def opened(path: Path, level: Level) -> Generator[Queue]:
    """Give the queue in the file."""
    queue = Ours(path, level)
    yield queue
    queue.close()


def enqueue_singly(path: Path, level: Level, jobs: int) -> Sample:
    """Enqueue each job by a call of its own."""
    return enqueue.singly(path, cast("Durability", level), jobs)


def drain_by_one_slot(path: Path, level: Level, jobs: int) -> Sample:
    """Drain by one worker with one slot, its start and its last checkpoint included."""
    return drain.by_threads(path, cast("Durability", level), jobs, threads=1)


PEER = Peer(
    name="liteq",
    package="liteq-jobs",
    modules=("liteq",),
    levels={
        "full": Setting('durability="full"', 1_000, 20_000),
        "normal": Setting('durability="normal"', 5_000, 20_000),
    },
    worker="app.work(burst=True), one slot",
    open=opened,
    pickup=True,
    enqueue=enqueue_singly,
    drain=drain_by_one_slot,
)
