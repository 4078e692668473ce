"""Threads that share a commit share its failure, and nobody else's."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from liteq.errors import StorageError
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import enqueue_one
from tests.faults.failing import FailingDisk, Failure
from tests.faults.stock import stock_of
from tests.faults.vfs import watched

THREADS = 4
JOBS_EACH = 24


def enqueue_some(engine: SqliteEngine, told: list[int], errors: list[StorageError]) -> None:
    for _ in range(JOBS_EACH):
        try:
            told.append(enqueue_one(engine))
        except StorageError as error:
            errors.append(error)


@pytest.mark.parametrize(
    "failure", [Failure("sync"), Failure("write"), Failure("write", full=True, torn=True)], ids=str
)
def test_threads_that_share_a_failing_commit_are_told_and_only_what_was_told_is_there(
    failure: Failure, tmp_path: Path, tally: Counter[str]
) -> None:
    disk = FailingDisk()
    refused = 0
    for nth in range(1, 16):
        told: list[int] = []
        errors: list[StorageError] = []
        with watched(disk):
            engine = SqliteEngine(tmp_path / f"{nth}.db")
            threads = [threading.Thread(target=enqueue_some, args=(engine, told, errors)) for _ in range(THREADS)]
            with disk.failing(failure, nth):
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

            assert disk.failed is not None
            refused += bool(errors)
            assert len(told) + len(errors) == THREADS * JOBS_EACH
            assert sorted(told) == [row[0] for row in stock_of(engine)[0]]
            assert all(error.may_have_committed for error in errors)
            assert engine.check(full=True) == []
            engine.close()
        tally[f"failing shared commits: {failure}"] += 1
    # A checkpoint that fails after a commit is nobody's error.
    assert refused > 5
