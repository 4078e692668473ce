"""The one way in which this process writes: one checked transaction at a time, in turn with others."""

import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import get_ident
from typing import TypeVar

import apsw

from liteq.errors import (
    Busy,
    Corrupt,
    FileMoved,
    ForkedClient,
    LiteqError,
    NotALiteqFile,
    RolledBack,
    SchemaTooNew,
    StorageError,
)
from liteq.store.sqlite import schema
from liteq.store.sqlite.connection import Connection
from liteq.store.sqlite.one_library import lineage, trusted_here
from liteq.store.sqlite.platform import write_again
from liteq.store.sqlite.processes import writer_pid
from liteq.store.sqlite.translate import is_failed_sync
from liteq.store.sqlite.turnstile import Turnstile

T = TypeVar("T")

_SYNCHRONOUS = {True: "PRAGMA synchronous = FULL", False: "PRAGMA synchronous = NORMAL"}


class Inside:
    """Knows which threads are inside the database layer: a time limit must not interrupt them there."""

    def __init__(self) -> None:
        self._depth: dict[int, int] = {}

    def __enter__(self) -> None:
        thread = get_ident()
        self._depth[thread] = self._depth.get(thread, 0) + 1

    def __exit__(self, *_: object) -> None:
        thread = get_ident()
        if self._depth[thread] == 1:
            del self._depth[thread]
        else:
            self._depth[thread] -= 1

    def here(self) -> bool:
        """Tell whether the calling thread is inside."""
        return get_ident() in self._depth

    def has(self, thread: int) -> bool:
        """Tell whether that thread is inside."""
        return thread in self._depth


