"""The SQLite engine: its verbs stand by noun in the files beside this one, each thin over its ``.sql``."""

import os

from liteq.model.fleet import Death
from liteq.store.sqlite.application_sql import ApplicationSql
from liteq.store.sqlite.asking import Asking
from liteq.store.sqlite.batching import Batching
from liteq.store.sqlite.claiming import Claiming
from liteq.store.sqlite.deaths import Neighbours
from liteq.store.sqlite.enqueueing import Enqueueing
from liteq.store.sqlite.file import BUSY_TIMEOUT_MS, JobFile
from liteq.store.sqlite.guarding import Guarding
from liteq.store.sqlite.handling import Handling
from liteq.store.sqlite.keeping import Keeping
from liteq.store.sqlite.limiting import Limiting
from liteq.store.sqlite.locking import Locking
from liteq.store.sqlite.pending import Unbounded
from liteq.store.sqlite.reporting import Reporting
from liteq.store.sqlite.scheduling import Scheduling
from liteq.store.sqlite.slate import LifeLock
from liteq.store.sqlite.staffing import Staffing
from liteq.store.sqlite.tending import Tending
from liteq.store.sqlite.transacting import Transacting


class SqliteEngine(
    Enqueueing,
    Claiming,
    Reporting,
    Keeping,
    Handling,
    Batching,
    Limiting,
    Guarding,
    Scheduling,
    Locking,
    Asking,
    Staffing,
    Tending,
    Transacting,
):
    """Keeps jobs in one SQLite file. Thread-safe."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        full: bool = True,
        shared: bool = False,
        allow_network: bool = False,
        create: bool = True,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
    ) -> None:
        self.file = JobFile(
            path,
            full=full,
            shared=shared,
            allow_network=allow_network,
            create=create,
            busy_timeout_ms=busy_timeout_ms,
        )
        self.application = ApplicationSql(self.file)
        self.unbounded = Unbounded(self.file.writer)
        self.lives: dict[int, LifeLock] = {}
        self.seen_dead: dict[int, int] = {}
        self.holder_lives: dict[int, LifeLock] = {}
        self.condemned: dict[int, Death] = {}
        self.neighbours = Neighbours()
        self.pruned_up_to = 0
        self.guarded: frozenset[str] = frozenset()

    def intact(self) -> bool:
        """Tell whether the file is still where it was opened."""
        return not self.file.moved()

    def close(self) -> None:
        for life in self.lives.values():
            life.release(remove=False)
        self.lives.clear()
        self.sign_off()
        self.file.close()
