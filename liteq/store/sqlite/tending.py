"""Upkeep: the file stays small, its log bounded, its copies whole."""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from liteq.errors import Corrupt, LiteqError, StorageError, UnsafePath
from liteq.store.engine import Watch
from liteq.store.sqlite.binding import id_list
from liteq.store.sqlite.connection import Connection, connect
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.handling import delete_jobs
from liteq.store.sqlite.keeping import in_small_commits
from liteq.store.sqlite.platform import storage_error
from liteq.store.sqlite.schema import RESERVE_BYTES
from liteq.store.sqlite.translate import raw_errors_translated
from liteq.store.sqlite.watch import CommitWatch

ROWS_LOOKED_AT = 5_000
"""How far one step of pruning walks: a bounded read, wherever the prunable jobs lie."""
PAGES_AT_ONCE = 256
BACKUP_PAGES_AT_ONCE = 256


class Tending:
    """The verbs of upkeep."""

    file: JobFile
    pruned_up_to: int

    def watch(self) -> Watch:
        return CommitWatch(self.file)

    def prune(self, *, finished_before: int, limit: int) -> int:
        newest = self.file.read("last_job_id")
        last_id = newest[0][0] if newest else 0
        values = {
            "after_id": self.pruned_up_to,
            "up_to_id": self.pruned_up_to + ROWS_LOOKED_AT,
            "finished_before": finished_before,
            "limit": limit,
        }
        prunable = [row[0] for row in self.file.read("prunable", values)]
        found = next(in_small_commits(self.file, prunable))
        whole = len(prunable) < limit and len(found) == len(prunable)
        self.pruned_up_to = self.pruned_up_to + ROWS_LOOKED_AT if whole else found[-1]
        if self.pruned_up_to >= last_id:
            self.pruned_up_to = 0
        # Once a round, for it is not much that is left of a batch without its jobs.
        if not found and self.pruned_up_to == 0:
            self._prune_batches(finished_before, limit)
        if not found:
            return 0
        with self.file.writer.transaction(durable=False):
            return len(delete_jobs(self.file, found, now=finished_before))

    def _prune_batches(self, finished_before: int, limit: int) -> None:
        values = {"finished_before": finished_before, "limit": limit}
        found = [row[0] for row in self.file.read("prunable_batches", values)]
        if found:
            with self.file.writer.transaction(durable=False):
                self.file.writer.connection.rows("forget_batches", {"batch_ids": id_list(found)})

    def prune_metrics(self, *, before_minute: int) -> int:
        with self.file.writer.transaction(durable=False):
            return len(self.file.writer.connection.rows("prune_metrics", {"before_minute": before_minute}))

    def tend(self) -> None:
        self.file.checkpointer.leave_to_tender()
        self.file.checkpointer.tend()
        self._give_pages_back()

    def _give_pages_back(self) -> None:
        """Return free pages to the disk, all but the reserve and some to grow into."""
        (page_size,) = self.file.read_plain("PRAGMA page_size")[0]
        (free,) = self.file.read_plain("PRAGMA freelist_count")[0]
        (pages,) = self.file.read_plain("PRAGMA page_count")[0]
        if free <= 2 * RESERVE_BYTES // page_size + pages // 4:
            return
        with self.file.writer.transaction(durable=False):
            self.file.writer.connection.plain(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")

    def settle(self) -> None:
        self.file.checkpointer.settle()

    def backup(self, destination: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
        target = destination.absolute()
        with _system_errors_translated(target):
            if target.exists() and target.samefile(self.file.path):
                raise UnsafePath(f"{str(target)!r} is the open file itself; a backup goes elsewhere")
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
        _create_private(unfinished)
        try:
            self._copy_to(unfinished, progress)
            with _system_errors_translated(target):
                _sync(unfinished)
                unfinished.replace(target)
                _sync(target.parent)
        finally:
            # What cannot be removed stays; the error that came before is the one that counts.
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def _copy_to(self, copy: Path, progress: Callable[[int, int], None] | None) -> None:
        source, sink = connect(self.file.path), connect(copy)
        try:
            # One snapshot for the whole copy: else every commit meanwhile would start it over.
            source.plain("BEGIN")
            source.rows("schema_version")
            with raw_errors_translated(), sink.raw.backup("main", source.raw, "main") as steps:
                while not steps.done:
                    steps.step(BACKUP_PAGES_AT_ONCE)
                    if progress is not None:
                        progress(steps.page_count - steps.remaining, steps.page_count)
            complaints = complaints_of(sink, full=True)
            if complaints:
                raise Corrupt(f"the copy is damaged, and so may be the file: {complaints[0]}")
            # The copy is one file: without a log beside it nothing is missing when it is moved.
            sink.plain("PRAGMA journal_mode = DELETE")
        finally:
            for connection in (sink, source):
                with suppress(LiteqError):
                    connection.close()

    def check(self, *, full: bool) -> list[str]:
        connection = connect(self.file.path)
        try:
            return complaints_of(connection, full=full)
        finally:
            connection.close()


def complaints_of(connection: Connection, *, full: bool) -> list[str]:
    """Give what SQLite finds wrong with the file, nothing when it is whole."""
    try:
        found = connection.plain("PRAGMA integrity_check" if full else "PRAGMA quick_check")
    except StorageError as error:
        return [str(error)]
    return [str(row[0]) for row in found if row[0] != "ok"]


@contextmanager
def _system_errors_translated(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def _create_private(path: Path) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    with _system_errors_translated(path):
        os.close(os.open(path, flags, 0o600))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
