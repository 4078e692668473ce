"""A sync fails, and the kernel takes for written what it could not write: what is acknowledged later must last."""

import errno
import os
from collections import Counter
from pathlib import Path

import pytest

from liteq.errors import SecondLibrary, StorageError
from liteq.store.sqlite import writer
from liteq.store.sqlite.connection import connect
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import enqueue_one
from tests.faults.failing import FailingDisk, Failure
from tests.faults.recording import Recording, verdicts
from tests.faults.stock import stock_of
from tests.faults.vfs import watched

SEED = 5
LENGTH = 40
FAILED = ((7, 15), (14, 9), (16, 21), (20, 9))
"""Seeds, and which syncs of the log fail: of those who go on without care, these lose jobs or damage the file."""


@pytest.mark.parametrize(("seed", "nth"), FAILED)
def test_what_is_acknowledged_after_a_failed_sync_outlives_a_power_cut(
    seed: int, nth: int, tmp_path: Path, tally: Counter[str]
) -> None:
    recording = Recording(tmp_path, seed=seed, length=LENGTH, full=True, failing_sync=nth)

    counts, wrong = verdicts(recording, tmp_path, seed=SEED, every=12)

    tally[f"power cuts after a failed sync, seeds {seed} and {SEED}"] += counts.total()
    # The verb whose sync failed may have happened: the run has no picture of that.
    assert [words for words in wrong if not words.endswith("mixed")] == [], f"seeds {seed} and {SEED}"
    assert counts["mixed"] < 10
    assert counts["whole"] > 50


def test_the_replay_finds_what_is_lost_when_the_log_goes_on_after_a_failed_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "is_failed_sync", lambda _: False)
    recording = Recording(tmp_path, seed=14, length=LENGTH, full=True, failing_sync=9)

    counts, _ = verdicts(recording, tmp_path, seed=SEED, every=12)

    assert counts["lost"] > 10


def test_after_a_failed_sync_the_next_write_goes_on_beside_a_reader_and_strangers_stay_outside(tmp_path: Path) -> None:
    disk = FailingDisk()
    log = tmp_path / "jobs.db-wal"
    with watched(disk):
        engine = SqliteEngine(tmp_path / "jobs.db")
        first = enqueue_one(engine)
        reader = connect(tmp_path / "jobs.db")
        reader.plain("BEGIN")
        seen = reader.rows("last_job_id")

        with disk.failing(Failure("sync"), 1), pytest.raises(StorageError) as caught:
            enqueue_one(engine)
        second = enqueue_one(engine)

        assert caught.value.may_have_committed
        assert reader.rows("last_job_id") == seen
        assert [row[0] for row in stock_of(engine)[0]] == [first, second]
        with pytest.raises(SecondLibrary):
            log.read_bytes()
        reader.close()
        engine.close()


def test_a_log_that_cannot_be_renewed_takes_no_write_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingDisk()
    with watched(disk):
        engine = SqliteEngine(tmp_path / "jobs.db")
        with disk.failing(Failure("sync"), 1), pytest.raises(StorageError):
            enqueue_one(engine)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse)
            with pytest.raises(StorageError, match="Input/output error"):
                enqueue_one(engine)
            with pytest.raises(StorageError, match="Input/output error"):
                engine.settle()
        enqueue_one(engine)
        engine.settle()

        assert len(stock_of(engine)[0]) == 1
        engine.close()


def refuse(_: int) -> None:
    raise OSError(errno.EIO, "Input/output error")
