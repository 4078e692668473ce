"""The schema: as documented, and refused where it is newer, unknown or tampered with."""

from pathlib import Path

import apsw
import pytest

from docs.generate import PAGES
from liteq.errors import Corrupt, SchemaTooNew, StorageError
from liteq.store.sqlite.engine import SqliteEngine
from tests.store.conftest import alter, assert_refused_untouched

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_fresh(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_the_schema_page_is_what_a_new_file_holds(made: Path) -> None:
    connection = apsw.Connection(str(made), flags=apsw.SQLITE_OPEN_READONLY)
    made_objects = connection.execute("SELECT sql FROM sqlite_schema WHERE sql LIKE '%liteq!_%' ESCAPE '!'").fetchall()
    connection.close()
    page = (DOCS / "schema.md").read_text(encoding="utf-8")

    assert len(made_objects) > 10
    assert page.count("CREATE ") == len(made_objects)
    assert all(f"{row[0]};" in page for row in made_objects)


def test_a_newer_schema_is_refused_untouched(made: Path) -> None:
    alter(made, "UPDATE liteq_meta SET value = value + 1 WHERE key = 'schema_version'")

    assert_refused_untouched(made, SchemaTooNew)


@pytest.mark.parametrize(
    "change", ["SET value = ''", "SET value = 'one'", "SET value = '0'", "SET value = '-1'", "SET key = 'other'"]
)
def test_a_file_that_does_not_tell_its_version_is_refused_untouched(made: Path, change: str) -> None:
    alter(made, f"UPDATE liteq_meta {change}")

    assert_refused_untouched(made, StorageError)


TAMPERING = {
    "a column is missing": ("ALTER TABLE liteq_job DROP COLUMN result_error",),
    "a column is new": ("ALTER TABLE liteq_job ADD COLUMN more TEXT",),
    "a trigger": ("CREATE TRIGGER bomb AFTER INSERT ON liteq_job BEGIN DELETE FROM liteq_job; END",),
    "a view in place of a table": (
        "DROP TABLE liteq_queue",
        "CREATE VIEW liteq_queue AS SELECT 'x' AS name, NULL AS paused_at, NULL AS paused_reason",
    ),
    "an index is missing": ("DROP INDEX liteq_job_unique",),
    "an index is new": ("CREATE INDEX liteq_job_more ON liteq_job (result)",),
    "a table is missing": ("DROP TABLE liteq_metric",),
    "a check is missing": (
        "PRAGMA writable_schema = 1",
        "UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (state BETWEEN 1 AND 8)', '') WHERE name = 'liteq_job'",
    ),
}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", TAMPERING)
def test_a_tampered_schema_is_refused_untouched(made: Path, kind: str, shared: bool) -> None:
    alter(made, *TAMPERING[kind])

    assert_refused_untouched(made, Corrupt, shared=shared)


def test_a_strangers_table_in_our_file_is_refused_unless_shared(made: Path) -> None:
    alter(made, "CREATE TABLE customer (name TEXT)")

    assert_refused_untouched(made, Corrupt)
    SqliteEngine(made, shared=True).close()
