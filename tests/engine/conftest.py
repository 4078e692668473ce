"""The engines under test. A second engine joins by one more row in ``ENGINES``."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liteq.model.transitions import State
from liteq.store.engine import Engine
from liteq.store.sqlite.engine import SqliteEngine

OpenEngine = Callable[[], Engine]
OpenFresh = Callable[[str], Engine]
ForceState = Callable[[int, State], None]

ENGINES = ("sqlite",)


def open_sqlite(path: Path) -> Engine:
    # Without fsync: a conformance suite has no power cuts, and durability is tested where the pragmas are.
    return SqliteEngine(path, full=False)


@pytest.fixture(params=ENGINES)
def open_fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenFresh]:
    """Give a function that opens the store of a given name; all are closed when the test ends."""
    assert request.param == "sqlite"
    opened: list[Engine] = []

    def open_one(name: str) -> Engine:
        engine = open_sqlite(tmp_path / f"{name}.db")
        opened.append(engine)
        return engine

    yield open_one
    for engine in opened:
        engine.close()


@pytest.fixture
def open_engine(open_fresh: OpenFresh) -> OpenEngine:
    """Give a function that opens one more engine on the store of ``engine``."""
    return lambda: open_fresh("jobs")


@pytest.fixture
def engine(open_engine: OpenEngine) -> Engine:
    return open_engine()


@pytest.fixture
def force_state(engine: Engine) -> ForceState:
    """Set a state that no verb leads to yet: waiting and blocked come with dependencies and limits.

    A backdoor, one for each engine, for the generated test alone.
    """
    assert isinstance(engine, SqliteEngine)
    writer = engine.file.writer

    def force(job_id: int, state: State) -> None:
        with writer.transaction():
            raw = writer.connection.raw
            raw.execute("UPDATE liteq_job SET state = ? WHERE id = ?", (int(state), job_id))
            if state is State.BLOCKED:
                # Nothing is ever blocked but by its key.
                raw.execute("UPDATE liteq_job SET concurrency_key = 'key', key_max_running = 1 WHERE id = ?", (job_id,))

    return force
