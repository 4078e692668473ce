"""The file: made, recognised, refused, damaged, moved."""

import stat
from pathlib import Path

import pytest

from liteq.errors import Corrupt, FileMissing, FileMoved, NotALiteqFile, StorageError
from liteq.model.transitions import State
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.schema import APPLICATION_ID
from tests.engine.steps import claim_one, complete, enqueue_one, register, state_of
from tests.store.conftest import alter, ask, assert_refused_untouched


@pytest.mark.parametrize("empty", [True, False], ids=["of no bytes", "missing"])
def test_a_new_file_is_private_marked_and_whole(path: Path, empty: bool) -> None:
    if empty:
        path.touch(0o600)

    SqliteEngine(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask(path, "PRAGMA application_id") == APPLICATION_ID
    assert ask(path, "PRAGMA journal_mode") == "wal"
    assert ask(path, "PRAGMA auto_vacuum") == 2
    assert ask(path, "PRAGMA integrity_check") == "ok"
    assert not path.with_name("jobs.db-liteq").exists()


def test_a_file_is_found_again_as_it_was_left(made: Path) -> None:
    engine = SqliteEngine(made, create=False)

    assert claim_one(engine).attempt == 1
    engine.close()


def test_a_missing_file_is_not_made_unasked(path: Path) -> None:
    with pytest.raises(FileMissing):
        SqliteEngine(path, create=False)

    assert not path.exists()


def test_a_text_file_is_refused_untouched(path: Path) -> None:
    path.write_text("Dear diary, today I was no database at all. " * 100)

    assert_refused_untouched(path, NotALiteqFile)


@pytest.mark.parametrize("mark", [0, 0x12345678])
def test_the_database_of_another_application_is_refused_untouched(path: Path, mark: int) -> None:
    alter(path, "CREATE TABLE customer (name TEXT)", f"PRAGMA application_id = {mark}")

    assert_refused_untouched(path, NotALiteqFile)


def test_an_empty_database_of_another_application_is_refused_untouched(path: Path) -> None:
    alter(path, "PRAGMA application_id = 305419896")

    assert_refused_untouched(path, NotALiteqFile)


def test_another_applications_database_is_shared_when_asked(path: Path) -> None:
    alter(path, "CREATE TABLE customer (name TEXT)", "INSERT INTO customer VALUES ('Ada')")

    engine = SqliteEngine(path, shared=True)
    job_id = enqueue_one(engine)
    engine.close()

    again = SqliteEngine(path, shared=True)
    assert state_of(again, job_id) is State.READY
    again.close()
    assert ask(path, "SELECT name FROM customer") == "Ada"
    assert ask(path, "PRAGMA application_id") == 0


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "truncated within the header":
        del content[60:]
    elif kind == "truncated within the schema":
        del content[2_000:]
    elif kind == "magic":
        content[:16] = b"SQLite format 9\0"
    elif kind == "page size":
        content[16:18] = b"\x00\x07"
    else:
        content[100:400] = b"\xff" * 300
    path.write_bytes(content)


@pytest.mark.parametrize(
    "kind", ["truncated within the header", "truncated within the schema", "magic", "page size", "first page"]
)
def test_a_damaged_file_is_refused_untouched(made: Path, kind: str) -> None:
    damage(made, kind)

    assert_refused_untouched(made, Corrupt, NotALiteqFile)


@pytest.mark.parametrize("fate", ["deleted", "renamed", "replaced"])
def test_a_file_that_was_moved_while_open_takes_no_write(made: Path, tmp_path: Path, fate: str) -> None:
    engine = SqliteEngine(made)
    claim = claim_one(engine)
    if fate == "deleted":
        made.unlink()
    elif fate == "renamed":
        made.rename(tmp_path / "elsewhere.db")
    else:
        (tmp_path / "new.db").touch()
        (tmp_path / "new.db").replace(made)

    with pytest.raises(FileMoved):
        enqueue_one(engine)
    with pytest.raises(FileMoved):
        complete(engine, claim)
    with pytest.raises(FileMoved):
        register(engine)
    if fate != "replaced":
        with pytest.raises(StorageError):
            engine.file_facts()

    engine.close()
