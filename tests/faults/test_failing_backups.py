"""A backup from or to a disk that fails at one call."""

import errno
import os
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from liteq.errors import LiteqError, StorageError
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import NOW, new_job
from tests.faults.failing import FAILURES, FailingDisk, Failure
from tests.faults.scenes import BIG
from tests.faults.stock import stock_at, stock_of
from tests.faults.vfs import watched

MOST_CALLS = 400
# apsw cannot pass on the second error that a layer in Python raises while the first one is on its way. And where files
# cannot be removed, some stay.
ONCE = [failure for failure in FAILURES if not failure.lasting and failure.kind != "delete"]


@pytest.mark.parametrize("failure", ONCE, ids=str)
def test_a_backup_that_fails_leaves_nothing_behind_and_one_that_succeeds_is_whole(
    failure: Failure, tmp_path: Path, tally: Counter[str]
) -> None:
    disk = FailingDisk()
    copy = tmp_path / "copy.db"
    with watched(disk):
        engine = SqliteEngine(tmp_path / "jobs.db")
        engine.enqueue([new_job(args=BIG), new_job(tags=("kept",))], now=NOW)
        before = {path.name for path in tmp_path.iterdir()}
        for nth in range(1, MOST_CALLS):
            error: LiteqError | None = None
            with disk.failing(failure, nth):
                try:
                    engine.backup(copy)
                except LiteqError as caught:
                    error = caught

            left = {path.name for path in tmp_path.iterdir()} - before
            assert left == (set() if error else {"copy.db"}), f"call {nth}: {error}"
            if error is None:
                assert stock_at(copy) == stock_of(engine)
                copy.unlink()
            if disk.failed is None:
                break
            tally[f"failing backups: {failure}"] += 1
        else:
            pytest.fail("a backup makes too many calls")
        engine.close()


@pytest.mark.parametrize("nth", [1, 2], ids=["copy", "folder"])
def test_a_backup_that_cannot_be_synced_says_so_in_our_words(
    nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SqliteEngine(tmp_path / "jobs.db")
    before = {path.name for path in tmp_path.iterdir()}
    calls = count(1)

    def fail_at_nth(_: int) -> None:
        if next(calls) == nth:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail_at_nth)
    with pytest.raises(StorageError, match="Input/output error"):
        engine.backup(tmp_path / "copy.db")

    assert {path.name for path in tmp_path.iterdir()} - before == ({"copy.db"} if nth == 2 else set())
    engine.close()


def test_a_backup_onto_a_folder_is_refused_in_our_words_and_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path / "jobs.db")
    folder = tmp_path / "folder"
    folder.mkdir()
    before = {path.name for path in tmp_path.iterdir()}

    with pytest.raises(StorageError, match="folder"):
        engine.backup(folder)

    assert {path.name for path in tmp_path.iterdir()} == before
    engine.close()
