"""Every error that liteq raises on purpose, in one tree.

::

    LiteqError
    ├── InvalidName               a name of a task, queue, tag, worker or unique key that cannot be one
    ├── InvalidOption             a number, duration, instant or setting outside its range
    ├── InvalidSchedule           a schedule that cannot be read or would never fire
    ├── BadArguments              arguments that do not fit the task (also a TypeError)
    ├── PayloadNotSerializable    a value that JSON cannot carry
    ├── PayloadTooLarge           more bytes than ``max_payload``
    ├── Undecodable               stored bytes that are no JSON of the wanted type
    ├── UnknownTask               no task of that name is registered here
    ├── DependencyError           parents that do not exist or form a circle
    ├── UniqueKeyTaken            another job holds the unique key
    ├── QueueFull                 as many jobs wait in the queue as it may hold
    ├── JobNotFound               no job has that id
    ├── BatchNotFound             no batch has that id
    ├── ScheduleNotFound          no schedule has that name
    ├── WrongState                the verb is not allowed in the job's state
    ├── NotCompleted              a result was asked of a job that has none
    ├── WaitTimeout               the job had not finished in time (also a TimeoutError)
    ├── LockTimeout               somebody else held the lock for too long (also a TimeoutError)
    ├── LockLost                  the lock is no longer this holder's
    ├── PartlyEnqueued            a stream of jobs broke off; its whole chunks are stored
    ├── LeaseLost                 a late report: the claim is no longer the reporter's
    ├── StreamFull                an attempt published more than a job's stream may hold
    ├── StatementFailed           an application's own SQL could not be run; the message is SQLite's
    │   ├── ConstraintFailed      a constraint, a foreign key or a trigger's RAISE did not let it
    │   └── StatementRefused      it reached beyond the application's own tables
    ├── RolledBack                a transaction was lost before its block had ended; nothing of it is stored
    ├── ForkedClient              an app object was used in a forked child
    └── StorageError              the file or its disk; ``may_have_committed`` says when that is open
        ├── FileMissing           there is no such file, and this call does not create one
        ├── NotALiteqFile         a file of something else
        ├── SchemaTooNew          written by a newer liteq
        ├── SchemaTooOld          written by a liteq too old to migrate from
        ├── ReadOnly              the file, folder or mount cannot be written
        ├── Busy                  another process kept the write lock too long
        ├── DiskFull              no space left
        ├── Corrupt               damaged pages or a tampered schema
        ├── FileMoved             the file was deleted, renamed or replaced while open
        ├── UnsafePath            a path that must not be opened
        ├── UnsupportedFilesystem WAL does not work there
        └── SecondLibrary         another SQLite library of this process has the file open

``Snooze`` and ``GiveUp`` are no errors but words that a task says by raising them.
"""

from datetime import datetime, timedelta


class LiteqError(Exception):
    """The root of every error that liteq raises on purpose."""


class InvalidName(LiteqError, ValueError):
    """A name of a task, queue, tag, worker or unique key that cannot be one."""


class InvalidOption(LiteqError, ValueError):
    """A number, duration, instant or setting outside its range."""


class InvalidSchedule(LiteqError, ValueError):
    """A schedule that cannot be read or would never fire."""


class UnknownTimeZone(InvalidSchedule):
    """A time zone that this machine's database does not have; another's may."""


class BadArguments(LiteqError, TypeError):
    """Arguments that do not fit the task's signature."""


class PayloadNotSerializable(LiteqError, ValueError):
    """A value that JSON cannot carry; the message names its path."""


class PayloadTooLarge(LiteqError, ValueError):
    """More bytes than ``max_payload`` allows."""


class Undecodable(LiteqError, ValueError):
    """Stored bytes that are no JSON of the wanted type."""


class UnknownTask(LiteqError, LookupError):
    """No task of that name is registered here."""


class DependencyError(LiteqError, ValueError):
    """Parents that do not exist, or that form a circle."""


class UniqueKeyTaken(LiteqError):
    """Another job holds the unique key. ``job_id`` is the holder's."""

    def __init__(self, message: str, *, job_id: int) -> None:
        super().__init__(message)
        self.job_id = job_id


class QueueFull(LiteqError):
    """As many jobs wait in the queue as it may hold; nothing was enqueued.

    ``pending`` is how many waited, ``max_pending`` how many may, ``wanted`` how many were to be added at once.
    """

    def __init__(self, queue: str, *, pending: int, max_pending: int, wanted: int = 1) -> None:
        more = "" if wanted == 1 else f", and {wanted:,} more do not fit"
        super().__init__(f"queue {queue[:80]!r} is full: {pending:,} of at most {max_pending:,} wait in it{more}")
        self.queue = queue
        self.pending = pending
        self.max_pending = max_pending
        self.wanted = wanted


