"""Exit codes, which error gives which, and what to try next. Nothing is printed here."""

from enum import IntEnum

from liteq.errors import (
    BadArguments,
    BatchNotFound,
    Busy,
    Corrupt,
    DependencyError,
    FileMissing,
    InvalidSchedule,
    JobNotFound,
    LiteqError,
    LockTimeout,
    NotALiteqFile,
    NotCompleted,
    QueueFull,
    ScheduleNotFound,
    SchemaTooNew,
    StorageError,
    UniqueKeyTaken,
    UnknownTask,
    WaitTimeout,
    WrongState,
)


class Code(IntEnum):
    """What the process says when it ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    DEGRADED = 4
    TIMED_OUT = 5
    UNAVAILABLE = 69
    BUSY = 75
    INTERRUPTED = 130


class Refused(Exception):  # noqa: N818  what happened, as in liteq.errors
    """The command line will not do it: why, what to try, and the code to end with."""

    def __init__(self, message: str, *, hint: str | None = None, code: Code = Code.USAGE) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


# The first row that fits counts.
CODES: tuple[tuple[type[Exception], Code], ...] = (
    (Busy, Code.BUSY),
    (StorageError, Code.UNAVAILABLE),
    (WaitTimeout, Code.TIMED_OUT),
    (LockTimeout, Code.TIMED_OUT),
    (JobNotFound, Code.NOT_FOUND),
    (ScheduleNotFound, Code.NOT_FOUND),
    (BatchNotFound, Code.NOT_FOUND),
    (DependencyError, Code.NOT_FOUND),
    (UnknownTask, Code.NOT_FOUND),
    (WrongState, Code.FAILED),
    (NotCompleted, Code.FAILED),
    (UniqueKeyTaken, Code.FAILED),
    (QueueFull, Code.BUSY),
    (LiteqError, Code.USAGE),
    (Exception, Code.FAILED),
)

HINTS: tuple[tuple[type[Exception], str], ...] = (
    (FileMissing, "liteq init makes one; --file PATH or --app module:attribute names another"),
    (UnknownTask, "liteq config shows which app is in force; --app module:attribute names another"),
    (BadArguments, "key=value passes text, key:=5 passes JSON"),
    (Busy, "try again; another process is in a long write"),
    (NotALiteqFile, "--file PATH names another file"),
    (SchemaTooNew, "install a liteq at least as new as the one that wrote it"),
    (Corrupt, "liteq check --full says more"),
    (QueueFull, "--wait-for-room 30s waits; liteq queue limit QUEUE --max-pending N lets more wait"),
    (JobNotFound, "liteq job list shows the jobs there are"),
    (BatchNotFound, "liteq batch list shows the batches there are"),
    (ScheduleNotFound, "liteq schedule list shows the schedules there are"),
    (InvalidSchedule, "liteq schedule explain 'EXPR' tries an expression"),
)


def code_of(error: Exception) -> Code:
    """Give the exit code that an error means."""
    if isinstance(error, Refused):
        return error.code
    return next(code for kind, code in CODES if isinstance(error, kind))


def hint_of(error: Exception) -> str | None:
    """Give what to try next, None when nothing is known."""
    if isinstance(error, Refused):
        return error.hint
    return next((hint for kind, hint in HINTS if isinstance(error, kind)), None)
