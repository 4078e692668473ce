"""A transaction of an application's: what it holds within ``with app.transaction() as tx:``."""

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

from liteq.errors import InvalidOption
from liteq.store.transacting import Bindings, Statements

_AWAITED = (
    "a transaction's block awaits, and so other coroutines of its thread write into it; run it by asyncio.to_thread"
)

log = logging.getLogger("liteq.transaction")


class Transaction:
    """Runs statements on the application's own tables, in the commit of its block and by the thread that opened that.

    Triggers, views and foreign keys of the application work as declared. Tables of liteq can be read, not written. A
    statement that fails has done nothing, and the block may go on without it. Once the block has ended, InvalidOption.
    """

    __slots__ = ("_statements",)

    def __init__(self, statements: Statements) -> None:
        self._statements: Statements | None = statements

    def __repr__(self) -> str:
        return f"<Transaction {'open' if self._statements else 'ended'}>"

    def execute(self, sql: str, bindings: Bindings = ()) -> list[tuple[Any, ...]]:
        """Run one statement and give all of its rows; ``?`` takes its values by position, ``:name`` from a mapping.

        Raises ConstraintFailed, StatementRefused for one that reaches beyond the application's tables, StatementFailed
        with SQLite's words for any other that cannot be run, and StorageError and its kinds.
        """
        return self._open().execute(sql, _plain(bindings))

    def executemany(self, sql: str, rows: Iterable[Bindings]) -> list[tuple[Any, ...]]:
        """Run one statement for each of the rows, all or none, and give the rows that come back, as of RETURNING.

        The rows are read before the first is written. Raises what ``execute`` raises.
        """
        # Whatever code makes them must not run while the tables of liteq are shut.
        return self._open().execute_many(sql, [_plain(row) for row in rows])

    def end(self) -> None:
        """Let nothing more be run: the block has ended."""
        self._statements = None

    def _open(self) -> Statements:
        if self._statements is None:
            raise InvalidOption("this transaction has ended; open another with app.transaction()")
        return self._statements


class Turns:
    """Notices whether an event loop of the calling thread turns: then its other coroutines have run meanwhile."""

    def __init__(self) -> None:
        self._turned = False
        loop = _running_loop()
        self._call = None if loop is None else loop.call_soon(self._note)

    def refuse(self) -> None:
        """Raise InvalidOption if it has turned."""
        if self._turned:
            raise InvalidOption(f"{_AWAITED}; it was rolled back")

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None:
            self._call.cancel()

    def _note(self) -> None:
        self._turned = True
        # At once: what is awaited may itself wait for the block to end.
        log.error(_AWAITED)


def _plain(bindings: Any) -> Bindings:
    """Give the values in a container that runs no code of its own when it is read."""
    if isinstance(bindings, Mapping):
        return dict(cast("Mapping[str, Any]", bindings))
    if isinstance(bindings, (str, bytes, bytearray)):
        raise TypeError(
            f"bindings are a sequence or a mapping of values, not {type(bindings).__name__}: write (value,)"
        )
    return tuple(bindings)


def _running_loop() -> Any:
    """Give the event loop that runs in this thread, or None. A program that has not imported asyncio has none."""
    if "asyncio" not in sys.modules:
        return None
    import asyncio  # noqa: PLC0415  see above

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