class JobNotFound(LiteqError, LookupError):
    """No job has that id: it never existed, was deleted, or was pruned."""


class BatchNotFound(LiteqError, LookupError):
    """No batch has that id; it may have been pruned."""


class ScheduleNotFound(LiteqError, LookupError):
    """No schedule has that name: it was never stored here, or was removed."""


class WrongState(LiteqError):
    """The verb is not allowed in the state that the job is in."""


class NotCompleted(LiteqError):
    """A result was asked of a job that did not complete."""


class WaitTimeout(LiteqError, TimeoutError):
    """The job had not finished when the time to wait was over."""


class LockTimeout(LiteqError, TimeoutError):
    """A lock was not free in time. ``pid``, ``what`` and ``since`` tell who holds it, None if it is free by now."""

    def __init__(self, message: str, *, name: str, pid: int | None, what: str | None, since: datetime | None) -> None:
        super().__init__(message)
        self.name = name
        self.pid = pid
        self.what = what
        self.since = since


class LockLost(LiteqError):
    """The lock was taken from its holder: somebody released it by hand, or the app was closed meanwhile."""


class PartlyEnqueued(LiteqError):
    """A stream of jobs broke off, for the reason that is this error's cause; what was committed before stays.

    ``jobs`` and ``chunks`` count what is stored, ``last_chunk`` holds the ids of the last whole chunk. With
    ``may_have_committed`` it is open whether the chunk behind that is stored as well.
    """

    def __init__(
        self, message: str, *, jobs: int, chunks: int, last_chunk: tuple[int, ...], may_have_committed: bool = False
    ) -> None:
        super().__init__(message)
        self.jobs = jobs
        self.chunks = chunks
        self.last_chunk = last_chunk
        self.may_have_committed = may_have_committed


class LeaseLost(LiteqError):
    """A late report: the job was taken from this claim, and the report was dropped."""


class StreamFull(LiteqError):
    """An attempt has published as much as the stream of a job may hold; what was published before stays."""


class StatementFailed(LiteqError):
    """An application's own SQL could not be run; the message is SQLite's, the transaction goes on without it."""


class ConstraintFailed(StatementFailed):
    """A constraint, a foreign key or a trigger's RAISE did not let the statement, or at its end the block, be."""


class StatementRefused(StatementFailed):
    """A statement that reaches beyond the application's own tables: liteq's, the connection, the transaction."""


class RolledBack(LiteqError):
    """A transaction was lost before its block had ended, by ``OR ROLLBACK`` or on a failing disk; it stored nothing."""


class ForkedClient(LiteqError):
    """An app object was used in a forked child. Make a new one there."""


class StorageError(LiteqError):
    """The file or its disk failed.

    ``may_have_committed`` is true when a commit failed in a way that leaves open whether it lasts;
    retry such an enqueue with the same unique key and the scope ``always``.
    """

    def __init__(self, message: str, *, may_have_committed: bool = False) -> None:
        super().__init__(message)
        self.may_have_committed = may_have_committed


class FileMissing(StorageError):
    """There is no such file, and this call does not create one."""


class NotALiteqFile(StorageError):
    """The file belongs to something else; it was not touched."""


class SchemaTooNew(StorageError):
    """The file was written by a newer liteq than this one."""


class SchemaTooOld(StorageError):
    """The file was written by a liteq too old to migrate from."""


class ReadOnly(StorageError):
    """The file, its folder or its mount cannot be written."""


class Busy(StorageError):
    """Another process kept the write lock for too long."""


class DiskFull(StorageError):
    """There is no space left for the write."""


class Corrupt(StorageError):
    """Damaged pages, or a schema that was tampered with."""


class FileMoved(StorageError):
    """The file was deleted, renamed or replaced while it was open."""


class UnsafePath(StorageError):
    """A path that must not be opened: no regular file, linked, or in a folder where others could swap it."""


class UnsupportedFilesystem(StorageError):
    """A filesystem on which WAL loses data."""


class SecondLibrary(StorageError):
    """Another SQLite library of this process has, or wants, the file: both would think they hold its lock."""


class Snooze(Exception):
    """Raised by a task: run me again after ``delay``; this is no failure."""

    def __init__(self, delay: timedelta | float, reason: str | None = None) -> None:
        super().__init__(reason or f"snoozed for {delay}")
        self.delay = delay
        self.reason = reason


class GiveUp(Exception):
    """Raised by a task: retrying cannot help; put the job with the dead letters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