class Writer:
    """Owns the write connection. Threads of this process queue here, processes at the turnstile."""

    def __init__(
        self,
        connection: Connection,
        turnstile: Turnstile,
        inside: Inside,
        *,
        path: Path,
        full: bool,
        shared: bool,
        busy_timeout_ms: int,
    ) -> None:
        self.connection = connection
        self.wal_pages = 0
        self.epoch = 0
        """Goes up whenever what an earlier transaction has read may hold no longer: others wrote, or it was undone."""
        self.checkpoint_from = sys.maxsize
        """So many pages of the log are worth a checkpoint after a commit here."""
        self.checkpoint: Callable[[], None] | None = None
        self._turnstile = turnstile
        self._inside = inside
        self.syncs = full
        """Whether durable commits wait for the disk."""
        self._shared = shared
        self._closed = False
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._lock = threading.Lock()
        self.busy: Callable[[], bool] = self._lock.locked
        """Tells whether a thread of this process writes at this moment."""
        self._owner = 0
        self._synced: bool | None = None
        self._pid = os.getpid()
        self._forks = lineage.forks
        self._schema_cookie: int | None = None
        self._left_at: int | None = None
        """The version of the data after the latest commit here."""
        self._log_in_doubt = False
        connection.raw.set_wal_hook(self._note_wal)

    def holds(self) -> bool:
        """Tell whether the calling thread has a transaction open."""
        if self._owner != get_ident():
            return False
        # A child forked in the middle of a transaction has its thread's number too.
        self.refuse_fork()
        self.refuse_when_lost()
        return True

    def refuse_when_lost(self) -> None:
        """Refuse to go on where SQLite has taken back the open transaction: what follows would be committed alone."""
        if not self.connection.in_transaction():
            raise RolledBack("the transaction was rolled back before its block had ended; nothing of it is stored")

    def refuse_fork(self) -> None:
        """A forked child's commit on an inherited connection would succeed and be lost."""
        if os.getpid() != self._pid or lineage.forks != self._forks:
            raise ForkedClient("this app was made before a fork; make a new Liteq in the child process")

    def forget_schema(self) -> None:
        """Take the schema as it is now for the one to expect: this process has just made it."""
        self._schema_cookie = None
        self._left_at = None

    def note_failure(self, error: LiteqError) -> None:
        """Have the next write renew the whole log, if the error says that a sync failed.

        After a failed sync the kernel takes what it could not write for written (Linux: "fsyncgate", 2018), also
        commits that had not been synced before. A later sync says nothing of them, and a log ends at its first hole.
        """
        if is_failed_sync(error):
            self._log_in_doubt = True

    def renew_log(self) -> None:
        """Give the disk the log once more where a sync has failed. Nothing may be moved out of it before."""
        if self._log_in_doubt:
            with self.transaction(durable=False):
                pass

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Generator[None]:
        """Run the block as one commit, or join the one that the thread has open.

        ``durable``: the commit is on the disk when the block ends, if the file was opened so.
        """
        if self.holds():
            yield
            return
        self.refuse_fork()
        with self._inside:
            with self._lock:
                try:
                    self._begin(durable=durable and self.syncs)
                    yield
                    self._commit()
                except BaseException:
                    try:
                        self._undo()
                    finally:
                        # Once more: an interrupt may have cut it short, be it before its first line.
                        self._undo()
                    raise
            if self.wal_pages >= self.checkpoint_from and self.checkpoint is not None:
                self.checkpoint()

    def run(self, work: Callable[[], T]) -> T:
        """Run the work as one durable commit of its own, and give what it gives.

        Without a generator between: an interrupt could leave one suspended, holding the lock, while others wait.
        """
        with self._inside:
            with self._lock:
                try:
                    self._begin(durable=self.syncs)
                    done = work()
                    self._commit()
                except BaseException:
                    try:
                        self._undo()
                    finally:
                        # Once more: an interrupt may have cut it short, be it before its first line.
                        self._undo()
                    raise
            if self.wal_pages >= self.checkpoint_from and self.checkpoint is not None:
                self.checkpoint()
        return done

    def close(self) -> None:
        """Close the connection between two transactions; later ones are refused."""
        with self._lock:
            self._closed = True
            self.connection.close()

    def _commit(self) -> None:
        self.refuse_fork()
        try:
            self.connection.plain("COMMIT", committing=True)
        except LiteqError as error:
            self.note_failure(error)
            raise
        self._left_at = self.connection.data_version()
        self._owner = 0
        self._turnstile.leave()

    def _undo(self) -> None:
        """Take back what was not committed, and let go of what an interrupt anywhere may have left held."""
        # Also where SQLite has rolled back by itself, as after a commit that failed.
        self.epoch += 1
        try:
            self._roll_back()
        finally:
            self._owner = 0
            self._turnstile.leave()

    def _begin(self, *, durable: bool) -> None:
        if self._closed:
            raise StorageError("this app was closed")
        # A turn that does not come is no refusal: SQLite's own lock decides.
        self._turnstile.enter(self._busy_timeout_ms // 2)
        if durable is not self._synced:
            self.connection.plain(_SYNCHRONOUS[durable])
            self._synced = durable
        try:
            self.connection.plain("BEGIN IMMEDIATE")
        except Busy as error:
            raise self._naming_the_holder(error) from error
        self._owner = get_ident()
        if self.connection.file_moved():
            raise FileMoved("the file was deleted, renamed or replaced while open; nothing was written")
        if self.connection.data_version() != self._left_at:
            self._note_others()
        if self._log_in_doubt:
            # Meanwhile the write lock keeps the log as it is.
            with trusted_here():
                write_again(self._path.with_name(f"{self._path.name}-wal"))
            self._log_in_doubt = False

    def _naming_the_holder(self, error: Busy) -> Busy:
        pid = writer_pid(self._path.with_name(f"{self._path.name}-shm"))
        if pid is None:
            return error
        who = "another engine of this process" if pid == self._pid else f"process {pid}"
        waited = f"{self._busy_timeout_ms / 1000:g} s"
        return Busy(f"{who} has kept the write lock for more than {waited} (stopped?)")

    def _note_others(self) -> None:
        """Take in that others have written since: what was read before may hold no longer, the schema neither."""
        self.epoch += 1
        cookie: int = self.connection.plain("PRAGMA schema_version")[0][0]
        if self._schema_cookie is None:
            self._schema_cookie = cookie
        elif cookie != self._schema_cookie:
            self._check_schema()
            self._schema_cookie = cookie

    def _check_schema(self) -> None:
        # A neighbour's tables in a shared file and a VACUUM change the cookie too, and leave ours as they were.
        try:
            ours = schema.holds_liteq(self.connection, shared=self._shared)
            if ours and schema.stored_version(self.connection) == schema.SCHEMA_VERSION:
                return
        except (Corrupt, NotALiteqFile) as error:
            raise _changed() from error
        raise _changed()

    def _roll_back(self) -> None:
        # SQLite has often rolled back by itself already; the first error is the one that counts.
        if self.connection.in_transaction():
            with suppress(LiteqError):
                # A forked child must not even do that: it shares the log's index with its parent.
                self.refuse_fork()
                self.connection.plain("ROLLBACK")

    def _note_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.wal_pages = pages
        return 0


def _changed() -> SchemaTooNew:
    return SchemaTooNew("the file's schema was changed by another program while open; open it again")
