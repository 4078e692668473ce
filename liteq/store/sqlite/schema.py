"""Makes, checks and migrates the schema. A file that does not look exactly as this program would make it is refused."""

from functools import cache

import apsw

from liteq.errors import Corrupt, NotALiteqFile, SchemaTooNew, SchemaTooOld
from liteq.store.sqlite.connection import Connection
from liteq.store.sqlite.statements import migrations

APPLICATION_ID = 0x6C697471
RESERVE_BYTES = 4 * 1024 * 1024
SCHEMA_VERSION = migrations()[-1][0]

_OBJECTS = """
SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY type, name
"""

Objects = frozenset[tuple[str, str, str, str]]


def holds_liteq(connection: Connection, *, shared: bool) -> bool:
    """Tell whether the file has our schema, false for an empty one; refuse other people's files and newer ones.

    Reads only. In a shared file nothing but the ``liteq_*`` objects is looked at.
    """
    objects = _objects(connection)
    ours = frozenset(row for row in objects if _is_ours(row))
    if not ours:
        if objects and not shared:
            raise NotALiteqFile("the file has other tables; liteq shares a file only with shared=True")
        if not objects and _application_id(connection) not in {0, APPLICATION_ID}:
            raise NotALiteqFile("the file belongs to another application")
        return False
    if objects - ours and not shared:
        strangers = ", ".join(sorted(row[1] for row in objects - ours)[:5])
        raise Corrupt(f"the schema holds objects that liteq did not make: {strangers}")
    version = stored_version(connection)
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(f"the file has schema {version}, this liteq knows {SCHEMA_VERSION}; update liteq")
    if ours != expected_objects(version):
        raise Corrupt("the schema of the liteq tables was tampered with; restore a backup")
    return True


def create(connection: Connection, *, shared: bool) -> None:
    """Run every migration in the open transaction, and mark the file as ours unless it is shared."""
    for number, script in migrations():
        connection.plain(script)
        _set_version(connection, number)
    if not shared:
        connection.raw.pragma("application_id", APPLICATION_ID)


def migrate(connection: Connection) -> None:
    """Run the migrations that the file still lacks in the open transaction."""
    version = stored_version(connection)
    for number, script in migrations():
        if number > version:
            connection.plain(script)
            _set_version(connection, number)


def keep_reserve(connection: Connection) -> None:
    """Grow the file by free pages: on a full disk they let workers drain what is queued."""
    connection.plain("CREATE TABLE liteq_reserve (x BLOB) STRICT")
    connection.raw.execute("INSERT INTO liteq_reserve VALUES (zeroblob(?))", (RESERVE_BYTES,))
    connection.plain("DROP TABLE liteq_reserve")


def stored_version(connection: Connection) -> int:
    """Give the schema version that the file says it has."""
    try:
        found = connection.rows("schema_version")
        version = int(found[0][0])
    except (IndexError, ValueError) as error:
        raise Corrupt("the file does not say which schema version it has") from error
    if version < 1:
        raise SchemaTooOld(f"schema {version} is too old to migrate from")
    return version


@cache
def expected_objects(version: int) -> Objects:
    """Give the schema as the migrations up to ``version`` make it."""
    raw = apsw.Connection(":memory:")
    for number, script in migrations():
        if number <= version:
            raw.execute(script)
    return frozenset(row for row in _objects(Connection(raw)) if _is_ours(row))


def _objects(connection: Connection) -> Objects:
    return frozenset((kind, name, table, sql or "") for kind, name, table, sql in connection.plain(_OBJECTS))


def _is_ours(row: tuple[str, str, str, str]) -> bool:
    return row[1].startswith("liteq_") or row[2].startswith("liteq_")


def _application_id(connection: Connection) -> int:
    return int(connection.plain("PRAGMA application_id")[0][0])


def _set_version(connection: Connection, number: int) -> None:
    connection.raw.execute(
        "INSERT INTO liteq_meta (key, value) VALUES ('schema_version', ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (str(number),),
    )
