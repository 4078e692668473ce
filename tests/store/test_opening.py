"""A file that does not exist yet, opened by many at once, or left half made by one that died."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import apsw
import pytest

from liteq.errors import Busy
from liteq.model.transitions import State
from liteq.store.sqlite.connection import connect, write_ahead
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import enqueue_one, state_of

HELD_S = 0.2
PATIENCE_S = 5.0
SWITCH = "PRAGMA journal_mode"
OPENERS = 10
FILES = 20
RACING_S = 1.5

OPEN_WHEN_TOLD = """
import sys, time
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import enqueue_one
print("ready", flush=True)
for line in sys.stdin:
    start, path = line.rstrip().split(" ", 1)
    while time.monotonic() < float(start):
        pass
    try:
        for _ in range(2):
            engine = SqliteEngine(path)
            enqueue_one(engine)
            engine.close()
        print("done", flush=True)
    except Exception as error:
        print(repr(error), flush=True)
"""

DIE_BEFORE_THE_LOG = """
import os, signal, sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA cache_size = 1")
# More pages than the cache holds are on the disk before the commit, and the journal to undo them before those.
connection.execute("BEGIN; CREATE TABLE half (x); INSERT INTO half VALUES (zeroblob(1000000))")
os.kill(os.getpid(), signal.SIGKILL)
"""


class OtherMaker:
    """Another connection that takes the write lock of the file just as somebody is about to switch it to WAL."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._raw: apsw.Connection | None = None
        self._timer = threading.Timer(HELD_S, self._let_go)

    def watch(self, connection: apsw.Connection) -> None:
        connection.exec_trace = self._before

    def came(self) -> bool:
        return self._raw is not None

    def take(self) -> None:
        self._raw = apsw.Connection(str(self._path))
        self._raw.execute("BEGIN IMMEDIATE")

    def close(self) -> None:
        if self._timer.is_alive():
            self._timer.join()
        self._let_go()

    def _let_go(self) -> None:
        if self._raw is not None:
            self._raw.close()

    def _before(self, _cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        if sql.startswith(SWITCH) and not self.came():
            self.take()
            self._timer.start()
        return True


@pytest.fixture
def other(path: Path) -> Iterator[OtherMaker]:
    maker = OtherMaker(path)
    yield maker
    maker.close()


def job_count(path: Path) -> object:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute("SELECT count(*) FROM liteq_job").fetchall()[0][0]
    finally:
        connection.close()


def test_who_makes_a_file_waits_for_another_who_is_just_making_it(
    path: Path, other: OtherMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apsw, "connection_hooks", [*apsw.connection_hooks, other.watch])

    engine = SqliteEngine(path)
    job_id = enqueue_one(engine)

    assert other.came()
    assert state_of(engine, job_id) is State.READY
    engine.close()


def test_the_switch_to_wal_is_given_up_when_its_time_is_over(path: Path, other: OtherMaker) -> None:
    path.touch(0o600)
    connection = connect(path)
    other.take()
    began = time.monotonic()

    with pytest.raises(Busy):
        write_ahead(connection, timeout_ms=50)

    assert 0.05 <= time.monotonic() - began < PATIENCE_S
    connection.close()


def test_a_file_whose_maker_was_killed_before_the_log_is_made_by_the_next(path: Path) -> None:
    path.touch(0o600)
    subprocess.run([sys.executable, "-c", DIE_BEFORE_THE_LOG, str(path)], check=False)
    assert path.with_name("jobs.db-journal").read_bytes()[:1] != b"\0"

    engine = SqliteEngine(path)
    job_id = enqueue_one(engine)

    assert state_of(engine, job_id) is State.READY
    engine.close()
    assert [file.name for file in path.parent.iterdir()] == ["jobs.db"]


def test_processes_that_open_a_new_file_at_once_all_get_in_and_lose_no_job(tmp_path: Path) -> None:
    with ExitStack() as peers:
        openers = [peers.enter_context(opener()) for _ in range(OPENERS)]
        assert {said(one) for one in openers} == {"ready"}
        end = time.monotonic() + RACING_S

        paths: list[Path] = []
        while len(paths) < FILES and time.monotonic() < end:
            paths.append(tmp_path / f"{len(paths)}.db")
            answers = race(openers, paths[-1])
            assert answers == ["done"] * OPENERS

    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert [job_count(path) for path in paths] == [2 * OPENERS] * len(paths)


def opener() -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", OPEN_WHEN_TOLD]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def race(openers: list["subprocess.Popen[str]"], path: Path) -> list[str]:
    start = time.monotonic() + 0.01
    for one in openers:
        assert one.stdin is not None
        one.stdin.write(f"{start} {path}\n")
        one.stdin.flush()
    return [said(one) for one in openers]


def said(one: "subprocess.Popen[str]") -> str:
    assert one.stdout is not None
    return one.stdout.readline().strip()
