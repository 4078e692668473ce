"""Moves the write-ahead log back into the file: in the background where a worker tends it, else after a commit."""

import threading
from pathlib import Path

import apsw

from liteq.store.sqlite.connection import Connection, connect, wait_when_busy, write_ahead
from liteq.store.sqlite.writer import Writer

SOME_PAGES = 1_000
"""From here on (about 4 MB) a passive checkpoint is worth its fsyncs."""
MANY_PAGES = 4_096
"""From here on (16 MiB) readers are waited for, so that the log starts over from its beginning."""
RESTART_WAIT_MS = 50


class Checkpointer:
    """Decides when to checkpoint and does it on a connection of its own, so that no claim waits for its fsyncs."""

    def __init__(self, path: Path, writer: Writer) -> None:
        self.tended = False
        """Whether somebody calls ``tend`` regularly; commits then leave checkpoints to them."""
        self._path = path
        self._writer = writer
        self._own: Connection | None = None
        self._lock = threading.Lock()

    def after_commit(self) -> None:
        """Checkpoint when the log has grown and nobody else will."""
        if self._writer.wal_pages >= (2 * MANY_PAGES if self.tended else SOME_PAGES):
            self.tend()

    def tend(self) -> None:
        """Checkpoint if the log is worth it. Never waits for long; a busy file is left for the next time."""
        pages = self._writer.wal_pages
        if pages < SOME_PAGES:
            return
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._run(apsw.SQLITE_CHECKPOINT_RESTART if pages >= MANY_PAGES else apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._writer.wal_pages = 0
        except apsw.BusyError:
            # Another process checkpoints or an old reader pins the log; its next commit tells us the length again.
            return
        finally:
            self._lock.release()

    def settle(self) -> None:
        """Checkpoint everything and cut the log to nothing, so that the file alone is whole."""
        with self._lock:
            try:
                self._run(apsw.SQLITE_CHECKPOINT_TRUNCATE)
                self._writer.wal_pages = 0
            except apsw.BusyError:
                return

    def _run(self, mode: int) -> None:
        if self._own is None:
            self._own = connect(self._path)
            write_ahead(self._own)
            wait_when_busy(self._own, RESTART_WAIT_MS)
        self._own.raw.wal_checkpoint(mode=mode)

    def close(self) -> None:
        with self._lock:
            if self._own is not None:
                self._own.close()
                self._own = None
