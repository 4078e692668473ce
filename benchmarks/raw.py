"""The first yardstick: what apsw does on this disk with a table of thirteen columns and not one safeguard."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from benchmarks.harness import Case, Plan, Sample, each, timed
from benchmarks.jobs import Durability
from liteq.store.sqlite.connection import STATEMENTS_KEPT

BATCH = 100
TOGETHER_BY = 1_000
SINGLY, TOGETHER, DRAIN = "bare insert, one a commit", "bare insert, 1,000 a commit", "bare claim + outcome by 100"

TABLE = """
CREATE TABLE job (
    id INTEGER PRIMARY KEY, state INTEGER NOT NULL, queue TEXT NOT NULL, task TEXT NOT NULL,
    priority INTEGER NOT NULL, run_at INTEGER NOT NULL, args BLOB NOT NULL, attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL, owner INTEGER, created_at INTEGER NOT NULL, finished_at INTEGER, result BLOB
) STRICT
"""
READY = "CREATE INDEX ready ON job (priority DESC, run_at, id) WHERE state = 1"
INSERT = """
INSERT INTO job (state, queue, task, priority, run_at, args, attempt, failures, created_at)
VALUES (1, 'default', 'noop', 0, ?1, x'5b5d', 0, 0, ?1) RETURNING id
"""
CLAIM = """
UPDATE job SET state = 2, attempt = attempt + 1, owner = 1
WHERE id IN (SELECT id FROM job WHERE state = 1 ORDER BY priority DESC, run_at, id LIMIT ?1)
RETURNING id, task, args, attempt
"""
OUTCOME = """
UPDATE job SET state = 3, owner = NULL, finished_at = ?1, result = ?2
WHERE id = ?3 AND attempt = ?4 AND owner = 1 AND state = 2
"""


def connect(path: Path, durability: Durability) -> apsw.Connection:
    """Open a new file with the table, in WAL."""
    connection = apsw.Connection(str(path), statementcachesize=STATEMENTS_KEPT)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    for pragma in ("journal_mode = WAL", f"synchronous = {durability}"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute(TABLE).fetchall()
    connection.execute(READY).fetchall()
    grow_log(connection)
    return connection


def insert_singly(path: Path, durability: Durability, jobs: int) -> Sample:
    """Insert each job in a transaction of its own."""
    connection, sample = connect(path, durability), Sample(jobs=jobs)
    with timed(sample):
        each(sample, lambda: connection.execute(INSERT, (time.time_ns(),)).fetchall())
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
    """Claim by a hundred; outcomes and the next claim are one commit."""
    connection, sample = connect(path, durability), Sample(jobs=jobs)
    _fill(connection, jobs)
    with timed(sample):
        done: list[tuple[Any, ...]] = []
        claims = True
        while claims or done:
            with connection:  # a savepoint, and outside of a transaction that is a transaction
                connection.executemany(OUTCOME, done).fetchall()
                rows = connection.execute(CLAIM, (BATCH,)).fetchall()
            done = [(time.time_ns(), b"null", row[0], row[3]) for row in rows]
            claims = bool(rows)
    assert connection.execute("SELECT count(*) FROM job WHERE state = 3").fetchall() == [(jobs,)]
    connection.close()
    return sample


def cases(
    label: str,
    run: Callable[[Path, Durability, int], Sample],
    plan: Plan,
    *,
    slow: bool = False,
    many: int = 0,
    bare: str | None = None,
) -> list[Case]:
    """Give a case for each durability; ``slow`` means one sync a job under full."""
    many = many or plan.size(20_000, 3_000)
    few = plan.size(3_000, 100) if slow else many
    return [Case(label, "full", few, run, bare), Case(label, "normal", many, run, bare)]


def bare_cases(plan: Plan) -> list[Case]:
    """Give everything that is measured on the bare table."""
    found = cases(SINGLY, insert_singly, plan, slow=True)
    return found + cases(TOGETHER, insert_together, plan) + cases(DRAIN, drain, plan)


def grow_log(connection: apsw.Connection) -> None:
    """Write the log to a size once, as liteq does: syncing into a file that need not grow is far cheaper."""
    connection.execute("CREATE TABLE reserve (x BLOB); INSERT INTO reserve VALUES (zeroblob(4194304))").fetchall()
    connection.execute("DROP TABLE reserve").fetchall()
    connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()


def _fill(connection: apsw.Connection, jobs: int) -> None:
    for begun in range(0, jobs, TOGETHER_BY):
        now = time.time_ns()
        with connection:
            connection.executemany(INSERT, [(now,)] * min(TOGETHER_BY, jobs - begun)).fetchall()
