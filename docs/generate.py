"""Writes the pages that are made from the code: ``python -m docs.generate``. Tests fail while one is stale."""

from pathlib import Path

import apsw

from liteq.model.transitions import State
from liteq.store.sqlite.schema import SCHEMA_VERSION
from liteq.store.sqlite.statements import migrations

_HERE = Path(__file__).parent


def schema_page() -> str:
    """Give the page about the schema: every object as SQLite keeps it after all migrations."""
    database = apsw.Connection(":memory:")
    for _, script in migrations():
        database.execute(script)
    objects = database.execute(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name LIKE 'liteq!_%' ESCAPE '!' "
        "ORDER BY tbl_name, type DESC, name"
    ).fetchall()
    codes = "\n".join(f"| {state.value} | {state.word} |" for state in State)
    statements = "\n\n".join(f"{row[0]};" for row in objects)
    return (
        f"# The schema, version {SCHEMA_VERSION}\n\n"
        "Made by `make docs` from the migrations; do not edit. It is no interface: read a file through liteq or a\n"
        "read-only connection of another process, and never write to it.\n\n"
        f"| state | means |\n|---|---|\n{codes}\n\n"
        f"```sql\n{statements}\n```\n"
    )


PAGES = {"schema.md": schema_page}


def main() -> None:
    for name, page in PAGES.items():
        (_HERE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
