"""The file: made, recognised, refused, moved, copied."""

import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from docs.generate import PAGES
from liteq.errors import (
    Corrupt,
    DiskFull,
    FileMissing,
    FileMoved,
    LiteqError,
    NotALiteqFile,
    SchemaTooNew,
    StorageError,
    UnsafePath,
)
from liteq.model.transitions import State
from liteq.store.engine import Engine
from liteq.store.sqlite import file as file_module
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION
from tests.engine.steps import NOW, claim_one, complete, enqueue_one, new_job, register, state_of

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def made(path: Path) -> Path:
    """Make a liteq file with one job, closed and whole without its log."""
    engine = SqliteEngine(path)
    enqueue_one(engine)
    engine.settle()
    engine.close()
    return path


def alter(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement).fetchall()
    connection.close()


def ask(path: Path, sql: str) -> object:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(sql).fetchall()[0][0]
    finally:
        connection.close()


def assert_refused_untouched(path: Path, *errors: type[LiteqError], shared: bool = False) -> None:
    before = path.read_bytes()

    with pytest.raises(errors):
        SqliteEngine(path, shared=shared)

    assert path.read_bytes() == before


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_fresh(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_the_schema_page_is_what_a_new_file_holds(made: Path) -> None:
    connection = apsw.Connection(str(made), flags=apsw.SQLITE_OPEN_READONLY)
    made_objects = connection.execute("SELECT sql FROM sqlite_schema WHERE sql LIKE '%liteq!_%' ESCAPE '!'").fetchall()
    connection.close()
    page = (DOCS / "schema.md").read_text(encoding="utf-8")

    assert len(made_objects) > 10
    assert page.count("CREATE ") == len(made_objects)
    assert all(f"{row[0]};" in page for row in made_objects)


@pytest.mark.parametrize("empty", [True, False], ids=["of no bytes", "missing"])
def test_a_new_file_is_private_marked_and_whole(path: Path, empty: bool) -> None:
    if empty:
        path.touch(0o600)

    SqliteEngine(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask(path, "PRAGMA application_id") == APPLICATION_ID
    assert ask(path, "PRAGMA journal_mode") == "wal"
    assert ask(path, "PRAGMA auto_vacuum") == 2
    assert ask(path, "PRAGMA integrity_check") == "ok"
    assert not path.with_name("jobs.db-liteq").exists()


def test_a_new_file_has_room_to_drain_a_full_disk(path: Path) -> None:
    engine = SqliteEngine(path)
    engine.settle()

    assert engine.file_facts().free_bytes >= 4 * 1024 * 1024
    assert engine.file_facts().schema == SCHEMA_VERSION
    engine.close()


def test_a_file_is_found_again_as_it_was_left(made: Path) -> None:
    engine = SqliteEngine(made, create=False)

    assert claim_one(engine).attempt == 1
    engine.close()


def test_a_missing_file_is_not_made_unasked(path: Path) -> None:
    with pytest.raises(FileMissing):
        SqliteEngine(path, create=False)

    assert not path.exists()


def test_a_text_file_is_refused_untouched(path: Path) -> None:
    path.write_text("Dear diary, today I was no database at all. " * 100)

    assert_refused_untouched(path, NotALiteqFile)


@pytest.mark.parametrize("mark", [0, 0x12345678])
def test_the_database_of_another_application_is_refused_untouched(path: Path, mark: int) -> None:
    alter(path, "CREATE TABLE customer (name TEXT)", f"PRAGMA application_id = {mark}")

    assert_refused_untouched(path, NotALiteqFile)


def test_an_empty_database_of_another_application_is_refused_untouched(path: Path) -> None:
    alter(path, "PRAGMA application_id = 305419896")

    assert_refused_untouched(path, NotALiteqFile)


def test_another_applications_database_is_shared_when_asked(path: Path) -> None:
    alter(path, "CREATE TABLE customer (name TEXT)", "INSERT INTO customer VALUES ('Ada')")

    engine = SqliteEngine(path, shared=True)
    job_id = enqueue_one(engine)
    engine.close()

    again = SqliteEngine(path, shared=True)
    assert state_of(again, job_id) is State.READY
    again.close()
    assert ask(path, "SELECT name FROM customer") == "Ada"
    assert ask(path, "PRAGMA application_id") == 0


def test_a_newer_schema_is_refused_untouched(made: Path) -> None:
    alter(made, "UPDATE liteq_meta SET value = value + 1 WHERE key = 'schema_version'")

    assert_refused_untouched(made, SchemaTooNew)


@pytest.mark.parametrize(
    "change", ["SET value = ''", "SET value = 'one'", "SET value = '0'", "SET value = '-1'", "SET key = 'other'"]
)
def test_a_file_that_does_not_tell_its_version_is_refused_untouched(made: Path, change: str) -> None:
    alter(made, f"UPDATE liteq_meta {change}")

    assert_refused_untouched(made, StorageError)


TAMPERING = {
    "a column is missing": ("ALTER TABLE liteq_job DROP COLUMN result_error",),
    "a column is new": ("ALTER TABLE liteq_job ADD COLUMN more TEXT",),
    "a trigger": ("CREATE TRIGGER bomb AFTER INSERT ON liteq_job BEGIN DELETE FROM liteq_job; END",),
    "a view in place of a table": (
        "DROP TABLE liteq_queue",
        "CREATE VIEW liteq_queue AS SELECT 'x' AS name, NULL AS paused_at, NULL AS paused_reason",
    ),
    "an index is missing": ("DROP INDEX liteq_job_unique",),
    "an index is new": ("CREATE INDEX liteq_job_more ON liteq_job (result)",),
    "a table is missing": ("DROP TABLE liteq_metric",),
    "a check is missing": (
        "PRAGMA writable_schema = 1",
        "UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (state BETWEEN 1 AND 8)', '') WHERE name = 'liteq_job'",
    ),
}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", TAMPERING)
def test_a_tampered_schema_is_refused_untouched(made: Path, kind: str, shared: bool) -> None:
    alter(made, *TAMPERING[kind])

    assert_refused_untouched(made, Corrupt, shared=shared)


def test_a_strangers_table_in_our_file_is_refused_unless_shared(made: Path) -> None:
    alter(made, "CREATE TABLE customer (name TEXT)")

    assert_refused_untouched(made, Corrupt)
    SqliteEngine(made, shared=True).close()


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "truncated within the header":
        del content[60:]
    elif kind == "truncated within the schema":
        del content[2_000:]
    elif kind == "magic":
        content[:16] = b"SQLite format 9\0"
    elif kind == "page size":
        content[16:18] = b"\x00\x07"
    else:
        content[100:400] = b"\xff" * 300
    path.write_bytes(content)


@pytest.mark.parametrize(
    "kind", ["truncated within the header", "truncated within the schema", "magic", "page size", "first page"]
)
def test_a_damaged_file_is_refused_untouched(made: Path, kind: str) -> None:
    damage(made, kind)

    assert_refused_untouched(made, Corrupt, NotALiteqFile)


def test_a_damaged_page_is_found_by_a_check_and_stops_a_backup(made: Path, tmp_path: Path) -> None:
    root = ask(made, "SELECT rootpage FROM sqlite_schema WHERE name = 'liteq_job'")
    assert isinstance(root, int)
    content = bytearray(made.read_bytes())
    content[(root - 1) * 4096 : (root - 1) * 4096 + 64] = b"\xff" * 64
    made.write_bytes(content)
    engine = SqliteEngine(made)

    assert engine.check(full=False) != []
    with pytest.raises(Corrupt):
        engine.backup(tmp_path / "copy.db")

    assert not (tmp_path / "copy.db").exists()
    assert list(tmp_path.glob(".copy*")) == []
    engine.close()


@pytest.mark.parametrize("fate", ["deleted", "renamed", "replaced"])
def test_a_file_that_was_moved_while_open_takes_no_write(made: Path, tmp_path: Path, fate: str) -> None:
    engine = SqliteEngine(made)
    claim = claim_one(engine)
    if fate == "deleted":
        made.unlink()
    elif fate == "renamed":
        made.rename(tmp_path / "elsewhere.db")
    else:
        (tmp_path / "new.db").touch()
        (tmp_path / "new.db").replace(made)

    with pytest.raises(FileMoved):
        enqueue_one(engine)
    with pytest.raises(FileMoved):
        complete(engine, claim)
    with pytest.raises(FileMoved):
        register(engine)
    if fate != "replaced":
        with pytest.raises(StorageError):
            engine.file_facts()

    engine.close()


def test_a_schema_that_is_changed_while_open_takes_no_write(made: Path) -> None:
    engine = SqliteEngine(made)
    enqueue_one(engine)
    in_another_process(made, "alter")

    with pytest.raises(SchemaTooNew):
        enqueue_one(engine)

    engine.close()


SYNCHRONOUS = {"normal": 1, "full": 2}


@pytest.mark.parametrize(("full", "durable"), [(True, "full"), (False, "normal")])
def test_what_enqueue_and_outcomes_return_is_on_the_disk_and_claims_need_not_be(
    path: Path, full: bool, durable: str
) -> None:
    engine = SqliteEngine(path, full=full)

    def synchronous() -> int:
        found = engine.file.writer.connection.raw.pragma("synchronous")
        assert isinstance(found, int)
        return found

    job_id = enqueue_one(engine)
    assert synchronous() == SYNCHRONOUS[durable]
    claim = claim_one(engine)
    assert synchronous() == SYNCHRONOUS["normal"]
    complete(engine, claim)
    assert synchronous() == SYNCHRONOUS[durable]
    engine.requeue([job_id], now=NOW)
    assert synchronous() == SYNCHRONOUS[durable]
    claim_one(engine)
    with engine.application_transaction():
        assert synchronous() == SYNCHRONOUS[durable]
    engine.close()


def test_the_last_megabytes_are_kept_for_draining(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SqliteEngine(made)
    monkeypatch.setattr(file_module, "KEPT_FOR_DRAINING", 2**62)

    with pytest.raises(DiskFull):
        enqueue_one(engine)
    complete(engine, claim_one(engine))

    engine.close()


def test_the_log_does_not_grow_without_bound(path: Path) -> None:
    engine = SqliteEngine(path, full=False)
    for _ in range(300):
        engine.enqueue([new_job(args=b"[%s]" % (b"1" * 1_000))] * 100, now=NOW)

    assert engine.file_facts().wal_bytes < 24 * 1024 * 1024
    engine.settle()
    assert engine.file_facts().wal_bytes == 0
    engine.close()


def test_a_backup_is_verified_private_and_one_file(made: Path, tmp_path: Path) -> None:
    engine = SqliteEngine(made)
    copy = tmp_path / "copy.db"
    copy.write_text("an older backup")
    enqueue_one(engine)

    engine.backup(copy)

    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert ask(copy, "PRAGMA integrity_check") == "ok"
    assert ask(copy, "SELECT count(*) FROM liteq_job") == 2
    assert sorted(tmp_path.glob("*copy*")) == [copy]
    engine.close()


def test_a_backup_that_cannot_be_written_leaves_the_old_one(made: Path, tmp_path: Path) -> None:
    engine = SqliteEngine(made)
    copy = tmp_path / "copy.db"
    copy.write_text("an older backup")

    def give_up(_done: int, _whole: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.backup(copy, progress=give_up)

    assert copy.read_text() == "an older backup"
    assert sorted(tmp_path.glob("*copy*")) == [copy]
    engine.close()


def test_a_backup_onto_the_open_file_is_refused(made: Path, tmp_path: Path) -> None:
    engine = SqliteEngine(made)
    (tmp_path / "link.db").symlink_to(made)

    for destination in (made, tmp_path / "link.db"):
        with pytest.raises(UnsafePath):
            engine.backup(destination)

    enqueue_one(engine)
    engine.close()


def test_a_backup_into_nowhere_says_so(made: Path, tmp_path: Path) -> None:
    engine = SqliteEngine(made)

    with pytest.raises(StorageError):
        engine.backup(tmp_path / "nowhere" / "copy.db")

    engine.close()


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


def in_another_process(path: Path, what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS, str(path), what],
        cwd=DOCS.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


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


def test_two_processes_work_on_one_file(made: Path) -> None:
    engine: Engine = SqliteEngine(made, full=False)
    other = subprocess.Popen([sys.executable, "-c", ANOTHER_PROCESS, str(made), "work"], cwd=DOCS.parent)
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


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_the_file_closes_without_leaving_descriptors(made: Path) -> None:
    before = descriptors()
    engine = SqliteEngine(made)
    enqueue_one(engine)
    engine.settle()
    engine.close()

    assert descriptors() == before
