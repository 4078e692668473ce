"""How a process writes: forks, moved files, a lock that others hold, and threads that share a commit."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from liteq.errors import Busy, FileMoved, QueueFull, StorageError, UniqueKeyTaken
from liteq.model.job import NewJob, Unique
from liteq.store.sqlite.checkpoint import SOME_PAGES, Checkpointer
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.sidecar import Sidecar
from liteq.store.sqlite.turnstile import Turnstile

NOW = 1_800_000_000_000
PATIENCE_S = 20.0
SHORT_MS = 200

HOLD_WRITE_LOCK = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""

FORK_PREAMBLE = """
import os, sys, threading
from liteq.errors import ForkedClient
from liteq.model.job import NewJob
from liteq.store.sqlite.engine import SqliteEngine
def new_job():
    return NewJob(task="task", queue="default", args=b"[]", args_crc=2, run_at=1, priority=0,
                  max_failures=1, max_crashes=1)
def answer_to(verb):
    try:
        verb()
    except ForkedClient:
        return "refused"
    return "done"
def enqueue():
    engine.enqueue([new_job()], now=1)
def in_child(run):
    # A child that hangs is ended by its alarm, and then says nothing.
    child = os.fork()
    if child == 0:
        import signal
        signal.alarm(10)
        print("child", *run(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
engine = SqliteEngine(sys.argv[1])
enqueue()
"""

FORK_WHILE_IDLE = """
in_child(lambda: [answer_to(enqueue), answer_to(lambda: engine.get_job(1)), answer_to(engine.close)])
"""

FORK_IN_A_TRANSACTION = """
def use():
    answers = [answer_to(enqueue), answer_to(lambda: engine.get_job(1))]
    return answers + [answer_to(lambda: transaction.__exit__(None, None, None))]
transaction = engine.transaction()
transaction.__enter__()
enqueue()
in_child(use)
transaction.__exit__(None, None, None)
"""

FORK_IN_AN_APPLICATIONS_BLOCK = """
def use():
    return [
        answer_to(enqueue),
        answer_to(lambda: statements.execute("SELECT 1", ())),
        answer_to(lambda: block.__exit__(None, None, None)),
    ]
block = engine.application_transaction()
statements = block.__enter__()
enqueue()
in_child(use)
block.__exit__(None, None, None)
"""

FORK_WHILE_ANOTHER_THREAD_WRITES = """
def write():
    with engine.transaction():
        writing.set()
        forked.wait()
writing, forked = threading.Event(), threading.Event()
threads = [threading.Thread(target=write)]
threads[0].start()
writing.wait()
threads.append(threading.Thread(target=enqueue))
threads[1].start()
while engine.file.shared_commit._leader is None:
    pass
in_child(lambda: [answer_to(enqueue)])
forked.set()
for thread in threads:
    thread.join()
"""

FORK_IN_A_SHARED_COMMIT = """
def fork():
    enqueue()
    if os.fork() == 0:
        return
    os.wait()
def commit():
    engine.file.shared_commit.run(fork)
parent, answer = os.getpid(), answer_to(commit)
if os.getpid() != parent:
    print("child", answer, flush=True)
    os._exit(0)
"""

PARENT_GOES_ON = """
enqueue()
last = engine.get_job(3) or engine.get_job(2)
print("parent", last.id, flush=True)
engine.close()
"""


def new_job(unique: Unique | None = None) -> NewJob:
    return NewJob(
        task="task",
        queue="default",
        args=b"[]",
        args_crc=2,
        run_at=NOW,
        priority=0,
        max_failures=5,
        max_crashes=3,
        unique=unique,
    )


def enqueue_one(engine: SqliteEngine) -> int:
    return engine.enqueue([new_job()], now=NOW)[0].job_id


def ids(engine: SqliteEngine) -> list[int]:
    return [row[0] for row in engine.file.read_plain("SELECT id FROM liteq_job ORDER BY id")]


def count_commits(engine: SqliteEngine) -> list[int]:
    """Give a list that grows by the ``PRAGMA synchronous`` (2 is FULL) of each commit from now on."""
    commits: list[int] = []
    raw = engine.file.writer.connection.raw

    def note() -> bool:
        commits.append(raw.pragma("synchronous"))
        return False

    raw.set_commit_hook(note)
    return commits


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)


def run_in_one_party(engine: SqliteEngine, verbs: list[Callable[[], None]]) -> None:
    """Run each verb in a thread, all in one commit: the second, after what holds them up."""
    threads = [threading.Thread(target=verb) for verb in verbs]
    with engine.transaction():
        for thread in threads:
            thread.start()
        wait_until(lambda: len(engine.file.shared_commit._waiting) == len(verbs))
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)


@contextmanager
def stopped_holder(database: Path) -> Iterator[int]:
    """Give the pid of a stopped process that holds the write lock until the block ends."""
    command = [sys.executable, "-c", HOLD_WRITE_LOCK, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            holder.send_signal(signal.SIGSTOP)
            yield holder.pid
        finally:
            holder.kill()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def engine(database: Path) -> Iterator[SqliteEngine]:
    engine = SqliteEngine(database, busy_timeout_ms=SHORT_MS)
    yield engine
    engine.close()


def test_a_write_that_finds_the_lock_held_names_the_stopped_holder_and_the_next_goes_through(
    engine: SqliteEngine, database: Path
) -> None:
    with stopped_holder(database) as pid:
        with pytest.raises(Busy, match=rf"^process {pid} has kept the write lock for more than 0\.2 s"):
            enqueue_one(engine)
        with pytest.raises(Busy, match=f"process {pid} "), engine.transaction():
            pytest.fail("there is no transaction to be in")

    enqueue_one(engine)

    assert len(ids(engine)) == 1


def test_all_who_wait_are_told_when_the_lock_is_not_to_be_had(engine: SqliteEngine, database: Path) -> None:
    told: list[Busy] = []

    def enqueue() -> None:
        with pytest.raises(Busy) as refused:
            enqueue_one(engine)
        told.append(refused.value)

    with stopped_holder(database):
        run_all([threading.Thread(target=enqueue) for _ in range(5)])

    assert len(told) == 5
    assert enqueue_one(engine) == 1


def test_opening_a_file_whose_lock_is_held_names_the_holder_too(engine: SqliteEngine, database: Path) -> None:
    with (
        stopped_holder(database) as pid,
        pytest.raises(Busy, match=f"process {pid} "),
    ):
        SqliteEngine(database, busy_timeout_ms=SHORT_MS)


def test_an_interrupt_just_after_the_turn_came_leaves_the_turnstile_free(engine: SqliteEngine, database: Path) -> None:
    other = Sidecar(database)
    other.open()

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code is Turnstile.enter.__code__:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            enqueue_one(engine)
    finally:
        sys.setprofile(None)
    free = other.turnstile.enter(0)
    other.close()

    assert free
    assert ids(engine) == []
    assert enqueue_one(engine) > 0


@pytest.mark.parametrize(
    ("fork", "child", "last_id"),
    [
        (FORK_WHILE_IDLE, "child refused refused done", 2),
        (FORK_IN_A_TRANSACTION, "child refused refused refused", 3),
        (FORK_IN_AN_APPLICATIONS_BLOCK, "child refused refused refused", 3),
        (FORK_IN_A_SHARED_COMMIT, "child refused", 3),
        (FORK_WHILE_ANOTHER_THREAD_WRITES, "child refused", 3),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_is_refused_at_once_and_the_parent_goes_on(
    database: Path, fork: str, child: str, last_id: int
) -> None:
    command = [sys.executable, "-c", FORK_PREAMBLE + fork + PARENT_GOES_ON, str(database)]

    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    assert lines.splitlines() == [child, f"parent {last_id}"]


def test_a_write_to_a_file_that_was_renamed_is_refused(engine: SqliteEngine, database: Path) -> None:
    enqueue_one(engine)
    database.rename(database.with_name("moved.db"))

    with pytest.raises(FileMoved):
        enqueue_one(engine)

    database.with_name("moved.db").rename(database)
    assert enqueue_one(engine) == 2


def test_a_write_to_a_file_that_was_replaced_is_refused_and_the_new_one_left_alone(
    engine: SqliteEngine, database: Path
) -> None:
    database.unlink()
    fd = os.open(database, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(fd, b"theirs")
    os.close(fd)

    with pytest.raises(FileMoved):
        enqueue_one(engine)

    assert database.read_bytes() == b"theirs"


@pytest.mark.parametrize("pages", [SOME_PAGES, 10 * SOME_PAGES])
def test_a_checkpoint_that_is_interrupted_leaves_nothing_locked(engine: SqliteEngine, pages: int) -> None:
    checkpointer = engine.file.checkpointer
    left = nth = 0

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        if event in {"return", "c_return"} and frame.f_code is Checkpointer.tend.__code__:
            left -= 1
            if left == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    while left == 0:
        nth += 1
        left = nth
        engine.file.writer.wal_pages = pages
        sys.setprofile(interrupt)
        try:
            checkpointer.tend()
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        locked = checkpointer._lock.locked()
        if locked:
            checkpointer._lock.release()
        assert not locked, f"interrupted after call {nth}"
    assert nth > 2


def test_a_limit_whose_end_could_not_be_committed_holds_still(engine: SqliteEngine) -> None:
    engine.limit_pending("default", 1)
    enqueue_one(engine)
    raw = engine.file.writer.connection.raw

    def end_it() -> None:
        with engine.transaction():
            engine.limit_pending("default", None)
            enqueue_one(engine)
            # SQLite rolls back by itself where a commit fails.
            raw.set_commit_hook(lambda: True)

    with pytest.raises(StorageError):
        end_it()
    raw.set_commit_hook(None)

    with pytest.raises(QueueFull):
        enqueue_one(engine)
    assert len(ids(engine)) == 1


def test_threads_that_enqueue_at_once_share_durable_commits(engine: SqliteEngine) -> None:
    commits = count_commits(engine)

    def enqueue_many() -> None:
        for _ in range(25):
            enqueue_one(engine)

    run_all([threading.Thread(target=enqueue_many) for _ in range(8)])

    assert ids(engine) == list(range(1, 201))
    assert 0 < len(commits) < 200
    assert set(commits) == {2}


def test_all_who_wait_for_a_commit_share_the_next_one(engine: SqliteEngine) -> None:
    commits = count_commits(engine)
    mine: list[int] = []

    run_in_one_party(engine, [lambda: mine.append(enqueue_one(engine))] * 7)

    # What held them up, and theirs.
    assert len(commits) == 2
    assert sorted(mine) == ids(engine)
    assert len(mine) == 7


def test_an_error_in_one_threads_verb_takes_back_its_jobs_alone(engine: SqliteEngine) -> None:
    taken = Unique(key="taken", on_conflict="raise")
    engine.enqueue([new_job(taken)], now=NOW)
    commits = count_commits(engine)
    errors: list[int] = []
    mine: list[int] = []

    def enqueue_in_vain() -> None:
        try:
            engine.enqueue([new_job(), new_job(taken)], now=NOW)
        except UniqueKeyTaken as error:
            errors.append(error.job_id)

    def enqueue() -> None:
        mine.append(enqueue_one(engine))

    run_in_one_party(engine, [enqueue, enqueue_in_vain, enqueue])

    assert errors == [1]
    assert len(mine) == 2
    assert ids(engine) == [1, *sorted(mine)]
    assert len(commits) == 2
