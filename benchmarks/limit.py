"""The second yardstick: the product's own tables and statements, run by bare apsw with nothing around them.

What a call costs beyond this is validation, the turnstile, the checks on the file, the worker's loop and the call of
the task: all that makes a job queue of a table.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from benchmarks import raw
from benchmarks.harness import Plan, Sample, Table, compare, each, timed
from benchmarks.jobs import Durability, declare
from liteq.model.job import NewJob
from liteq.store.sqlite.binding import enqueue_row, id_list
from liteq.store.sqlite.connection import STATEMENTS_KEPT
from liteq.store.sqlite.statements import statements

BATCH = 100
SINGLY, TOGETHER, DRAIN = "own insert, one a commit", "own insert, 1,000 a commit", "own claim + outcome by 100"
_COUNTS = ("completed", "failed", "dead", "crashed", "cancelled", "run_ms", "wait_ms")
_LANE = {"queue": "default", "task": "noop"}
_JOB = NewJob(
    task="noop", queue="default", args=b"[]", args_crc=223132457, run_at=0, priority=0, max_failures=5, max_crashes=3
)


def connect(path: Path, durability: Durability) -> apsw.Connection:
    """Open a file that liteq has made, without liteq. SQLite checkpoints by itself, each thousand pages."""
    with declare(path, durability).app as app:
        app.stats()
    connection = apsw.Connection(str(path), statementcachesize=STATEMENTS_KEPT)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    for pragma in ("journal_mode = WAL", f"synchronous = {durability}"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    raw.grow_log(connection)
    return connection


def insert_singly(path: Path, durability: Durability, jobs: int) -> Sample:
    """Insert each job in a transaction of its own."""
    connection, sample = connect(path, durability), Sample(jobs=jobs)
    insert, values = statements()["enqueue"], _row()
    with timed(sample):
        each(sample, lambda: connection.execute(insert, values).fetchall())
    connection.close()
    return sample


def insert_together(path: Path, durability: Durability, jobs: int) -> Sample:
    """Insert a thousand jobs in each transaction."""
    connection, sample = connect(path, durability), Sample(jobs=jobs)
    with timed(sample):
        _fill(connection, jobs)
    connection.close()
    return sample


def drain(path: Path, durability: Durability, jobs: int) -> Sample:
    """Claim by a hundred; outcomes, their count and the next claim are one commit."""
    connection, sample = connect(path, durability), Sample(jobs=jobs)
    _fill(connection, jobs)
    sql = statements()
    with timed(sample):
        done: list[tuple[Any, ...]] = []
        claims = True
        while claims or done:
            heads: list[Any] = connection.execute(sql["lane_heads"], _LANE | {"limit": BATCH}).fetchall()
            with connection:  # a savepoint, and outside of a transaction that is a transaction
                if done:
                    connection.executemany(sql["complete_plain"], done).fetchall()
                    connection.execute(sql["count_outcomes"], _counts(len(done))).fetchall()
                rows = connection.execute(sql["claim"], _claim([head[2] for head in heads])).fetchall()
            done = [_outcome(row) for row in rows]
            claims = bool(rows)
    assert connection.execute("SELECT count(*) FROM liteq_job WHERE state = 6").fetchall() == [(jobs,)]
    connection.close()
    return sample


def measure(plan: Plan) -> list[Table]:
    """Give what SQLite allows with the product's own tables, beside a bare table."""
    found = raw.bare_cases(plan)
    found += raw.cases(SINGLY, insert_singly, plan, slow=True, bare=raw.SINGLY)
    found += raw.cases(TOGETHER, insert_together, plan, bare=raw.TOGETHER)
    found += raw.cases(DRAIN, drain, plan, bare=raw.DRAIN)
    return [compare("limit: bare apsw, on a bare table and on liteq's own", plan, found)]


def _row() -> tuple[Any, ...]:
    """Give the columns of a job that does nothing."""
    return enqueue_row(_JOB, time.time_ns() // 1_000_000)


def _fill(connection: apsw.Connection, jobs: int) -> None:
    insert = statements()["enqueue"]
    for begun in range(0, jobs, raw.TOGETHER_BY):
        with connection:
            connection.executemany(insert, [_row() for _ in range(min(raw.TOGETHER_BY, jobs - begun))]).fetchall()


def _claim(job_ids: Sequence[int]) -> dict[str, Any]:
    return {
        "job_ids": id_list(job_ids),
        "queues": None,
        "paused": None,
        "worker_id": 1,
        "now": time.time_ns() // 1_000_000,
    }


def _outcome(row: Sequence[Any]) -> tuple[Any, ...]:
    now = time.time_ns() // 1_000_000
    return (None, now, now, row[0], row[1], 1)


def _counts(completed: int) -> dict[str, Any]:
    minute = time.time_ns() // 60_000_000_000
    return _LANE | dict.fromkeys(_COUNTS, 0) | {"minute": minute, "completed": completed}
