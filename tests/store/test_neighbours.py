"""Other processes with the same file: they make it, work on it, alter it, fork and die."""

import subprocess
import sys
from pathlib import Path

import pytest

from liteq.errors import SchemaTooNew
from liteq.model.transitions import State
from liteq.store.engine import Engine
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import NOW, claim_one, complete, enqueue_one
from tests.store.conftest import count

ROOT = Path(__file__).parents[2]

IN_ANOTHER_PROCESS = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
"""

ANOTHER_PROCESS = """
import os, sys
from pathlib import Path
from liteq.errors import ForkedClient
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import NOW, claim_one, claim_some, complete, enqueue_one, register
engine = SqliteEngine(sys.argv[1])
if sys.argv[2] == "work":
    worker = register(engine, "elsewhere")
    for _ in range(100):
        enqueue_one(engine)
        for claim in claim_some(engine, worker_id=worker.worker_id, limit=2):
            complete(engine, claim)
elif sys.argv[2] == "die":
    worker = register(engine, "elsewhere")
    claim = claim_one(engine, worker_id=worker.worker_id)
    worker.start(0, claim.job_id, claim.attempt, NOW)
    os.kill(os.getpid(), 9)
elif sys.argv[2] == "alter":
    with engine.transaction():
        engine.file.writer.connection.raw.execute("ALTER TABLE liteq_job ADD COLUMN more TEXT")
elif sys.argv[2] == "fork":
    job_id = enqueue_one(engine)
    verbs = {
        "enqueue": lambda: enqueue_one(engine),
        "claim": lambda: claim_one(engine),
        "ask": lambda: engine.get_job(job_id),
        "cancel": lambda: engine.cancel([job_id], reason="unwanted", now=NOW),
        "open": lambda: SqliteEngine(sys.argv[1]),
    }
    child = os.fork()
    if child == 0:
        for name, verb in verbs.items():
            try:
                verb()
                print(name, "went through", flush=True)
            except ForkedClient:
                print(name, "refused", flush=True)
        engine.close()
        os._exit(0)
    os.waitpid(child, 0)
    complete(engine, claim_one(engine))
    print("parent goes on", len(engine.check(full=True)), flush=True)
engine.close()
"""

OPEN_AND_ENQUEUE = """
import sys
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import enqueue_one
print("ready", flush=True)
sys.stdin.readline()
engine = SqliteEngine(sys.argv[1])
enqueue_one(engine)
engine.close()
"""


def elsewhere(path: Path, *statements: str) -> None:
    subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS, str(path), *statements], check=True, timeout=60)


def in_another_process(path: Path, what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS, str(path), what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_ten_processes_make_one_file_at_once(tmp_path: Path) -> None:
    for attempt in range(3):
        path = tmp_path / f"{attempt}.db"
        command = [sys.executable, "-c", OPEN_AND_ENQUEUE, str(path)]
        processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(10)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

        assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 10
        engine = SqliteEngine(path)
        assert count(engine) == 10
        engine.close()


def test_two_processes_work_on_one_file(made: Path) -> None:
    engine: Engine = SqliteEngine(made, full=False)
    other = subprocess.Popen([sys.executable, "-c", ANOTHER_PROCESS, str(made), "work"], cwd=ROOT)
    for _ in range(100):
        enqueue_one(engine)
        complete(engine, claim_one(engine))

    assert other.wait(60) == 0
    counts = {count.state: count.jobs for count in engine.lane_counts()}
    assert counts.get(State.RUNNING) is None
    assert sum(row.completed for row in engine.metrics(since_minute=0)) + counts.get(State.READY, 0) == 201
    assert engine.check(full=True) == []
    engine.close()


def test_a_killed_process_leaves_its_started_job_to_the_next(made: Path) -> None:
    ended = in_another_process(made, "die")
    engine = SqliteEngine(made)

    (expired,) = engine.expire(now=NOW)

    assert ended.returncode == -9
    assert expired.charged
    assert claim_one(engine).crashes == 1
    engine.close()


def test_a_forked_child_cannot_use_its_parents_engine_and_does_not_hurt_it(path: Path) -> None:
    ended = in_another_process(path, "fork")

    assert ended.stderr == ""
    assert ended.stdout.splitlines() == [
        "enqueue refused",
        "claim refused",
        "ask refused",
        "cancel refused",
        "open refused",
        "parent goes on 0",
    ]


def test_a_neighbour_may_change_its_own_tables_while_the_file_is_open(path: Path) -> None:
    elsewhere(path, "CREATE TABLE customer (name TEXT)")
    engine = SqliteEngine(path, shared=True)
    enqueue_one(engine)

    elsewhere(path, "CREATE INDEX customer_name ON customer (name)")
    enqueue_one(engine)
    enqueue_one(engine)
    elsewhere(path, "DROP INDEX liteq_job_unique")
    with pytest.raises(SchemaTooNew):
        enqueue_one(engine)

    engine.close()


def test_a_vacuum_by_another_process_stops_no_write(engine: SqliteEngine, path: Path) -> None:
    enqueue_one(engine)

    elsewhere(path, "VACUUM")
    enqueue_one(engine)

    assert count(engine) == 2


def test_a_newer_schema_that_came_while_open_takes_no_write(engine: SqliteEngine, path: Path) -> None:
    enqueue_one(engine)
    elsewhere(path, "UPDATE liteq_meta SET value = value + 1 WHERE key = 'schema_version'", "VACUUM")

    with pytest.raises(SchemaTooNew):
        enqueue_one(engine)


def test_a_schema_that_is_changed_while_open_takes_no_write(made: Path) -> None:
    engine = SqliteEngine(made)
    enqueue_one(engine)
    in_another_process(made, "alter")

    with pytest.raises(SchemaTooNew):
        enqueue_one(engine)

    engine.close()
