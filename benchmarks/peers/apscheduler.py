"""APScheduler 4 (alpha): a scheduler whose jobs are rows of its data store, here SQLite through SQLAlchemy."""

import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import DEADLINE_S, Level, Peer, Queue, Setting
from benchmarks.peers.tally import TALLY, ran

TASK = "ran"
MANY = 10
"""With a hundred, its threads all wait for SQLite's lock, none is left for who holds it, and the scheduler stops."""
CONNECTIONS = 20
"""Enough that none is one too many: such a one is closed while it is still read."""
SETTLE_S = 5


def _engine(path: Path, level: Level) -> Any:
    sqlalchemy: Any = import_module("sqlalchemy")
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", pool_size=CONNECTIONS)

    def prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {level}")

    sqlalchemy.event.listen(engine, "connect", prepare)
    return engine


class ScheduledJobs(Queue):
    """The jobs of a data store; a scheduler that only takes jobs in is opened with the first."""

    def __init__(self, path: Path, level: Level, stack: ExitStack) -> None:
        self._module: Any = import_module("apscheduler")
        self._engine = _engine(path, level)
        self._stack = stack
        self._sender: Any = None

    def enqueue(self) -> None:
        if self._sender is None:
            self._sender = self._stack.enter_context(self._scheduler(1, role=self._module.SchedulerRole.scheduler))
        self._sender.add_job(TASK)

    def work(self) -> None:
        self._work(1)

    def hurry(self) -> None:
        self._work(MANY)

    def left(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar())

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def _work(self, at_once: int) -> None:
        with self._scheduler(at_once) as scheduler:
            scheduler.start_in_background()
            TALLY.done.wait(DEADLINE_S)
            until = time.monotonic() + SETTLE_S
            while self.left() and time.monotonic() < until:  # stop() would give the last one up
                time.sleep(0.02)
            scheduler.stop()
            scheduler.wait_until_stopped()

    @contextmanager
    def _scheduler(self, at_once: int, **options: Any) -> Generator[Any]:
        datastores: Any = import_module("apscheduler.datastores.sqlalchemy")
        store = datastores.SQLAlchemyDataStore(self._engine)
        with self._module.Scheduler(store, max_concurrent_jobs=at_once, **options) as scheduler:
            scheduler.configure_task(TASK, func=ran, max_running_jobs=at_once)
            yield scheduler


@contextmanager
def opened(path: Path, level: Level) -> Generator[Queue]:
    """Give the jobs in the file."""
    with ExitStack() as stack:
        jobs = ScheduledJobs(path, level, stack)
        stack.callback(jobs.close)
        yield jobs


PEER = Peer(
    name="APScheduler",
    package="apscheduler",
    modules=("apscheduler", "sqlalchemy", "greenlet", "sniffio"),
    levels={
        "full": Setting("PRAGMA", 120, 120, 240),
        "normal": Setting("PRAGMA", 120, 120, 240),
    },
    worker="Scheduler, max_concurrent_jobs=1",
    fastest=f"max_concurrent_jobs={MANY}",
    open=opened,
)
