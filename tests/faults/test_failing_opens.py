"""Opening and closing a file on a disk that fails at one call."""

import os
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from liteq.errors import LiteqError
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import NOW, new_job
from tests.faults.failing import FAILURES, FailingDisk
from tests.faults.scenes import BIG
from tests.faults.stock import stock_at
from tests.faults.vfs import watched

MOST_CALLS = 400


def no_file(path: Path) -> None:
    """Leave it to the engine to make one."""


def clean_file(path: Path) -> None:
    engine = SqliteEngine(path)
    engine.enqueue([new_job(args=BIG), new_job(tags=("kept",))], now=NOW)
    engine.close()


def file_with_a_log(path: Path) -> None:
    """Leave what a process leaves that was killed."""
    living = path.with_name("living.db")
    engine = SqliteEngine(living)
    engine.enqueue([new_job(args=BIG), new_job(tags=("kept",))], now=NOW)
    for suffix in ("", "-wal"):
        subprocess.run(["cp", f"{living}{suffix}", f"{path}{suffix}"], check=True)
    engine.close()


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  a count of names


def in_a_fresh_folder(folder: Path, number: int) -> Path:
    path = folder / str(number) / "jobs.db"
    path.parent.mkdir()
    return path


@pytest.mark.parametrize("make", [no_file, clean_file, file_with_a_log])
@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_a_file_that_could_not_be_opened_is_whole_and_opens_the_next_time(
    make: Callable[[Path], None], failure: object, tmp_path: Path, tally: Counter[str]
) -> None:
    assert failure in FAILURES
    disk = FailingDisk()
    with watched(disk):
        make(tmp_path / "model.db")
        expected = stock_at(tmp_path / "model.db")
        before = descriptors()
        for nth in range(1, MOST_CALLS):
            path = in_a_fresh_folder(tmp_path, nth)
            make(path)
            with disk.failing(FAILURES[FAILURES.index(failure)], nth), suppress(LiteqError):
                SqliteEngine(path).close()

            assert descriptors() == before, f"call {nth} left something open"
            assert stock_at(path) == expected, f"call {nth} changed the file"
            assert not path.with_name("jobs.db-liteq").exists()
            if disk.failed is None:
                break
            tally[f"failing opens: {failure}"] += 1
        else:
            pytest.fail("opening makes too many calls")
