"""What an application's statement may do on the connection that writes. SQLite asks while it prepares one."""

from collections.abc import Callable

import apsw

from liteq.errors import StatementRefused

_HARMLESS = frozenset({apsw.SQLITE_READ, apsw.SQLITE_SELECT, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE})
_WRITES = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE})
_ALTERS = frozenset(
    {
        apsw.SQLITE_ALTER_TABLE,
        apsw.SQLITE_ANALYZE,
        apsw.SQLITE_CREATE_INDEX,
        apsw.SQLITE_CREATE_TABLE,
        apsw.SQLITE_CREATE_TRIGGER,
        apsw.SQLITE_CREATE_VIEW,
        apsw.SQLITE_CREATE_VTABLE,
        apsw.SQLITE_DROP_INDEX,
        apsw.SQLITE_DROP_TABLE,
        apsw.SQLITE_DROP_TRIGGER,
        apsw.SQLITE_DROP_VIEW,
        apsw.SQLITE_DROP_VTABLE,
        apsw.SQLITE_REINDEX,
    }
)
_REFUSED = {
    apsw.SQLITE_TRANSACTION: "the block is the transaction: it commits at its end, and an exception rolls it back",
    apsw.SQLITE_SAVEPOINT: "nest app.transaction() instead: a block within a block is a savepoint",
    apsw.SQLITE_ATTACH: "a transaction is of one file; ATTACH is refused",
    apsw.SQLITE_DETACH: "a transaction is of one file; DETACH is refused",
}
_TEMPORARY = "what lasts no longer than a connection is refused, such as TEMP tables"
_PRAGMAS = frozenset(
    {
        "defer_foreign_keys",
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "table_info",
        "table_list",
        "table_xinfo",
        "user_version",
    }
)
"""Those that ask, or take effect in the file alone. All others change the connection, which is the engine's."""

_ASKED_PRAGMAS = frozenset({"data_version", "encoding", "page_size"})
"""Those that ask while they are given no value; full-text and spatial indexes do."""

_COUNTS = frozenset({"sqlite_sequence", "sqlite_stat1", "sqlite_stat4"})
"""SQLite's tables about other tables, liteq's too: which ids were given, how statements are best run."""


class Authorizer:
    """Judges one statement after the other by what SQLite says that it would do. Refuses what it does not know.

    It hears of what triggers do as well. ``before_insert`` is called before rows are added, and may raise.
    """

    def __init__(self, *, shared: bool, before_insert: Callable[[], None]) -> None:
        self._shared = shared
        self._before_insert = before_insert
        self.altered = False
        """Whether a statement since this was last set to false alters the schema."""

    def __call__(
        self, action: int, first: str | None, second: str | None, _database: str | None, _within: str | None
    ) -> int:
        if action not in _HARMLESS:
            names = (first or "").lower(), (second or "").lower()
            if action in _WRITES:
                self._judge_write(action, names[0])
            elif action in _ALTERS:
                self._judge_alteration(names)
            elif action != apsw.SQLITE_PRAGMA:
                raise StatementRefused(_REFUSED.get(action, _TEMPORARY))
            elif names[0] not in _PRAGMAS and (second is not None or names[0] not in _ASKED_PRAGMAS):
                raise StatementRefused(f"pragma {names[0]} is refused: the connection is the engine's")
        return apsw.SQLITE_OK

    def _judge_write(self, action: int, table: str) -> None:
        # Where a table is dropped or renamed, SQLite itself writes down what follows from that.
        if table.startswith("liteq_") or (table in _COUNTS and not self.altered):
            raise StatementRefused(f"table {table} can only be read; jobs are handled by the methods of the app")
        if action == apsw.SQLITE_INSERT:
            self._before_insert()

    def _judge_alteration(self, names: tuple[str, str]) -> None:
        if any(name.startswith("liteq_") for name in names):
            raise StatementRefused("tables of liteq, and names that begin with liteq_, are left alone")
        if not self._shared:
            raise StatementRefused("this file is liteq's alone; Liteq(path, shared=True) has room for other tables")
        self.altered = True
