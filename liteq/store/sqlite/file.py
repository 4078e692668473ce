"""The open file: one connection that writes, one that reads, the sidecar beside them, the checks on the way in."""

import os
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from liteq.clock import SystemClock
from liteq.errors import DiskFull, ForkedClient, ReadOnly, StorageError, WrongState
from liteq.store.sqlite import schema
from liteq.store.sqlite.checkpoint import Checkpointer
from liteq.store.sqlite.connection import Bindings, Row, connect, wait_when_busy, write_ahead
from liteq.store.sqlite.guards import check_filesystem, check_path, create_private
from liteq.store.sqlite.one_library import claim_inode, release_inode
from liteq.store.sqlite.platform import storage_error
from liteq.store.sqlite.shared_commit import SharedCommit
from liteq.store.sqlite.sidecar import Sidecar
from liteq.store.sqlite.writer import Inside, Writer

BUSY_TIMEOUT_MS = 10_000
KEPT_FOR_DRAINING = 8 * 1024 * 1024
PLENTY, PLENTY_LASTS_MS = 1024**3, 100
"""A disk with so much room is not looked at again for so long."""

_CLOCK = SystemClock()


class JobFile:
    """An open liteq file. Thread-safe; belongs to the process that opened it."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        full: bool,
        shared: bool,
        allow_network: bool,
        create: bool,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
    ) -> None:
        self.path = check_path(path, create=create)
        self.shared = shared
        """Whether the file may have tables of others."""
        check_filesystem(self.path, allow_network=allow_network)
        if create:
            create_private(self.path)
        claim_inode(self.path)
        try:
            self._open(full=full, shared=shared, busy_timeout_ms=busy_timeout_ms)
        except BaseException:
            release_inode(self.path)
            raise

    def _open(self, *, full: bool, shared: bool, busy_timeout_ms: int) -> None:
        known = _look(self.path, shared=shared, busy_timeout_ms=busy_timeout_ms)
        self.inside = Inside()
        self.sidecar = Sidecar(self.path)
        self._reading = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._roomy_until = 0
        # On a failing disk closing may fail too, and all the rest is let go all the same.
        with ExitStack() as undo:
            self.sidecar.open()
            undo.callback(self.sidecar.close)
            connection = connect(self.path)
            undo.callback(connection.close)
            wait_when_busy(connection, busy_timeout_ms)
            if not known:
                # Only a file without tables can still be taught to give pages back.
                connection.plain("PRAGMA auto_vacuum = INCREMENTAL")
            write_ahead(connection, timeout_ms=busy_timeout_ms)
            self.writer = Writer(
                connection,
                self.sidecar.turnstile,
                self.inside,
                path=self.path,
                full=full,
                shared=shared,
                busy_timeout_ms=busy_timeout_ms,
            )
            self._bring_up_to_date(shared=shared)
            self._reader = connect(self.path)
            undo.callback(self._reader.close)
            self._reader.plain("PRAGMA query_only = 1")
            wait_when_busy(self._reader, busy_timeout_ms)
            undo.pop_all()
        self.checkpointer = Checkpointer(self.path, self.writer)
        self.shared_commit = SharedCommit(self.writer, self.inside)

    def _bring_up_to_date(self, *, shared: bool) -> None:
        connection = self.writer.connection
        with self.writer.transaction():
            # Asked again under the lock: another process may have created the schema meanwhile.
            if schema.holds_liteq(connection, shared=shared):
                if schema.stored_version(connection) == schema.SCHEMA_VERSION:
                    return
                schema.migrate(connection)
            else:
                schema.create(connection, shared=shared)
                schema.keep_reserve(connection)
        self.writer.forget_schema()
        # A new file can lose even its schema with the power until it has been checkpointed once.
        connection.plain("PRAGMA wal_checkpoint(PASSIVE)")

    @contextmanager
    def all_or_none(self) -> Generator[None]:
        """Run the block as one commit or, in a transaction that may survive its failure, a savepoint."""
        if not self.writer.holds():
            with self.writer.transaction():
                yield
            return
        connection = self.writer.connection
        plain = connection.plain
        plain("SAVEPOINT verb")
        try:
            yield
        except BaseException:
            # After an error of the disk SQLite may have taken back the whole transaction, and the savepoint with it.
            if connection.in_transaction():
                plain("ROLLBACK TO verb")
                plain("RELEASE verb")
            raise
        plain("RELEASE verb")

    def read(self, name: str, bindings: Bindings | None = None) -> list[Row]:
        """Run a named question: in the thread's own transaction if one is open, else beside all writers."""
        if self.writer.holds():
            return self.writer.connection.rows(name, bindings)
        self.writer.refuse_fork()
        with self.inside, self._reading:
            self._refuse_closed()
            return self._reader.rows(name, bindings)

    def read_plain(self, sql: str) -> list[Row]:
        """Run a fixed pragma beside all writers."""
        self.writer.refuse_fork()
        with self.inside, self._reading:
            self._refuse_closed()
            return self._reader.plain(sql)

    def moved(self) -> bool:
        """Tell whether the path no longer names the open file."""
        self.writer.refuse_fork()
        with self.inside, self._reading:
            self._refuse_closed()
            return self._reader.file_moved()

    def refuse_when_nearly_full(self) -> None:
        """Keep the last free megabytes for draining: what is queued must be able to leave a full disk."""
        if _CLOCK.monotonic_ms() < self._roomy_until:
            return
        try:
            disk = os.statvfs(self.path)
        except FileNotFoundError:
            # The write that follows finds out that the file was moved, and says so.
            return
        except OSError as error:
            raise storage_error(error, self.path) from None
        free = disk.f_bavail * disk.f_frsize
        if free < KEPT_FOR_DRAINING:
            raise DiskFull("less than 8 MiB are free on the disk; they are kept for running what is queued")
        if free > PLENTY:
            self._roomy_until = _CLOCK.monotonic_ms() + PLENTY_LASTS_MS

    def close(self) -> None:
        """Close everything, after what other threads have begun. Later verbs raise ``StorageError``.

        ``WrongState`` inside a transaction of the calling thread. A second call does nothing. A forked child only
        drops its side: the parent's locks are not the child's.
        """
        try:
            self.writer.refuse_fork()
        except ForkedClient:
            self._closed = True
            return
        if self.writer.holds():
            raise WrongState("a transaction of this thread is open; end it before the app is closed")
        with self._closing:
            if not self._closed:
                self._closed = True
                self._close_all()

    def _close_all(self) -> None:
        # Whatever fails on the way, all the rest is let go; the stack runs from its end.
        with ExitStack() as steps:
            steps.callback(release_inode, self.path)
            steps.callback(self.sidecar.close)
            steps.callback(self.writer.close)
            steps.callback(self._close_reader)
            steps.callback(self.checkpointer.close)
            steps.callback(self.writer.renew_log)

    def _close_reader(self) -> None:
        with self._reading:
            self._reader.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StorageError("this app was closed")


def _look(path: Path, *, shared: bool, busy_timeout_ms: int) -> bool:
    """Tell whether the file is a liteq file, without changing a byte of what was committed to it."""
    if path.stat().st_size == 0:
        return False
    with suppress(ReadOnly):
        return _holds_liteq(path, shared=shared, read_only=True, busy_timeout_ms=busy_timeout_ms)
    # Who died while it made the file, before the log, left a rollback journal: nobody can read the file until
    # somebody who may write has taken the half-done commit back.
    return _holds_liteq(path, shared=shared, read_only=False, busy_timeout_ms=busy_timeout_ms)


def _holds_liteq(path: Path, *, shared: bool, read_only: bool, busy_timeout_ms: int) -> bool:
    connection = connect(path, read_only=read_only)
    try:
        wait_when_busy(connection, busy_timeout_ms)
        return schema.holds_liteq(connection, shared=shared)
    finally:
        connection.close()
