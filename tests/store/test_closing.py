"""Engines that are closed: under load, twice, too early."""

import threading
from pathlib import Path

import pytest

from liteq.errors import LiteqError, StorageError, WrongState
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import enqueue_one
from tests.store.conftest import PATIENCE_S, count


def test_closing_while_threads_work_raises_nothing_raw_and_lets_everything_go(path: Path) -> None:
    strange: list[BaseException] = []
    for _ in range(5):
        engine = SqliteEngine(path, full=False)

        def work(engine: SqliteEngine = engine) -> None:
            try:
                while True:
                    enqueue_one(engine)
                    engine.get_job(1)
                    engine.file.checkpointer.after_commit()
            except LiteqError:
                return
            except BaseException as error:  # noqa: BLE001  what the test is about
                strange.append(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
        closers = [threading.Thread(target=engine.close, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        while count(engine) == 0:
            pass
        for thread in closers:
            thread.start()
        for thread in threads + closers:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        engine.close()

    assert strange == []
    assert not path.with_name("jobs.db-wal").exists()


def test_a_closed_engine_says_so(path: Path) -> None:
    engine = SqliteEngine(path)
    engine.close()
    engine.close()

    for verb in (lambda: enqueue_one(engine), lambda: engine.get_job(1), engine.settle):
        with pytest.raises(StorageError, match="closed"):
            verb()
    with pytest.raises(StorageError, match="closed"), engine.transaction():
        pytest.fail("there is no transaction to be in")
    with pytest.raises(StorageError):
        engine.file.writer.connection.file_moved()


def test_closing_inside_a_transaction_is_refused(engine: SqliteEngine) -> None:
    with engine.transaction():
        enqueue_one(engine)
        with pytest.raises(WrongState):
            engine.close()

    assert count(engine) == 1
