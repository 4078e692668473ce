"""Every statement is checked by SQLite itself, and no SQL is put together in Python."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import apsw.ext
import pytest

import liteq.store
from liteq.store.sqlite.binding import COMPLETE_PLAIN, ENQUEUE
from liteq.store.sqlite.statements import migrations, statements

LITEQ = Path(liteq.store.__file__).parents[1]

SMALL = "a table of few rows, read whole on purpose"
SCANS = {
    "count_by_walk": "counts the whole table: for questions that no index answers, asked by people",
    "queues": SMALL,
    "paused_queues": SMALL,
    "gates": SMALL,
    "guards": SMALL,
    "limits": SMALL,
    "drop_empty_limits": SMALL,
    "next_due": "two first entries of indexes, and the tables of limits and guards, which are small",
    "workers": SMALL,
    "worker_identities": SMALL,
    "holders": "the few processes that hold named locks or wait for one; asked when another joins them",
    "prunable_batches": "walks the batches once in a round of pruning: few beside their jobs",
    "fanout": "gives the first row: the table holds only fan-outs that are not finished yet",
    "prunable_ticks": "walks from the oldest row on, as far as its limit",
    "misplaced_schedules": "asked when a scheduler starts, and when the clock was set back",
    "schedule_totals": "counts all schedules for a person; an index on every column would cost each tick",
    "all_tick_counts": "a few rows for each schedule, added up for a person",
    "last_tick_id": "sqlite_sequence has a row for each table",
    "last_job_id": "sqlite_sequence has a row for each table",
}
SORTS = {
    "lane_counts": "the indexes of scheduled, blocked and running jobs are ordered for their verbs, not by lane",
    "steps": "the few steps of one job, in the order in which they ended",
    "states_of_ticks": "a bounded number of ticks, counted by the few states of their jobs",
    "running_lanes": "the jobs that run are few; an index of lanes would cost each claim and each report",
    "next_lanes": "the few jobs that are next behind those that run, made distinct by lane",
    "begun_lanes": "the few jobs that are due for another attempt, made distinct by lane",
}

# An index, a virtual table, a subquery, a constant row or the recursive query: all but a plain table.
_TABLE_SCAN = re.compile(r"^SCAN (?!CONSTANT ROW|json_each|\(|lane$)\S+(?!.* USING )")


@pytest.fixture(scope="module")
def database() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    for _, script in migrations():
        connection.execute(script)
    return connection


def steps(node: apsw.ext.QueryPlan) -> Iterator[str]:
    yield node.detail
    for below in node.sub or ():
        yield from steps(below)


def plan(database: apsw.Connection, name: str) -> list[str]:
    details = apsw.ext.query_info(database, statements()[name], explain_query_plan=True)
    assert details.query_plan is not None
    return list(steps(details.query_plan))


@pytest.mark.parametrize("name", statements())
def test_a_statement_compiles_alone_and_binds_by_name(database: apsw.Connection, name: str) -> None:
    details = apsw.ext.query_info(database, statements()[name])

    assert details.query_remaining is None
    assert None not in details.bindings_names
    assert len(details.bindings_names) == details.bindings_count
    assert "@" not in statements()[name], "a state that the loader does not know"
    assert not re.search(r"\*\s*FROM|SELECT \*", statements()[name]), "columns are named, never *"


@pytest.mark.parametrize(("name", "names"), [("enqueue", ENQUEUE), ("complete_plain", COMPLETE_PLAIN)])
def test_rows_that_are_tuples_are_in_the_order_of_their_statement(
    database: apsw.Connection, name: str, names: tuple[str, ...]
) -> None:
    assert tuple(apsw.ext.query_info(database, statements()[name]).bindings_names) == names


@pytest.mark.parametrize("name", statements())
def test_a_statement_scans_no_table(database: apsw.Connection, name: str) -> None:
    found = [step for step in plan(database, name) if _TABLE_SCAN.match(step)]

    assert bool(found) is (name in SCANS), found


@pytest.mark.parametrize("name", statements())
def test_a_statement_sorts_nothing_by_itself(database: apsw.Connection, name: str) -> None:
    found = [step for step in plan(database, name) if "TEMP B-TREE" in step]

    assert bool(found) is (name in SORTS), found


def test_lanes_are_found_without_a_look_at_each_of_their_jobs(database: apsw.Connection) -> None:
    lanes = [(queue, task) for queue in "bca" for task in "yxz"]
    job = (
        "INSERT INTO liteq_job (state, priority, run_at, max_failures, max_crashes, enqueued_at, args_crc, args, "
        "queue, task) VALUES (4, 0, 0, 1, 1, 0, 0, x'', ?, ?)"
    )
    try:
        database.execute("BEGIN")
        for queue, task in lanes * 200:
            database.execute(job, (queue, task))
        steps = 0

        def count() -> bool:
            nonlocal steps
            steps += 100
            return False

        database.set_progress_handler(count, 100)
        found = database.execute(statements()["ready_lanes"]).fetchall()
    finally:
        database.set_progress_handler(None)
        database.execute("ROLLBACK")

    assert found == sorted(lanes)
    assert steps < 100 * len(lanes)


def test_the_exceptions_are_statements() -> None:
    assert set(SCANS) | set(SORTS) <= set(statements())


def test_every_statement_is_used() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (LITEQ / "store").rglob("*.py"))
    composed = {name for name in statements() if name.startswith(("ids_by_", "count_by_"))}

    unused = {name for name in statements() if f'"{name}"' not in code and name not in composed}
    assert unused == set()


_SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|(CREATE|DROP|ALTER)\s+(TABLE|INDEX|VIEW)"
    r"|ORDER BY|ATTACH\s|PRAGMA\s)",
    re.DOTALL,
)

FIXED_NUMBERS = {"incremental_vacuum": "a pragma takes no binding; the number is a constant of the module"}


def spliced(tree: ast.AST) -> Iterator[str]:
    """Give the source of every string with SQL in it that is put together from parts."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=values) if any(isinstance(part, ast.FormattedValue) for part in values):
                parts: list[ast.AST] = list(values)
            case ast.BinOp(op=ast.Mod() | ast.Add(), left=left, right=right):
                parts = [left, right]
            case ast.Call(func=ast.Attribute(attr="format" | "join" | "replace", value=value)):
                parts = [value]
            case _:
                continue
        texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        if any(_SQL.search(text) for text in texts):
            yield ast.unparse(node)


@pytest.mark.parametrize(
    "source",
    [
        'f"SELECT id FROM {table}"',
        '"DELETE FROM liteq_job WHERE id = %s" % x',
        '"INSERT INTO " + table',
        '"UPDATE {} SET x = 1".format(t); "UPDATE t SET {}".format(t)',
        'f"PRAGMA user_version = {n}"',
    ],
)
def test_the_lint_sees_spliced_sql(source: str) -> None:
    assert list(spliced(ast.parse(source)))


@pytest.mark.parametrize("path", sorted(LITEQ.rglob("*.py")), ids=lambda path: str(path.relative_to(LITEQ)))
def test_no_sql_is_put_together_from_strings(path: Path) -> None:
    found = [
        text
        for text in spliced(ast.parse(path.read_text(encoding="utf-8")))
        if not any(word in text for word in FIXED_NUMBERS)
    ]

    assert found == []
