"""A sync fails, and the kernel takes for written what it could not write: what is acknowledged later must last."""

from collections import Counter
from pathlib import Path

import pytest

from liteq.errors import Busy, StorageError
from liteq.store.sqlite import writer
from liteq.store.sqlite.connection import connect
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import enqueue_one
from tests.faults.failing import FailingDisk, Failure
from tests.faults.recording import Recording, verdicts
from tests.faults.stock import stock_of
from tests.faults.vfs import watched

SEED = 5
LENGTH = 60
SYNCS = (8, 10, 14, 18)
"""Which syncs of the log fail; before the first and fourth, commits stand in the log that were not synced."""


@pytest.mark.parametrize("nth", SYNCS)
def test_what_is_acknowledged_after_a_failed_sync_outlives_a_power_cut(
    nth: int, tmp_path: Path, tally: Counter[str]
) -> None:
    recording = Recording(tmp_path, seed=SEED, length=LENGTH, full=True, failing_sync=nth)

    counts, wrong = verdicts(recording, tmp_path, seed=SEED, every=20)

    tally[f"power cuts after a failed sync, seed {SEED}"] += counts.total()
    assert wrong == [], f"seed {SEED}"
    assert counts["whole"] > 100


def test_the_replay_finds_what_is_lost_when_the_log_goes_on_after_a_failed_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "is_failed_sync", lambda _: False)
    recording = Recording(tmp_path, seed=SEED, length=LENGTH, full=True, failing_sync=SYNCS[0])

    counts, _ = verdicts(recording, tmp_path, seed=SEED, every=20)

    assert counts["lost"] > 10


def test_a_reader_that_keeps_the_log_after_a_failed_sync_is_waited_for_and_told_of(tmp_path: Path) -> None:
    disk = FailingDisk()
    with watched(disk):
        engine = SqliteEngine(tmp_path / "jobs.db", busy_timeout_ms=20)
        first = enqueue_one(engine)
        reader = connect(tmp_path / "jobs.db")
        reader.plain("BEGIN")
        reader.rows("schema_version")

        with disk.failing(Failure("sync"), 1), pytest.raises(StorageError) as caught:
            enqueue_one(engine)
        with pytest.raises(Busy, match="reader"):
            enqueue_one(engine)
        reader.close()
        second = enqueue_one(engine)

        assert caught.value.may_have_committed
        assert [row[0] for row in stock_of(engine)[0]] == [first, second]
        engine.close()
