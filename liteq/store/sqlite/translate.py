"""Turns every raw error of the database layer into the tree of ``liteq.errors``."""

from collections.abc import Generator
from contextlib import contextmanager

import apsw

from liteq.errors import (
    Busy,
    Corrupt,
    DiskFull,
    InvalidOption,
    LiteqError,
    NotALiteqFile,
    ReadOnly,
    StorageError,
)

_KINDS: tuple[tuple[type[apsw.Error], type[StorageError], str], ...] = (
    (apsw.BusyError, Busy, "another process kept the write lock for too long; try again"),
    (apsw.LockedError, Busy, "the file is locked; try again"),
    (apsw.ReadOnlyError, ReadOnly, "the file, its folder or its mount is read-only"),
    (apsw.FullError, DiskFull, "the disk is full"),
    (apsw.NotADBError, NotALiteqFile, "the file is not a database"),
    (apsw.CorruptError, Corrupt, "the file is damaged; run 'liteq check' and restore a backup"),
    (
        apsw.CantOpenError,
        StorageError,
        "the file or its -wal or -shm cannot be opened; check its owner and mode",
    ),
    (apsw.PermissionsError, StorageError, "access to the file was denied"),
    (apsw.IOError, StorageError, "the disk reported an error"),
)
_FAILED_SYNCS = {apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC}
RAW_ERRORS = (apsw.Error, UnicodeError, OverflowError, RecursionError, MemoryError)


def translated(error: BaseException, *, committing: bool = False) -> LiteqError:
    """Give the error of our tree that stands for a raw one.

    A commit that failed with an I/O error may still become visible after a restart; then ``may_have_committed`` is set.
    """
    if isinstance(error, apsw.Error):
        for raw, ours, words in _KINDS:
            if isinstance(error, raw):
                unsure = committing and raw in {apsw.IOError, apsw.FullError}
                return ours(f"{words} ({error})", may_have_committed=unsure)
        return StorageError(f"the database refused: {type(error).__name__}: {error}")
    if isinstance(error, UnicodeDecodeError):
        return Corrupt(f"stored text is damaged: {error.reason}")
    if isinstance(error, UnicodeError | OverflowError):
        return InvalidOption(f"a value cannot be stored: {error}")
    return StorageError(f"the database layer gave up: {type(error).__name__}: {error}")


def is_failed_sync(error: LiteqError) -> bool:
    """Tell whether the disk did not take what it had been given."""
    return getattr(error.__cause__, "extendedresult", None) in _FAILED_SYNCS


@contextmanager
def raw_errors_translated(*, committing: bool = False) -> Generator[None]:
    """Let only errors of our tree out of the block."""
    try:
        yield
    except RAW_ERRORS as error:
        raise translated(error, committing=committing) from error
