"""Moves the write-ahead log back into the file: in the background where a worker tends it, else after a commit."""

import logging
import threading
from pathlib import Path

import apsw

from liteq.errors import Busy, LiteqError, StorageError
from liteq.store.sqlite.connection import Connection, connect, wait_when_busy, write_ahead
from liteq.store.sqlite.translate import raw_errors_translated
from liteq.store.sqlite.writer import Writer

_log = logging.getLogger("liteq.store")

SOME_PAGES = 1_000
"""From here on (about 4 MB, to which a new log is grown) a passive checkpoint is worth its fsyncs. Where those are the
only ones, under normal durability, from twice as many."""
MANY_PAGES = 4_096
"""From here on (16 MiB) readers are waited for, so that the log starts over from its beginning."""
RESTART_WAIT_MS = 50


class Checkpointer:
    """Decides when to checkpoint and does it on a connection of its own, so that no claim waits for its fsyncs."""

    def __init__(self, path: Path, writer: Writer) -> None:
        self._path = path
        self._writer = writer
        self._own: Connection | None = None
        self._closed = False
        self._told = False
        self._lock = threading.Lock()
        writer.checkpoint, writer.checkpoint_from = self.after_commit, self._some_pages()

    def leave_to_tender(self) -> None:
        """Have commits leave checkpoints to somebody who calls ``tend`` regularly, unless that one falls far behind."""
        self._writer.checkpoint_from = 2 * MANY_PAGES

    def after_commit(self) -> None:
        """Checkpoint: the log has grown and nobody else will. Raises nothing, for the commit itself succeeded."""
        if self._closed:
            return
        try:
            self.tend()
        except LiteqError as error:
            self._tell_once(error)
        else:
            self._told = False

    def _tell_once(self, error: LiteqError) -> None:
        # Every commit from now on tries again, and would say the same.
        if not self._told:
            self._told = True
            _log.warning("the log could not be checkpointed", extra={"path": str(self._path), "error": str(error)})

    def tend(self) -> None:
        """Checkpoint if the log is worth it. Never waits for long; a busy file is left for the next time.

        ``StorageError`` or one of its kind when the disk fails; the log then stays as it is.
        """
        if self._writer.wal_pages < self._some_pages() or self._lock.locked():
            return
        # Not acquired by a call: after that an interrupt could leave it to nobody, and closing would wait for ever.
        with self._lock:
            pages = self._writer.wal_pages
            if pages < self._some_pages():
                # Another thread has just done it.
                return
            try:
                self._run(apsw.SQLITE_CHECKPOINT_RESTART if pages >= MANY_PAGES else apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._writer.wal_pages = 0
            except Busy:
                # Another process checkpoints or an old reader pins the log; its next commit tells us the length again.
                return

    def _some_pages(self) -> int:
        return SOME_PAGES if self._writer.syncs else 2 * SOME_PAGES

    def settle(self) -> None:
        """Checkpoint everything and cut the log to nothing, so that the file alone is whole."""
        with self._lock:
            try:
                self._run(apsw.SQLITE_CHECKPOINT_TRUNCATE)
                self._writer.wal_pages = 0
            except Busy:
                return

    def _run(self, mode: int) -> None:
        if self._closed:
            raise StorageError("this app was closed")
        if self._own is None:
            self._own = self._connect()
        self._writer.renew_log()
        try:
            with raw_errors_translated():
                self._own.raw.wal_checkpoint(mode=mode)
        except LiteqError as error:
            self._writer.note_failure(error)
            raise

    def _connect(self) -> Connection:
        connection = connect(self._path)
        try:
            write_ahead(connection, timeout_ms=RESTART_WAIT_MS)
            wait_when_busy(connection, RESTART_WAIT_MS)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        with self._lock:
            self._closed = True
            own, self._own = self._own, None
            if own is not None:
                own.close()
