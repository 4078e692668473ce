"""What goes wrong around a write: interrupts, full disks, closing under load, neighbours."""

import errno
import logging
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from liteq.errors import DiskFull, LiteqError, SchemaTooNew, StorageError, UniqueKeyTaken, WrongState
from liteq.model.job import Change, Claim, Unique
from liteq.model.limits import Limit
from liteq.store.sqlite import checkpoint, shared_commit, writer
from liteq.store.sqlite.descriptor import NOW_OR_NEVER, Descriptor
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.lanes import Gates
from liteq.store.sqlite.platform import FolderWatch, watch_file
from liteq.store.sqlite.sidecar import Sidecar
from liteq.store.sqlite.writer import Inside
from tests.engine.steps import NOW, claim_some, enqueue_one, new_job

PATIENCE_S = 20.0
WATCHED = {shared_commit.__file__, writer.__file__}
INSIDE = {Inside.__enter__.__code__, Inside.__exit__.__code__}

IN_ANOTHER_PROCESS = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
"""

OPEN_AND_ENQUEUE = """
import sys
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import enqueue_one
print("ready", flush=True)
sys.stdin.readline()
engine = SqliteEngine(sys.argv[1])
enqueue_one(engine)
engine.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def engine(path: Path) -> Iterator[SqliteEngine]:
    engine = SqliteEngine(path, full=False)
    yield engine
    engine.close()


def elsewhere(path: Path, *statements: str) -> None:
    subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS, str(path), *statements], check=True, timeout=60)


def count(engine: SqliteEngine) -> int:
    return int(engine.file.read_plain("SELECT count(*) FROM liteq_job")[0][0])


