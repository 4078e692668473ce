"""All that a file keeps, to compare before and after."""

from pathlib import Path
from typing import Any

from liteq.store.sqlite.engine import SqliteEngine

Stock = tuple[tuple[Any, ...], ...]

_QUESTIONS = (
    "SELECT * FROM liteq_job ORDER BY id",
    "SELECT * FROM liteq_attempt ORDER BY job_id, attempt",
    "SELECT * FROM liteq_tag ORDER BY tag, job_id",
    "SELECT * FROM liteq_progress ORDER BY job_id",
    "SELECT * FROM liteq_checkpoint ORDER BY job_id",
    "SELECT * FROM liteq_step ORDER BY job_id, name",
    "SELECT * FROM liteq_stream ORDER BY job_id",
    "SELECT * FROM liteq_part ORDER BY job_id, seq",
    "SELECT * FROM liteq_queue ORDER BY name",
    "SELECT * FROM liteq_metric ORDER BY minute, queue, task",
    # Who a worker is differs from run to run.
    "SELECT id, name, tasks, queues, slots FROM liteq_worker ORDER BY id",
    "SELECT * FROM liteq_meta ORDER BY key",
)


def stock_of(engine: SqliteEngine) -> Stock:
    """Give every row of every table, as the engine's reader sees them."""
    return tuple(tuple(engine.file.read_plain(question)) for question in _QUESTIONS)


def stock_at(path: Path) -> Stock:
    """Give the same of a closed file, which has to be whole."""
    engine = SqliteEngine(path)
    try:
        assert engine.check(full=True) == []
        return stock_of(engine)
    finally:
        engine.close()
