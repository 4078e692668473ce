"""Files and engines to test the store with, and ways to look into a file and to alter it behind liteq's back."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from liteq.errors import LiteqError
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.guards import create_private
from tests.engine.steps import enqueue_one

PATIENCE_S = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def made(path: Path) -> Path:
    """Make a liteq file with one job, closed and whole without its log."""
    engine = SqliteEngine(path)
    enqueue_one(engine)
    engine.settle()
    engine.close()
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Make an empty file of ours under a name that every quoting must get right."""
    path = tmp_path / "jobs%25 ü#.db"
    create_private(path)
    return path


@pytest.fixture
def engine(path: Path) -> Iterator[SqliteEngine]:
    engine = SqliteEngine(path, full=False)
    yield engine
    engine.close()


def count(engine: SqliteEngine) -> int:
    return int(engine.file.read_plain("SELECT count(*) FROM liteq_job")[0][0])


def alter(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


def ask(path: Path, sql: str) -> object:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(sql).fetchall()[0][0]
    finally:
        connection.close()


def assert_refused_untouched(path: Path, *errors: type[LiteqError], shared: bool = False) -> None:
    before = path.read_bytes()

    with pytest.raises(errors):
        SqliteEngine(path, shared=shared)

    assert path.read_bytes() == before
