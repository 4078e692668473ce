"""Runs an application's own statements on the connection that writes: its triggers, views and foreign keys work
meanwhile, and what belongs to liteq can only be read."""

import re
from collections.abc import Callable, Iterable
from threading import get_ident

import apsw

from liteq.errors import (
    ConstraintFailed,
    Corrupt,
    FileMoved,
    InvalidOption,
    LiteqError,
    NotALiteqFile,
    StatementFailed,
    StatementRefused,
)
from liteq.store.sqlite import schema
from liteq.store.sqlite.authorizing import Authorizer
from liteq.store.sqlite.connection import Row
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.translate import RAW_ERRORS, translated
from liteq.store.transacting import Bindings

_OF_THE_SCHEMA = (
    apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER,
    apsw.SQLITE_DBCONFIG_ENABLE_VIEW,
    apsw.SQLITE_DBCONFIG_ENABLE_FKEY,
)
"""What in a schema acts by itself. Off for the engine, see ``harden``. Each change has SQLite prepare all statements of
the connection anew before they run again, so that none keeps what it was prepared with."""

_STATEMENT_ERRORS = (
    apsw.SQLError,
    apsw.BindingsError,
    apsw.MismatchError,
    apsw.RangeError,
    apsw.TooBigError,
    apsw.AbortError,
    apsw.AuthError,
)
_NOTHING_MORE = re.compile(r"(?:[\s;]|--[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)


class ApplicationSql:
    """The door by which an application's statements come in, open for one thread at a time."""

    def __init__(self, file: JobFile) -> None:
        self._file = file
        self._connection = file.writer.connection
        self._authorizer = Authorizer(shared=file.shared, before_insert=file.refuse_when_nearly_full)
        self.thread = 0
        """The thread whose code runs in a transaction at this moment."""
        self.joined = 0
        """How many transactions of the engine's own callers have joined it."""

    def open(self) -> None:
        """Open for the calling thread, in its transaction."""
        self.joined = 0
        self.thread = get_ident()

    def close(self) -> None:
        """Close; safe to repeat."""
        self._harden()
        self.thread = 0

    def check_end(self) -> None:
        """Raise what stands against a commit. The file may have been moved while the application took its time."""
        self._file.writer.refuse_when_lost()
        if self._connection.file_moved():
            raise FileMoved("the file was deleted, renamed or replaced while open; nothing was written")

    def execute(self, sql: str, bindings: Bindings) -> list[Row]:
        return self._run(sql, lambda cursor: cursor.execute(sql, bindings, can_cache=False))

    def execute_many(self, sql: str, rows: Iterable[Bindings]) -> list[Row]:
        return self._run(sql, lambda cursor: cursor.executemany(sql, rows, can_cache=False))

    def _run(self, sql: str, call: Callable[[apsw.Cursor], apsw.Cursor]) -> list[Row]:
        self._refuse_others()
        plain = self._connection.plain
        plain("SAVEPOINT statement")
        try:
            found = self._run_open(sql, call)
            if self._authorizer.altered:
                self._check_schema()
        except BaseException:
            if self._connection.in_transaction():
                plain("ROLLBACK TO statement")
                plain("RELEASE statement")
            raise
        plain("RELEASE statement")
        return found

    def _run_open(self, sql: str, call: Callable[[apsw.Cursor], apsw.Cursor]) -> list[Row]:
        cursor = self._connection.raw.cursor()
        one_only = _OneOnly(sql, cursor)
        cursor.exec_trace = one_only
        try:
            self._soften()
            return call(cursor).fetchall()
        except apsw.ConstraintError as error:
            raise ConstraintFailed(str(error)) from error
        except _STATEMENT_ERRORS as error:
            raise StatementFailed(str(error)) from error
        except TypeError as error:
            raise StatementFailed(str(error)) from error
        except KeyError as error:
            raise StatementFailed(f"there is no value for :{error.args[0]}") from error
        except RAW_ERRORS as error:
            raise translated(error) from error
        finally:
            cursor.close(force=True)
            self._harden()

    def _soften(self) -> None:
        raw = self._connection.raw
        self._authorizer.altered = False
        raw.authorizer = self._authorizer
        for part in _OF_THE_SCHEMA:
            raw.config(part, 1)

    def _harden(self) -> None:
        # Last the guard: whatever interrupts this leaves the engine's own writes refused, never a trigger at work.
        raw = self._connection.raw
        for part in _OF_THE_SCHEMA:
            raw.config(part, 0)
        raw.authorizer = None

    def _check_schema(self) -> None:
        """Refuse what no authorizer hears of: the new name of a renamed table."""
        try:
            schema.holds_liteq(self._connection, shared=True)
        except (Corrupt, NotALiteqFile) as error:
            raise StatementRefused("names that begin with liteq_ belong to liteq") from error

    def _refuse_others(self) -> None:
        if self.thread != get_ident() or not self._file.writer.holds():
            raise InvalidOption("a transaction belongs to the thread that opened it, until its block ends")


def constraint_behind(error: LiteqError) -> ConstraintFailed | None:
    """Give the failed constraint that a refused commit stands for, if that is what it was."""
    raw = error.__cause__
    return ConstraintFailed(str(raw)) if isinstance(raw, apsw.ConstraintError) else None


class _OneOnly:
    """Refuses a text of several statements before the first is run: what is built into one must not bring another."""

    def __init__(self, sql: str, cursor: apsw.Cursor) -> None:
        self._sql = sql
        self._cursor = cursor

    def __call__(self, _cursor: apsw.Cursor, first: str, _bindings: object) -> bool:
        if _NOTHING_MORE.fullmatch(self._sql.removeprefix(first)) is None:
            raise StatementRefused("one statement at a time: there is another behind the first")
        # What follows are comments, or the same statement for the next row.
        self._cursor.exec_trace = None
        return True
