"""A full or failing disk: SQLite takes back all of a transaction by itself, savepoints too, and nobody may go on."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from liteq.errors import DiskFull, RolledBack, StorageError
from liteq.model.job import NewJob, Unique
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import enqueue_one, new_job

PATIENCE_S = 20.0
TOO_LARGE = b'"%s"' % (b"x" * 60_000)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SqliteEngine]:
    """Give an engine whose file has no room for a large job."""
    engine = SqliteEngine(tmp_path / "jobs.db")
    plain = engine.file.writer.connection.plain
    plain("PRAGMA incremental_vacuum")
    pages = plain("PRAGMA page_count")[0][0]
    plain(f"PRAGMA max_page_count = {pages + 4}")
    yield engine
    engine.close()


def count(engine: SqliteEngine) -> int:
    return int(engine.file.read_plain("SELECT count(*) FROM liteq_job")[0][0])


def go_on_after_an_error(engine: SqliteEngine) -> None:
    with engine.transaction():
        enqueue_one(engine)
        with pytest.raises(DiskFull):
            enqueue_one(engine, new_job(args=TOO_LARGE))
        with pytest.raises(RolledBack):
            enqueue_one(engine)
        with pytest.raises(RolledBack), engine.transaction():
            pass


def test_what_follows_a_swallowed_error_is_not_committed_by_itself(engine: SqliteEngine) -> None:
    with pytest.raises(StorageError):
        go_on_after_an_error(engine)

    assert count(engine) == 0
    enqueue_one(engine)
    assert count(engine) == 1


def test_a_verb_within_a_transaction_says_why_it_failed(engine: SqliteEngine) -> None:
    with pytest.raises(DiskFull), engine.transaction():
        enqueue_one(engine, new_job(args=TOO_LARGE, unique=Unique(key="key")))

    assert count(engine) == 0


def test_threads_that_share_a_commit_are_all_told_why_it_failed(engine: SqliteEngine) -> None:
    enqueue_one(engine, new_job(unique=Unique(key="key")))
    told: list[object] = []

    def try_one(job: NewJob) -> None:
        try:
            told.append(enqueue_one(engine, job))
        except Exception as error:  # noqa: BLE001  to be seen below
            told.append(type(error))

    rival = new_job(unique=Unique(key="key", on_conflict="raise"))
    jobs = [new_job(), rival, new_job(args=TOO_LARGE), new_job()]
    threads = [threading.Thread(target=try_one, args=(job,), daemon=True) for job in jobs]
    with engine.transaction():
        for waiting, thread in enumerate(threads, 1):
            thread.start()
            _wait_for(engine, waiting)
    for thread in threads:
        thread.join(PATIENCE_S)

    assert told == [DiskFull] * 4
    assert count(engine) == 1
    assert enqueue_one(engine) == 2


def _wait_for(engine: SqliteEngine, waiting: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while len(engine.file.shared_commit._waiting) < waiting:
        assert time.monotonic() < end
        time.sleep(0.001)