def interrupted_at(step: int, verb: Callable[[], object]) -> bool:
    """Run the verb with a Ctrl-C at the nth call in the code that shares commits; tell whether it has so many.

    Python hears signals where a function begins and after a call. A trace by lines would interrupt where none can,
    such as at a ``try`` just inside a ``with``, and leave the lock behind.
    """
    left = step

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        if event == "c_call" or frame.f_code.co_filename not in WATCHED or frame.f_code in INSIDE:
            return
        left -= 1
        if left < 0:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        verb()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def in_a_thread(verb: Callable[[], object]) -> None:
    thread = threading.Thread(target=verb, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "waits for one that has gone"


def test_an_interrupt_anywhere_in_an_enqueue_holds_up_nobody(engine: SqliteEngine, path: Path) -> None:
    other = Sidecar(path)
    other.open()
    step = 0
    while interrupted_at(step, lambda: enqueue_one(engine)):
        assert other.turnstile.enter(0), f"the turnstile is held after an interrupt at call {step}"
        other.turnstile.leave()
        before = count(engine)
        in_a_thread(lambda: enqueue_one(engine))
        assert count(engine) == before + 1
        step += 1
    other.close()

    assert step > 20


def test_an_interrupt_while_a_refused_enqueue_is_taken_back_leaves_nothing_held(
    engine: SqliteEngine, path: Path
) -> None:
    refused = new_job(unique=Unique(key="key", on_conflict="raise"))
    enqueue_one(engine, refused)
    other = Sidecar(path)
    other.open()

    def enqueue_refused() -> None:
        with suppress(UniqueKeyTaken):
            enqueue_one(engine, refused)

    step = 0
    while interrupted_at(step, enqueue_refused):
        assert other.turnstile.enter(0), f"the turnstile is held after an interrupt at call {step}"
        other.turnstile.leave()
        assert not engine.file.writer.connection.in_transaction(), f"at call {step}"
        in_a_thread(lambda: enqueue_one(engine))
        step += 1
    other.close()

    assert count(engine) == 1 + step
    assert step > 20


def test_an_interrupted_leader_leaves_its_followers_served_once_or_told(engine: SqliteEngine) -> None:
    for step in range(0, 60, 2):
        answers: list[object] = []
        ended = threading.Event()
        before = count(engine)

        def follow(answers: list[object] = answers, ended: threading.Event = ended) -> None:
            while not ended.is_set():
                try:
                    answers.append(enqueue_one(engine))
                except StorageError as error:
                    answers.append(None if error.may_have_committed else error)

        followers = [threading.Thread(target=follow, daemon=True) for _ in range(2)]
        for follower in followers:
            follower.start()
        interrupted_at(step, lambda: enqueue_one(engine))
        ended.set()
        for follower in followers:
            follower.join(PATIENCE_S)
            assert not follower.is_alive(), f"waits for a leader that was interrupted at call {step}"
        mine = [answer for answer in answers if answer is not None]
        assert len(mine) == len(set(mine))
        assert len(mine) <= count(engine) - before <= len(answers) + 1


def test_a_leader_that_has_gone_without_a_word_is_replaced(engine: SqliteEngine) -> None:
    gone: shared_commit._Ticket[int] = shared_commit._Ticket(lambda: 0)
    gone.thread = 0
    engine.file.shared_commit._leader = gone

    in_a_thread(lambda: enqueue_one(engine))

    assert count(engine) == 1


def test_verbs_that_a_gone_leader_had_begun_are_told_and_the_others_run_once(engine: SqliteEngine) -> None:
    ran: list[str] = []
    begun = shared_commit._Ticket(lambda: ran.append("begun"))
    fresh = shared_commit._Ticket(lambda: ran.append("fresh"))
    begun.begun = True
    begun.thread = 0
    engine.file.shared_commit._leader = begun
    engine.file.shared_commit._party = [begun, fresh]

    in_a_thread(lambda: enqueue_one(engine))

    assert ran == ["fresh"]
    assert begun.served
    assert fresh.served
    with pytest.raises(StorageError) as caught:
        begun.outcome()
    assert caught.value.may_have_committed


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_failing_checkpoint_is_told_once_and_fails_no_enqueue(
    engine: SqliteEngine, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checkpoint, "SOME_PAGES", 1)
    job = new_job(args=b"[%s]" % (b"1" * 60_000))
    size = path.stat().st_size
    engine.file.checkpointer._closed = True
    engine.enqueue([job] * 80, now=NOW)
    engine.file.checkpointer._closed = False

    with caplog.at_level(logging.WARNING, "liteq.store"), no_file_longer_than(size):
        engine.file.checkpointer.after_commit()
        engine.file.checkpointer.after_commit()
        with pytest.raises(StorageError):
            engine.settle()
        with pytest.raises(StorageError):
            engine.file.checkpointer.tend()
    engine.settle()

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert engine.file_facts().wal_bytes == 0


def test_closing_while_threads_work_raises_nothing_raw_and_lets_everything_go(path: Path) -> None:
    strange: list[BaseException] = []
    for _ in range(5):
        engine = SqliteEngine(path, full=False)

        def work(engine: SqliteEngine = engine) -> None:
            try:
                while True:
                    enqueue_one(engine)
                    engine.get_job(1)
                    engine.file.checkpointer.after_commit()
            except LiteqError:
                return
            except BaseException as error:  # noqa: BLE001  what the test is about
                strange.append(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
        closers = [threading.Thread(target=engine.close, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        while count(engine) == 0:
            pass
        for thread in closers:
            thread.start()
        for thread in threads + closers:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        engine.close()

    assert strange == []
    assert not path.with_name("jobs.db-wal").exists()


def test_a_closed_engine_says_so(path: Path) -> None:
    engine = SqliteEngine(path)
    engine.close()
    engine.close()

    for verb in (lambda: enqueue_one(engine), lambda: engine.get_job(1), engine.settle):
        with pytest.raises(StorageError, match="closed"):
            verb()
    with pytest.raises(StorageError, match="closed"), engine.transaction():
        pytest.fail("there is no transaction to be in")
    with pytest.raises(StorageError):
        engine.file.writer.connection.file_moved()


def test_closing_inside_a_transaction_is_refused(engine: SqliteEngine) -> None:
    with engine.transaction():
        enqueue_one(engine)
        with pytest.raises(WrongState):
            engine.close()

    assert count(engine) == 1


def test_a_neighbour_may_change_its_own_tables_while_the_file_is_open(path: Path) -> None:
    elsewhere(path, "CREATE TABLE customer (name TEXT)")
    engine = SqliteEngine(path, shared=True)
    enqueue_one(engine)

    elsewhere(path, "CREATE INDEX customer_name ON customer (name)")
    enqueue_one(engine)
    enqueue_one(engine)
    elsewhere(path, "DROP INDEX liteq_job_unique")
    with pytest.raises(SchemaTooNew):
        enqueue_one(engine)

    engine.close()


def test_a_vacuum_by_another_process_stops_no_write(engine: SqliteEngine, path: Path) -> None:
    enqueue_one(engine)

    elsewhere(path, "VACUUM")
    enqueue_one(engine)

    assert count(engine) == 2


def test_a_newer_schema_that_came_while_open_takes_no_write(engine: SqliteEngine, path: Path) -> None:
    enqueue_one(engine)
    elsewhere(path, "UPDATE liteq_meta SET value = value + 1 WHERE key = 'schema_version'", "VACUUM")

    with pytest.raises(SchemaTooNew):
        enqueue_one(engine)


def test_ten_processes_make_one_file_at_once(tmp_path: Path) -> None:
    for attempt in range(3):
        path = tmp_path / f"{attempt}.db"
        command = [sys.executable, "-c", OPEN_AND_ENQUEUE, str(path)]
        processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(10)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

        assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 10
        engine = SqliteEngine(path)
        assert count(engine) == 10
        engine.close()


def test_a_descriptor_that_somebody_else_closed_is_unlocked_and_closed_in_silence(tmp_path: Path) -> None:
    descriptor = Descriptor(os.open(tmp_path, os.O_RDONLY))
    descriptor.lock(NOW_OR_NEVER)
    os.close(descriptor.fd)

    descriptor.unlock()
    descriptor.close()

    assert descriptor.fd == -1


def test_a_disk_that_cannot_be_asked_for_its_space_raises_ours(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: object) -> os.statvfs_result:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "statvfs", refuse)

    with pytest.raises(StorageError) as caught:
        enqueue_one(engine)

    assert not isinstance(caught.value, DiskFull)


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """Take descriptors until so many are left of a few; give them back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = os.dup(0)
    os.close(highest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(highest + 64, 128), before[1]))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(number):
            os.close(taken.pop())
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def until_watches_are_gone() -> None:
    """Return once the kernel has let go of what was closed aside."""
    for thread in threading.enumerate():
        if thread.name == "liteq-unwatch":
            thread.join()


@pytest.mark.parametrize("left", [0, 1, 2])
@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
def test_a_watch_without_descriptors_raises_ours_and_leaks_none(tmp_path: Path, left: int) -> None:
    FolderWatch(tmp_path / "file").close()
    until_watches_are_gone()
    before = sorted(Path("/proc/self/fd").iterdir())

    with descriptors_left(left):
        if left < 2:
            with pytest.raises(StorageError):
                watch_file(tmp_path / "file")
        else:
            watch_file(tmp_path / "file").close()

    until_watches_are_gone()
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_queue_that_was_paused_after_the_first_look_gives_no_job(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue_one(engine)
    heads = engine._heads

    def look_then_pause(*wanted: Any) -> Any:
        found = heads(*wanted)
        if not engine.file.writer.holds():
            engine.pause_queue("default", reason=None, now=NOW)
        return found

    monkeypatch.setattr(engine, "_heads", look_then_pause)

    assert claim_some(engine) == []


def test_a_job_that_was_moved_after_the_first_look_goes_to_its_new_queue_alone(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = enqueue_one(engine)
    heads = engine._heads

    def look_then_move(*wanted: Any) -> Any:
        found = heads(*wanted)
        if not engine.file.writer.holds():
            with engine.transaction():
                engine.file.writer.connection.plain("UPDATE liteq_job SET queue = 'other'")
        return found

    monkeypatch.setattr(engine, "_heads", look_then_move)

    assert claim_some(engine, queues=("default",)) == []
    monkeypatch.undo()
    assert [claim.job_id for claim in claim_some(engine, queues=("other",))] == [job_id]


def test_a_job_that_a_rival_took_after_the_first_look_stays_the_rivals(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue_one(engine)
    second = enqueue_one(engine)
    heads = engine._heads
    theirs: list[Claim] = []

    def look_while_a_rival_claims(*wanted: Any) -> Any:
        found = heads(*wanted)
        if not theirs:
            theirs.append(engine._take(found[:1], 7, None, Gates(), NOW)[0])
        return found

    monkeypatch.setattr(engine, "_heads", look_while_a_rival_claims)
    mine = claim_some(engine, worker_id=8, limit=2)

    assert [claim.job_id for claim in mine] == [second]
    assert [(one.owner, one.attempt) for one in [engine.get_job(theirs[0].job_id)] if one] == [(7, 1)]


def test_a_job_that_is_moved_into_a_full_queue_after_the_first_look_is_not_taken(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue_one(engine, new_job(queue="full"))
    claim_some(engine)
    engine.put_limit("queue", "full", Limit(max_running=1))
    job_id = enqueue_one(engine)
    heads = engine._heads

    def look_then_move(*wanted: Any) -> Any:
        found = heads(*wanted)
        if not engine.file.writer.holds():
            engine.reschedule([job_id], Change(queue="full"), now=NOW)
        return found

    monkeypatch.setattr(engine, "_heads", look_then_move)

    assert claim_some(engine) == []
