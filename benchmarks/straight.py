"""What one enqueue takes at the least: its steps in a single function, without anything that makes a library of them.

It packs and checks the arguments, stands in the line of writers, sees that the file was not moved and that nobody else
has written, inserts and commits. There are no options, no keys, no limits, no sharing of commits, and no trouble.
"""

import ctypes
import fcntl
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec

from benchmarks import limit
from benchmarks.harness import Sample, each, timed
from benchmarks.jobs import Durability
from liteq.store.sqlite.statements import statements

LABEL = "straight enqueue, one a commit"
CHECKPOINT_PAGES = {"full": 1_000, "normal": 2_000}


class Args(msgspec.Struct, frozen=True):
    """The arguments of a task that has none."""


class Log:
    """The write-ahead log of a connection, checkpointed by another one."""

    def __init__(self, path: Path, connection: apsw.Connection, durability: Durability) -> None:
        self._pages = 0
        self._worth = CHECKPOINT_PAGES[durability]
        self._other = apsw.Connection(str(path))
        for pragma in ("journal_mode = WAL", "wal_autocheckpoint = 0", f"synchronous = {durability}"):
            self._other.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        connection.set_wal_hook(self._note)

    def _note(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = pages
        return 0

    def look(self) -> None:
        if self._pages >= self._worth:
            self._other.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._pages = 0

    def close(self) -> None:
        self._other.close()


def insert(path: Path, durability: Durability, jobs: int) -> Sample:
    """Enqueue each job by a call of its own."""
    connection, sample = limit.connect(path, durability), Sample(jobs=jobs)
    log = Log(path, connection, durability)
    with path.with_name("line").open("w") as line:
        enqueue = enqueuing(connection, line.fileno(), log)
        with timed(sample):
            each(sample, enqueue)
    log.close()
    connection.close()
    return sample


def enqueuing(connection: apsw.Connection, line: int, log: Log) -> Callable[[], int]:
    """Give the function that enqueues one job."""
    statement, lock = statements()["enqueue"], threading.Lock()
    to_json, to_msgpack, decoder = msgspec.json.Encoder(), msgspec.msgpack.Encoder(), msgspec.json.Decoder(Args)
    moved = ctypes.c_int()
    moved_at = ctypes.addressof(moved)

    def enqueue() -> int:
        args = Args()
        data = to_json.encode(args)
        to_msgpack.encode(args)
        decoder.decode(data)
        now = time.time_ns() // 1_000_000
        row = (
            now,
            now,
            0,
            5,
            3,
            *[None] * 5,
            zlib.crc32(data),
            "default",
            "noop",
            None,
            None,
            None,
            data,
            0,
            None,
            None,
        )
        with lock:
            fcntl.flock(line, fcntl.LOCK_EX | fcntl.LOCK_NB)
            connection.execute("BEGIN IMMEDIATE")
            connection.file_control("main", apsw.SQLITE_FCNTL_HAS_MOVED, moved_at)
            assert not moved.value
            connection.data_version()
            connection.execute(statement, row)
            job_id = connection.last_insert_rowid()
            connection.execute("COMMIT")
            connection.data_version()
            fcntl.flock(line, fcntl.LOCK_UN)
        log.look()
        return job_id

    return enqueue
