"""One turn of one peer, in a process of its own: enqueue, drain, drain the fastest way, pickups; each checked.

``python -m benchmarks.peers.turn NAME LEVEL FOLDER ENQUEUE DRAIN FASTEST PICKUPS`` leaves ``found.json`` in the folder.
``python -m benchmarks.peers.turn serve NAME LEVEL FOLDER`` is the worker that picks up.
"""

import random
import re
import resource
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import cast

import msgspec
import psutil

from benchmarks.harness import Sample
from benchmarks.peers.every import named
from benchmarks.peers.peer import DEADLINE_S, Level, Peer
from benchmarks.peers.tally import TALLY, stamps_in
from benchmarks.process import WorkerProcess

FOUND = "found.json"
STAMPS = "stamps"
FOLDERS = re.compile(r"/\S*/")
PAUSE_S = (0.05, 0.2)
"""Between two jobs, at random, from when the first of them has run."""


class Found(msgspec.Struct, kw_only=True):
    """What a turn gave, or why the peer does not load. ``pickups_ns`` count from just before the enqueueing call."""

    enqueue: Sample | None = None
    drain: Sample | None = None
    fastest: Sample | None = None
    pickups_ns: list[int] = []
    unloadable: str | None = None


def cpu_s() -> float:
    """Give the CPU seconds of this process and its children: a Redis, and processes that were forked for jobs."""
    alive = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(one.user + one.system for one in alive)


def enqueue_singly(peer: Peer, path: Path, level: Level, jobs: int) -> Sample:
    """Enqueue each job by a call of its own, after one that opens what is opened late."""
    sample = Sample(jobs=jobs)
    with _served(peer, path, level), peer.open(path, level) as queue:
        queue.enqueue()
        begun = time.monotonic()
        for _ in range(jobs):
            queue.enqueue()
        sample.wall_s = time.monotonic() - begun
        _check(queue.left(), jobs + 1)
    return sample


def drain(peer: Peer, path: Path, level: Level, jobs: int, *, fastest: bool) -> Sample:
    """Run jobs that were enqueued before; the time is from the call that starts the worker until the last job runs."""
    opener = (peer.open_fastest if fastest else None) or peer.open
    file = path.parent / STAMPS if peer.forks else None
    sample = Sample(jobs=jobs)
    with _served(peer, path, level):
        with opener(path, level) as queue:
            queue.fill(jobs)
        with opener(path, level) as queue:
            TALLY.expect(jobs, file)
            before, begun = cpu_s(), time.monotonic_ns()
            (queue.hurry if fastest else queue.work)()
            ended = time.monotonic_ns()
            sample.cpu_s = cpu_s() - before
            stamps = TALLY.stamps() if file is None else stamps_in(file)
            _check(len(stamps), jobs)
            _check(queue.left(), 0)
    sample.wall_s = ((ended if peer.bare else max(stamps)) - begun) / 1e9
    return sample


def pickups(peer: Peer, path: Path, level: Level, jobs: int) -> list[int]:
    """Give the ns from just before each job was enqueued until it ran in an idle worker, a process of its own."""
    file = path.parent / STAMPS
    sent: list[int] = []
    with _served(peer, path, level), peer.open(path, level) as queue, _serving(peer, path, level):
        for _ in range(jobs + 1):  # the first waits for the process to start, and is not counted
            sent.append(time.monotonic_ns())
            queue.enqueue()
            _await(lambda: len(stamps_in(file)) >= len(sent))
            time.sleep(random.uniform(*PAUSE_S))
    stamps = stamps_in(file)
    _check(len(stamps), jobs + 1)
    return [ran - begun for begun, ran in zip(sent, stamps, strict=True)][1:]


def turn(peer: Peer, level: Level, folder: Path, jobs: list[int]) -> Found:
    """Measure all there is to measure, each in a fresh folder."""
    paths = [folder / step / "jobs.db" for step in ("enqueue", "drain", "fastest", "pickups")]
    for path in paths:
        path.parent.mkdir()
    found = Found(
        enqueue=(peer.enqueue or _of(peer, enqueue_singly))(paths[0], level, jobs[0]),
        drain=peer.drain(paths[1], level, jobs[1])
        if peer.drain
        else drain(peer, paths[1], level, jobs[1], fastest=False),
    )
    if peer.fastest:
        found.fastest = drain(peer, paths[2], level, jobs[2], fastest=True)
    if peer.pickup:
        found.pickups_ns = pickups(peer, paths[3], level, jobs[3])
    return found


def serve(peer: Peer, level: Level, path: Path) -> None:
    """Be the worker that picks jobs up, until the process is ended."""
    TALLY.expect(0, path.parent / STAMPS)
    with peer.open(path, level) as queue:
        queue.serve()


def main() -> None:
    """Be one of the two programs of this module."""
    if sys.argv[1] == "serve":
        serve(named(sys.argv[2]), cast("Level", sys.argv[3]), Path(sys.argv[4]))
        return
    peer, level, folder = named(sys.argv[1]), cast("Level", sys.argv[2]), Path(sys.argv[3])
    try:
        for module in peer.modules:
            import_module(module)
    except ImportError as error:
        found = Found(unloadable=f"does not load: {FOLDERS.sub('', str(error))}")
    else:
        found = turn(peer, level, folder, [int(jobs) for jobs in sys.argv[4:]])
    (folder / FOUND).write_bytes(msgspec.json.encode(found))


def _of(peer: Peer, run: Callable[[Peer, Path, Level, int], Sample]) -> Callable[[Path, Level, int], Sample]:
    return lambda path, level, jobs: run(peer, path, level, jobs)


def _served(peer: Peer, path: Path, level: Level) -> AbstractContextManager[None]:
    return nullcontext() if peer.server is None else peer.server(path, level)


@contextmanager
def _serving(peer: Peer, path: Path, level: Level) -> Generator[None]:
    worker = WorkerProcess([sys.executable, "-m", "benchmarks.peers.turn", "serve", peer.name, level, str(path)])
    try:
        yield
    finally:
        worker.stop()


def _await(true: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"no worker ran the job within {DEADLINE_S} s")
        time.sleep(0.0005)


def _check(found: int, right: int) -> None:
    if found != right:
        raise RuntimeError(f"{found} jobs, not {right}")


if __name__ == "__main__":
    main()
