"""The yardstick: what apsw does on this disk with a table of sixteen columns and not one safeguard."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from benchmarks.harness import Case, Plan, Sample, Table, compare, each, timed
from benchmarks.jobs import Durability

BATCH = 100

TABLE = """
CREATE TABLE job (
    id INTEGER PRIMARY KEY, state INTEGER NOT NULL, queue TEXT NOT NULL, task TEXT NOT NULL,
    priority INTEGER NOT NULL, run_at INTEGER NOT NULL, args BLOB NOT NULL, args_crc INTEGER NOT NULL,
    attempt INTEGER NOT NULL, failures INTEGER NOT NULL, max_failures INTEGER NOT NULL, owner INTEGER,
    created_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER, result BLOB
) STRICT
"""
READY = "CREATE INDEX ready ON job (priority DESC, run_at, id) WHERE state = 1"
INSERT = """
INSERT INTO job (state, queue, task, priority, run_at, args, args_crc, attempt, failures, max_failures, created_at)
VALUES (1, 'default', 'noop', 0, ?1, x'5b5d', 223132457, 0, 0, 5, ?1) RETURNING id
"""
CLAIM = """
UPDATE job SET state = 2, attempt = attempt + 1, owner = 1, started_at = ?1
WHERE id IN (SELECT id FROM job WHERE state = 1 ORDER BY priority DESC, run_at, id LIMIT ?2)
RETURNING id, task, args, attempt
"""
OUTCOME = """
UPDATE job SET state = 3, owner = NULL, finished_at = ?1, result = ?2
WHERE id = ?3 AND attempt = ?4 AND owner = 1 AND state = 2
"""


def connect(path: Path, durability: Durability) -> apsw.Connection:
    """Open a new file with the table, in WAL."""
    connection = apsw.Connection(str(path))
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    for pragma in ("journal_mode = WAL", f"synchronous = {durability}"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute(TABLE).fetchall()
    connection.execute(READY).fetchall()
    _grow_log(connection)
    return connection


def insert_singly(path: Path, durability: Durability, jobs: int) -> Sample:
    """Insert each job in a transaction of its own."""
    connection, sample = connect(path, durability), Sample(jobs=jobs)
    with timed(sample):
        each(sample, lambda: connection.execute(INSERT, (time.time_ns(),)).fetchall())
    connection.close()
    return sample


def insert_together(path: Path, durability: Durability, jobs: int, batch: int = 1_000) -> Sample:
    """Insert ``batch`` jobs in each transaction."""
    connection, sample = connect(path, durability), Sample(jobs=jobs)
    with timed(sample):
        _fill(connection, jobs, batch)
    connection.close()
    return sample


def drain(path: Path, durability: Durability, jobs: int) -> Sample:
    """Claim by a hundred; outcomes and the next claim are one commit."""
    connection, sample = connect(path, durability), Sample(jobs=jobs)
    _fill(connection, jobs, 1_000)
    with timed(sample):
        done: list[tuple[Any, ...]] = []
        claims = True
        while claims or done:
            with connection:  # a savepoint, and outside of a transaction that is a transaction
                connection.executemany(OUTCOME, done).fetchall()
                rows = connection.execute(CLAIM, (time.time_ns(), BATCH)).fetchall()
            done = [(time.time_ns(), b"null", row[0], row[3]) for row in rows]
            claims = bool(rows)
    assert connection.execute("SELECT count(*) FROM job WHERE state = 3").fetchall() == [(jobs,)]
    connection.close()
    return sample


def cases(label: str, run: Callable[[Path, Durability, int], Sample], plan: Plan, *, slow: bool) -> list[Case]:
    """Give a case for each durability; ``slow`` means one sync a job under full."""
    many = plan.size(20_000, 3_000)
    few = plan.size(1_000, 100) if slow else many
    return [Case(label, "full", few, run), Case(label, "normal", many, run)]


def measure(plan: Plan) -> list[Table]:
    """Give what the disk and SQLite allow."""
    found = cases("raw insert, one a commit", insert_singly, plan, slow=True)
    found += cases("raw insert, 1,000 a commit", insert_together, plan, slow=False)
    found += cases("raw claim + outcome by 100", drain, plan, slow=False)
    return [compare("raw apsw, 16 columns", plan, found)]


def _grow_log(connection: apsw.Connection) -> None:
    """Write the log to a size once, as liteq does: syncing into a file that need not grow is far cheaper."""
    connection.execute("CREATE TABLE reserve (x BLOB); INSERT INTO reserve VALUES (zeroblob(4194304))").fetchall()
    connection.execute("DROP TABLE reserve").fetchall()
    connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()


def _fill(connection: apsw.Connection, jobs: int, batch: int) -> None:
    for begun in range(0, jobs, batch):
        now = time.time_ns()
        with connection:
            connection.executemany(INSERT, [(now,)] * min(batch, jobs - begun)).fetchall()
