"""The disk: what is synced, what is kept free, what a log may grow to, and what fails."""

import errno
import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from liteq.errors import DiskFull, StorageError
from liteq.store.sqlite import checkpoint
from liteq.store.sqlite import file as file_module
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.schema import SCHEMA_VERSION
from tests.engine.steps import NOW, claim_one, complete, enqueue_one, new_job

SYNCHRONOUS = {"normal": 1, "full": 2}


@pytest.mark.parametrize(("full", "durable"), [(True, "full"), (False, "normal")])
def test_what_enqueue_and_outcomes_return_is_on_the_disk_and_claims_need_not_be(
    path: Path, full: bool, durable: str
) -> None:
    engine = SqliteEngine(path, full=full)

    def synchronous() -> int:
        found = engine.file.writer.connection.raw.pragma("synchronous")
        assert isinstance(found, int)
        return found

    job_id = enqueue_one(engine)
    assert synchronous() == SYNCHRONOUS[durable]
    claim = claim_one(engine)
    assert synchronous() == SYNCHRONOUS["normal"]
    complete(engine, claim)
    assert synchronous() == SYNCHRONOUS[durable]
    engine.requeue([job_id], now=NOW)
    assert synchronous() == SYNCHRONOUS[durable]
    claim_one(engine)
    with engine.application_transaction():
        assert synchronous() == SYNCHRONOUS[durable]
    engine.close()


def test_a_new_file_has_room_to_drain_a_full_disk(path: Path) -> None:
    engine = SqliteEngine(path)
    engine.settle()

    assert engine.file_facts().free_bytes >= 4 * 1024 * 1024
    assert engine.file_facts().schema == SCHEMA_VERSION
    engine.close()


def test_the_last_megabytes_are_kept_for_draining(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SqliteEngine(made)
    monkeypatch.setattr(file_module, "KEPT_FOR_DRAINING", 2**62)

    with pytest.raises(DiskFull):
        enqueue_one(engine)
    complete(engine, claim_one(engine))

    engine.close()


def test_the_log_does_not_grow_without_bound(path: Path) -> None:
    engine = SqliteEngine(path, full=False)
    for _ in range(300):
        engine.enqueue([new_job(args=b"[%s]" % (b"1" * 1_000))] * 100, now=NOW)

    assert engine.file_facts().wal_bytes < 24 * 1024 * 1024
    engine.settle()
    assert engine.file_facts().wal_bytes == 0
    engine.close()


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_failing_checkpoint_is_told_once_and_fails_no_enqueue(
    engine: SqliteEngine, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checkpoint, "SOME_PAGES", 1)
    job = new_job(args=b"[%s]" % (b"1" * 60_000))
    size = path.stat().st_size
    engine.file.checkpointer._closed = True
    engine.enqueue([job] * 80, now=NOW)
    engine.file.checkpointer._closed = False

    with caplog.at_level(logging.WARNING, "liteq.store"), no_file_longer_than(size):
        engine.file.checkpointer.after_commit()
        engine.file.checkpointer.after_commit()
        with pytest.raises(StorageError):
            engine.settle()
        with pytest.raises(StorageError):
            engine.file.checkpointer.tend()
    engine.settle()

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert engine.file_facts().wal_bytes == 0


def test_a_disk_that_cannot_be_asked_for_its_space_raises_ours(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: object) -> os.statvfs_result:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "statvfs", refuse)

    with pytest.raises(StorageError) as caught:
        enqueue_one(engine)

    assert not isinstance(caught.value, DiskFull)
