"""Opens one hardened SQLite connection. Each setting is a function that says why."""

import ctypes
import random
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import apsw

from liteq.errors import Busy, NotALiteqFile, StorageError
from liteq.store.sqlite.statements import statements
from liteq.store.sqlite.translate import RAW_ERRORS, raw_errors_translated, translated

OLDEST_SQLITE = (3, 51, 3)
JOURNAL_SIZE_LIMIT = 8 * 1024 * 1024

STATEMENTS_KEPT = 300
"""apsw keeps what was run in a ring, one place for each run. A statement that runs once for each job of a batch would
push out all others, to be parsed anew: so the ring is larger than a batch."""

Row = tuple[Any, ...]
Bindings = Mapping[str, Any]


class Connection:
    """One connection with named statements; only errors of our tree leave it. Not for two threads at once."""

    def __init__(self, raw: apsw.Connection) -> None:
        self.raw = raw
        self.data_version: Callable[[], int] = raw.data_version
        """Gives a number that each commit changes, one's own and that of others once a transaction has begun."""
        self.changed: Callable[[], int] = raw.total_changes
        """Gives how many rows were inserted, updated or deleted since the connection was opened."""
        # To make a cursor costs as much as a short statement. One that an interrupt left half read is reset by its next
        # statement, such as the ROLLBACK that follows.
        self._execute = raw.cursor().execute
        self._sql = statements()
        self._moved = ctypes.c_int()
        self._moved_at = ctypes.addressof(self._moved)

    def rows(self, name: str, bindings: Bindings | Row | None = None) -> list[Row]:
        """Run a named statement to its end and give all of its rows; no cursor stays open.

        A tuple of bindings is in the order in which the statement names them first.
        """
        try:
            return self._execute(self._sql[name], bindings).fetchall()
        except RAW_ERRORS as error:
            raise translated(error) from error

    def many(self, name: str, bindings: Iterable[Bindings | Row]) -> list[Row]:
        """Run a named statement once for each set of bindings, given as to ``rows``, and give all rows in order."""
        try:
            return self.raw.executemany(self._sql[name], bindings).fetchall()
        except RAW_ERRORS as error:
            raise translated(error) from error

    def plain(self, sql: str, *, committing: bool = False) -> list[Row]:
        """Run a fixed statement without bindings: transaction control and pragmas."""
        try:
            return self._execute(sql).fetchall()
        except RAW_ERRORS as error:
            raise translated(error, committing=committing) from error

    def file_moved(self) -> bool:
        """Tell whether the path no longer names the open file: then commits succeed into nothing."""
        try:
            self.raw.file_control("main", apsw.SQLITE_FCNTL_HAS_MOVED, self._moved_at)
        except RAW_ERRORS as error:
            raise translated(error) from error
        return bool(self._moved.value)

    def in_transaction(self) -> bool:
        """Tell whether a transaction is open; a closed connection has none."""
        try:
            return self.raw.in_transaction
        except apsw.ConnectionClosedError:
            return False

    def close(self) -> None:
        with raw_errors_translated():
            self.raw.close()


def connect(path: Path, *, read_only: bool = False) -> Connection:
    """Open the file with everything off that a hostile schema could use. Creates nothing."""
    refuse_old_sqlite()
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    try:
        raw = apsw.Connection(str(path), flags=flags, statementcachesize=STATEMENTS_KEPT)
        harden(raw)
        keep_plans(raw)
    except apsw.NotADBError as error:
        raise NotALiteqFile(f"{path} is not a database; it was not touched") from error
    except RAW_ERRORS as error:
        raise translated(error) from error
    return Connection(raw)


def sqlite_version() -> str:
    """Give the version of the SQLite library that is in use."""
    return apsw.sqlite_lib_version()


def refuse_old_sqlite() -> None:
    """Before 3.51.3 two connections that checkpoint and commit at once could corrupt the file."""
    version = tuple(int(part) for part in sqlite_version().split("."))
    if version < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise StorageError(f"SQLite {sqlite_version()} can corrupt WAL files; {wanted} or newer is needed")


def harden(raw: apsw.Connection) -> None:
    """Triggers, views and functions in the schema stay inert; damaged cells are noticed when read."""
    raw.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    raw.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    raw.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    raw.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    raw.execute("PRAGMA cell_size_check = 1")
    # A mapped file turns an I/O error into SIGBUS.
    raw.execute("PRAGMA mmap_size = 0").fetchall()


def keep_plans(raw: apsw.Connection) -> None:
    """Without QPSG a statement that compares with a binding is prepared anew at every call (SQLite has STAT4)."""
    raw.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def write_ahead(connection: Connection, *, timeout_ms: int) -> None:
    """WAL lets readers and the writer work at once. Checkpoints are ours to time, and the log keeps its size:
    on a full disk only a log that is already there can take a commit."""
    mode = _switched_to_wal(connection, timeout_ms)
    if mode != [("wal",)]:
        raise StorageError(f"the file cannot be switched to WAL; its journal mode stays {mode[0][0]}")
    connection.plain("PRAGMA wal_autocheckpoint = 0")
    connection.raw.pragma("journal_size_limit", JOURNAL_SIZE_LIMIT)


def _switched_to_wal(connection: Connection, timeout_ms: int) -> list[Row]:
    # The switch reads first and writes then, and where a read becomes a write SQLite never asks the busy handler:
    # of two processes that switch a new file at once, one is refused on the spot. So the waiting is done here.
    pause, tries = _jittered_pauses(timeout_ms), 0
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        try:
            return connection.plain("PRAGMA journal_mode = WAL")
        except Busy:
            if time.monotonic() >= deadline:
                raise
        pause(tries)
        tries += 1


def wait_when_busy(connection: Connection, timeout_ms: int) -> None:
    """Wait for the write lock in jittered steps: fixed ones let processes starve each other in step."""
    connection.raw.set_busy_handler(_jittered_pauses(timeout_ms))


def _jittered_pauses(timeout_ms: int) -> Callable[[int], bool]:
    waited = 0.0

    def pause(tries: int) -> bool:
        nonlocal waited
        if tries == 0:
            waited = 0.0
        if waited * 1000 >= timeout_ms:
            return False
        step = min(0.02, 0.0005 * 2 ** min(tries, 8)) * (0.5 + random.random())  # noqa: S311  no secret
        time.sleep(step)
        waited += step
        return True

    return pause
