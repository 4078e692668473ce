"""Copies: verified, private, whole or not there."""

import stat
from pathlib import Path

import pytest

from liteq.errors import Corrupt, StorageError, UnsafePath
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import enqueue_one
from tests.store.conftest import ask


def test_a_backup_is_verified_private_and_one_file(made: Path, tmp_path: Path) -> None:
    engine = SqliteEngine(made)
    copy = tmp_path / "copy.db"
    copy.write_text("an older backup")
    enqueue_one(engine)

    engine.backup(copy)

    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert ask(copy, "PRAGMA integrity_check") == "ok"
    assert ask(copy, "SELECT count(*) FROM liteq_job") == 2
    assert sorted(tmp_path.glob("*copy*")) == [copy]
    engine.close()


def test_a_backup_that_cannot_be_written_leaves_the_old_one(made: Path, tmp_path: Path) -> None:
    engine = SqliteEngine(made)
    copy = tmp_path / "copy.db"
    copy.write_text("an older backup")

    def give_up(_done: int, _whole: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.backup(copy, progress=give_up)

    assert copy.read_text() == "an older backup"
    assert sorted(tmp_path.glob("*copy*")) == [copy]
    engine.close()


def test_a_backup_onto_the_open_file_is_refused(made: Path, tmp_path: Path) -> None:
    engine = SqliteEngine(made)
    (tmp_path / "link.db").symlink_to(made)

    for destination in (made, tmp_path / "link.db"):
        with pytest.raises(UnsafePath):
            engine.backup(destination)

    enqueue_one(engine)
    engine.close()


def test_a_backup_into_nowhere_says_so(made: Path, tmp_path: Path) -> None:
    engine = SqliteEngine(made)

    with pytest.raises(StorageError):
        engine.backup(tmp_path / "nowhere" / "copy.db")

    engine.close()


def test_a_damaged_page_is_found_by_a_check_and_stops_a_backup(made: Path, tmp_path: Path) -> None:
    root = ask(made, "SELECT rootpage FROM sqlite_schema WHERE name = 'liteq_job'")
    assert isinstance(root, int)
    content = bytearray(made.read_bytes())
    content[(root - 1) * 4096 : (root - 1) * 4096 + 64] = b"\xff" * 64
    made.write_bytes(content)
    engine = SqliteEngine(made)

    assert engine.check(full=False) != []
    with pytest.raises(Corrupt):
        engine.backup(tmp_path / "copy.db")

    assert not (tmp_path / "copy.db").exists()
    assert list(tmp_path.glob(".copy*")) == []
    engine.close()
