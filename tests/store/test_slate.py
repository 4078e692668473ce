"""What a worker notes about itself, and its heartbeat, which leaves no byte behind and ends with who gave it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from liteq.errors import StorageError
from liteq.model.fleet import Death, StartedJob, WorkerCard
from liteq.model.job import Expired
from liteq.model.transitions import Outcome
from liteq.store.sqlite import heartbeat
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.sidecar import Sidecar
from liteq.store.sqlite.slate import LifeLock, Slate, WorkerIdentity
from tests.engine.steps import NOW, claim_one, die, enqueue_one

BEAT_AND_WAIT = """
import sys
from pathlib import Path
from liteq.store.sqlite.sidecar import Sidecar
sidecar = Sidecar(Path(sys.argv[1]))
sidecar.open()
life = sidecar.hold_life(5)
life.beat(1_000, done=3)
life.beat(2_000, done=3)
print("beaten", flush=True)
sys.stdin.readline()
"""
NO_SUCH_LOCKS = pytest.mark.skipif(sys.platform != "linux", reason="the locks of an open file are Linux's")


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    opened = Sidecar(tmp_path / "jobs.db")
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def life(sidecar: Sidecar) -> Iterator[LifeLock]:
    held = sidecar.hold_life(5)
    yield held
    held.release(remove=True)


def read(sidecar: Sidecar) -> Slate:
    slate = sidecar.read_slate(5)
    assert slate is not None
    return slate


def test_a_slate_gives_back_what_was_written(sidecar: Sidecar, life: LifeLock) -> None:
    life.beat(123_456)
    life.start(0, 2**63 - 1, 1, 10)
    life.start(300, 8, 2, 20, 99)
    life.start(1, 9, 1, 30)
    life.clear(1)

    slate = read(sidecar)

    assert (slate.pid, slate.beat) == (os.getpid(), 123_456)
    assert slate.started == (StartedJob(2**63 - 1, 1, 10, 0), StartedJob(8, 2, 20, 99))


def test_a_new_slate_is_fresh_and_empty(sidecar: Sidecar, life: LifeLock) -> None:
    slate = read(sidecar)

    assert slate.started == ()
    assert abs(time.monotonic_ns() // 1_000_000 - slate.beat) < 60_000


def test_a_released_slate_takes_no_more_notes(life: LifeLock) -> None:
    life.release(remove=False)

    with pytest.raises(StorageError):
        life.start(0, 1, 1, 1)
    with pytest.raises(StorageError):
        life.beat(1)


def test_a_missing_slate_is_none(sidecar: Sidecar) -> None:
    assert sidecar.read_slate(404) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"lqsl", b"x" * 5_000, b"lqsl" + b"\xff" * 5_000, b"\0" * 4_096, b"lqsl\x03" + b"\0" * 4_091],
)
def test_a_slate_of_garbage_is_none(sidecar: Sidecar, content: bytes) -> None:
    (sidecar.folder / "worker-5").write_bytes(content)

    assert sidecar.read_slate(5) is None


def test_a_slate_cut_within_a_slot_gives_the_whole_ones(sidecar: Sidecar, life: LifeLock) -> None:
    life.start(0, 1, 1, 1)
    life.start(1, 2, 1, 1)
    path = sidecar.folder / "worker-5"

    os.truncate(path, 64 + 32 + 31)

    assert [job.job_id for job in read(sidecar).started] == [1]


def test_a_slate_that_is_no_file_is_none(sidecar: Sidecar) -> None:
    os.mkfifo(sidecar.folder / "worker-5")
    (sidecar.folder / "worker-6").mkdir()

    assert sidecar.read_slate(5) is None
    assert sidecar.read_slate(6) is None
    (sidecar.folder / "worker-6").rmdir()


def test_starting_a_job_costs_microseconds(life: LifeLock) -> None:
    began = time.perf_counter()

    for job_id in range(1, 10_001):
        life.start(0, job_id, 1, 1, 1)

    assert time.perf_counter() - began < 2


@NO_SUCH_LOCKS
def test_beats_change_no_byte_of_the_file_and_not_its_times(sidecar: Sidecar, life: LifeLock) -> None:
    path = sidecar.folder / "worker-5"
    life.beat(1_000)
    before = path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ctime_ns

    life.beat(2**60)

    assert read(sidecar).beat == 2**60
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ctime_ns) == before


def test_the_latest_beat_counts_be_it_an_earlier_time(sidecar: Sidecar, life: LifeLock) -> None:
    told: list[int] = []
    for moment in (5_000, 9_000, 1, 7_000):
        life.beat(moment)
        told.append(read(sidecar).beat)

    assert told == [5_000, 9_000, 1, 7_000]


def test_what_has_changed_beside_the_time_is_told_with_it(sidecar: Sidecar, life: LifeLock) -> None:
    life.beat(1_000, done=3)
    first = read(sidecar)
    life.beat(2_000, done=3, stopping=True)
    second = read(sidecar)

    assert (first.beat, first.done, first.stopping) == (1_000, 3, False)
    assert (second.beat, second.done, second.stopping) == (2_000, 3, True)


def test_where_there_are_no_such_locks_the_time_is_written_down(
    sidecar: Sidecar, life: LifeLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_SET", None)
    monkeypatch.setattr(heartbeat, "_GET", None)

    life.beat(1_000)
    life.beat(2_000)

    assert read(sidecar).beat == 2_000


@NO_SUCH_LOCKS
def test_the_beat_of_a_killed_worker_is_gone_and_what_it_wrote_down_stays(sidecar: Sidecar, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", BEAT_AND_WAIT, str(tmp_path / "jobs.db")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "beaten\n"
        alive = read(sidecar)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(10)
        dead = read(sidecar)

    assert (alive.beat, alive.done) == (2_000, 3)
    assert (dead.beat, dead.done) == (1_000, 3)


def test_an_empty_descriptor_has_no_beat(tmp_path: Path) -> None:
    (tmp_path / "slate").write_bytes(b"")
    with (tmp_path / "slate").open("r+b") as file:
        assert heartbeat.beat_of(file.fileno()) is None
    assert not heartbeat.beat(-1, 1_000)
    assert heartbeat.beat_of(-1) is None


def test_who_dies_while_others_are_buried_has_crashed_and_not_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, judge = SqliteEngine(tmp_path / "jobs.db"), SqliteEngine(tmp_path / "jobs.db")
    card = WorkerCard(name="leased", tasks=("task",), queues=None, slots=1, lease_ms=1_000)
    worker = engine.register_worker(card, now=NOW)
    die(engine.register_worker(card, now=NOW))
    job_id = enqueue_one(engine)
    claim = claim_one(engine, worker_id=worker.worker_id)
    worker.start(0, claim.job_id, claim.attempt, NOW)
    late = time.monotonic_ns() // 1_000_000 + 60_000
    worker.beat(late)
    bury = judge._bury

    def bury_slowly(identity: WorkerIdentity, death: Death | None, now: int) -> list[Expired]:
        die(worker)
        return bury(identity, death, now)

    monkeypatch.setattr(judge, "_bury", bury_slowly)
    judge.expire(now=NOW, monotonic=late + 100)
    judge.expire(now=NOW, monotonic=late + 200)

    assert [one.outcome for one in engine.attempts(job_id)] == [Outcome.CRASHED]
    engine.close()
    judge.close()
