"""An application's own SQL in a transaction: what works, what is refused, and what becomes of the block."""

import os
from typing import Any

import pytest

from liteq import (
    ConstraintFailed,
    DiskFull,
    InvalidOption,
    Liteq,
    LiteqError,
    RolledBack,
    State,
    StatementFailed,
    StatementRefused,
)
from tests.face.conftest import orders, rows, ship

# The application's statements


def test_values_go_by_position_or_by_name_and_all_rows_come_back(shop: Liteq) -> None:
    with shop.transaction() as tx:
        made = tx.execute("INSERT INTO orders VALUES (?, ?), (2, 20) RETURNING id, amount", [1, 10])
        tx.execute("INSERT INTO orders VALUES (:id, :amount)", {"id": 3, "amount": 30})
        tx.executemany("INSERT INTO orders VALUES (?, ?)", ((number, 40) for number in (4, 5)))
        back = tx.executemany("DELETE FROM orders WHERE id = :id RETURNING id", [{"id": 4}, {"id": 5}])

        assert made == [(1, 10), (2, 20)]
        assert back == [(4,), (5,)]
        assert tx.execute("SELECT id FROM orders") == [(1,), (2,), (3,)]
        assert tx.execute(" -- nothing") == []


def test_rows_may_be_made_by_code_that_uses_the_app(shop: Liteq) -> None:
    with shop.transaction() as tx:
        tx.executemany("INSERT INTO orders VALUES (?, 1)", ((ship(shop),) for _ in range(2)))

    assert orders(shop) == [job.id for job in shop.list_jobs()][::-1]


def test_triggers_views_and_foreign_keys_of_the_application_work(shop: Liteq) -> None:
    with shop.transaction() as tx:
        tx.execute("INSERT INTO orders VALUES (1, 200)")
        ship(shop)
        tx.execute("INSERT INTO orders VALUES (2, 5)")
        tx.execute("INSERT INTO parts VALUES (1)")
        assert tx.execute("SELECT order_id FROM noted") == [(1,), (2,)]
        assert tx.execute("SELECT id FROM large") == [(1,)]
        with pytest.raises(ConstraintFailed, match="FOREIGN KEY"):
            tx.execute("INSERT INTO parts VALUES (9)")
        tx.execute("DELETE FROM orders WHERE id = 1")
        assert tx.execute("SELECT count(*) FROM parts") == [(0,)]


def test_a_full_text_index_that_triggers_keep_works(shop: Liteq) -> None:
    with shop.transaction() as tx:
        tx.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
        tx.execute("CREATE VIRTUAL TABLE found USING fts5(text, content='notes', content_rowid='id')")
        tx.execute(
            "CREATE TRIGGER notes_found AFTER INSERT ON notes BEGIN "
            "INSERT INTO found (rowid, text) VALUES (new.id, new.text); END"
        )
        tx.execute("INSERT INTO notes (text) VALUES ('a parcel of books')")

        assert tx.execute("SELECT rowid FROM found WHERE found MATCH 'parcel'") == [(1,)]


def test_the_application_makes_and_alters_tables_of_its_own(shop: Liteq) -> None:
    job_id = ship(shop)
    with shop.transaction() as tx:
        tx.execute("CREATE TABLE bills (id INTEGER PRIMARY KEY AUTOINCREMENT, job_id REFERENCES liteq_job (id))")
        tx.execute("INSERT INTO bills (job_id) VALUES (?)", (job_id,))
        with pytest.raises(ConstraintFailed):
            tx.execute("INSERT INTO bills (job_id) VALUES (99)")
        tx.execute("ALTER TABLE bills RENAME TO invoices")
        tx.execute("CREATE INDEX by_job ON invoices (job_id)")
        tx.execute("ANALYZE invoices")
        tx.execute("PRAGMA user_version = 7")
        assert tx.execute("INSERT INTO invoices (job_id) VALUES (?) RETURNING id", (job_id,)) == [(2,)]
        tx.execute("DROP TABLE invoices")

    shop.close()
    assert rows(shop, "PRAGMA user_version") == [(7,)]
    assert ship(shop) == job_id + 1


def test_a_deferred_constraint_is_looked_at_when_the_block_ends(shop: Liteq) -> None:
    with shop.transaction() as tx:
        tx.execute("INSERT INTO later VALUES (1)")
        ship(shop)
        tx.execute("INSERT INTO orders VALUES (1, 5)")

    def leave_it_broken() -> None:
        with shop.transaction() as tx:
            tx.execute("INSERT INTO later VALUES (2)")
            ship(shop)

    with pytest.raises(ConstraintFailed, match="FOREIGN KEY"):
        leave_it_broken()

    assert shop.count_jobs() == 1
    assert rows(shop, "SELECT order_id FROM later") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "bindings", "kind", "words"),
    [
        ("INSERT INTO orders VALUES (1, 5)", (), ConstraintFailed, "UNIQUE"),
        ("INSERT INTO orders VALUES (2, 0)", (), ConstraintFailed, "CHECK"),
        ("INSERT INTO orders VALUES ('x', 5)", (), StatementFailed, "mismatch"),
        ("INSERT INTO missing VALUES (1)", (), StatementFailed, "no such table: missing"),
        ("INSERTED", (), StatementFailed, "syntax"),
        ("SELECT ?", (), StatementFailed, "bindings"),
        ("SELECT :a", {"b": 1}, StatementFailed, "no value for :a"),
        ("SELECT ?", (object(),), StatementFailed, "Bad binding argument type"),
        (b"SELECT 1", (), StatementFailed, "str"),
        ("SELECT ?", (2**70,), InvalidOption, "cannot be stored"),
        ("SELECT ?", ("\ud800",), InvalidOption, "cannot be stored"),
        ("SELECT '\ud800'", (), InvalidOption, "cannot be stored"),
    ],
)
def test_a_statement_that_fails_leaves_the_block_as_it_was(
    shop: Liteq, sql: Any, bindings: Any, kind: type[LiteqError], words: str
) -> None:
    with shop.transaction() as tx:
        tx.execute("INSERT INTO orders VALUES (1, 5)")
        with pytest.raises(kind, match=words) as caught:
            tx.execute(sql, bindings)
        assert type(caught.value) is kind
        tx.execute("INSERT INTO orders VALUES (3, 5)")
        ship(shop)

    assert (orders(shop), shop.count_jobs()) == ([1, 3], 1)


def test_of_many_rows_none_is_left_where_one_fails(shop: Liteq) -> None:
    with shop.transaction() as tx, pytest.raises(ConstraintFailed):
        tx.executemany("INSERT INTO orders VALUES (?, 5)", [(1,), (2,), (1,)])

    assert orders(shop) == []


def test_the_last_room_on_the_disk_is_kept_for_what_is_queued(shop: Liteq, monkeypatch: pytest.MonkeyPatch) -> None:
    with shop.transaction() as tx:
        tx.execute("INSERT INTO orders VALUES (1, 5)")
    full = os.statvfs_result((4096, 4096, 1_000, 10, 10, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    shop.close()

    with shop.transaction() as tx:
        with pytest.raises(DiskFull):
            tx.execute("INSERT INTO orders VALUES (2, 5)")
        assert tx.execute("DELETE FROM orders RETURNING id") == [(1,)]


def test_no_rows_are_no_mistake(shop: Liteq) -> None:
    with shop.transaction() as tx:
        assert tx.executemany("INSERT INTO orders VALUES (?, 5)", []) == []


def test_text_in_place_of_values_is_a_mistake(shop: Liteq) -> None:
    with shop.transaction() as tx, pytest.raises(TypeError, match="write"):
        tx.execute("SELECT ?", "x")


def test_a_triggers_own_refusal_is_a_failed_constraint(shop: Liteq) -> None:
    with shop.transaction() as tx:
        tx.execute("CREATE TRIGGER no BEFORE DELETE ON orders BEGIN SELECT RAISE(ABORT, 'orders stay'); END")
        tx.execute("INSERT INTO orders VALUES (1, 5)")
        with pytest.raises(ConstraintFailed, match="orders stay"):
            tx.execute("DELETE FROM orders")


# What is refused


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT mine",
        "RELEASE block",
        "ATTACH ':memory:' AS elsewhere",
        "DETACH main",
        "PRAGMA synchronous = OFF",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = ON",
        "INSERT INTO liteq_queue (name) VALUES ('mine')",
        "UPDATE liteq_job SET state = 1",
        "DELETE FROM LITEQ_JOB",
        "REPLACE INTO main.liteq_meta VALUES ('schema_version', '1')",
        "WITH gone AS (SELECT 1) DELETE FROM liteq_job",
        "DROP TABLE liteq_job",
        "ALTER TABLE liteq_job ADD COLUMN mine",
        "ALTER TABLE noted RENAME TO liteq_noted",
        "CREATE TABLE liteq_mine (x)",
        "CREATE INDEX mine ON liteq_job (task)",
        "CREATE INDEX liteq_mine ON orders (amount)",
        "CREATE TRIGGER mine AFTER INSERT ON liteq_job BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE liteq USING fts5(text)",
        "CREATE TEMP TABLE liteq_job (x)",
        "CREATE TEMP TRIGGER mine AFTER INSERT ON main.liteq_job BEGIN SELECT 1; END",
        "CREATE TEMP VIEW mine AS SELECT 1",
        "UPDATE sqlite_sequence SET seq = 0",
        "ANALYZE",
        "REINDEX",
        "INSERT INTO orders VALUES (8, 5); INSERT INTO orders VALUES (9, 5)",
        "INSERT INTO orders VALUES (8, 5); -- and\n DELETE FROM orders",
    ],
)
def test_a_statement_that_reaches_too_far_is_refused_and_does_nothing(shop: Liteq, sql: str) -> None:
    job_id = ship(shop)

    with shop.transaction() as tx:
        tx.execute("INSERT INTO orders VALUES (1, 5)")
        with pytest.raises(StatementRefused):
            tx.execute(sql)
        tx.execute("INSERT INTO orders VALUES (2, 5)")
        assert ship(shop) == job_id + 1

    assert orders(shop) == [1, 2]
    shop.close()
    assert shop.get_job(job_id).state is State.READY


def test_comments_and_semicolons_are_no_second_statement(shop: Liteq) -> None:
    with shop.transaction() as tx:
        assert tx.execute("/* first */ SELECT 'a;b';; -- and no more\n /* at all */ ") == [("a;b",)]


def test_a_trigger_may_not_write_where_its_statement_may_not(shop: Liteq) -> None:
    job_id = ship(shop)
    with shop.transaction() as tx:
        tx.execute("CREATE TRIGGER sly AFTER INSERT ON noted BEGIN DELETE FROM liteq_job; END")
        with pytest.raises(StatementRefused, match="liteq_job can only be read"):
            tx.execute("INSERT INTO orders VALUES (1, 5)")

    assert shop.get_job(job_id).state is State.READY
    assert orders(shop) == []


def test_tables_of_liteq_can_be_read(shop: Liteq) -> None:
    with shop.transaction() as tx:
        job_id = ship(shop)
        assert tx.execute("SELECT id, task FROM liteq_job") == [(job_id, "ship")]
        assert tx.execute("PRAGMA table_info(orders)")[0][1] == "id"


def test_the_engines_own_words_are_refused_in_the_applications_mouth(shop: Liteq) -> None:
    """What SQLite has prepared for the one must not be run for the other, in either direction."""
    engine: Any = shop.engine
    sql = engine.file.writer.connection._sql
    shop.pause_queue("mail")
    values = {"queue": "mail"}

    with shop.transaction() as tx:
        for _ in range(3):
            with pytest.raises(StatementRefused):
                tx.execute(sql["resume_queue"], values)
            shop.pause_queue("mail")
            assert shop.resume_queue("mail")


def test_triggers_stay_off_for_the_engine_between_the_applications_statements(shop: Liteq) -> None:
    engine: Any = shop.engine
    plain = engine.file.writer.connection.plain

    with shop.transaction() as tx:
        for number in (1, 2):
            tx.execute("INSERT INTO orders VALUES (?, 5)", (number,))
            plain("INSERT INTO orders VALUES (99, 7)")
            tx.execute("INSERT INTO orders VALUES (?, 5)", (number + 10,))
            with pytest.raises(StatementFailed):
                tx.execute("INSERT INTO missing VALUES (1)")
            plain("DELETE FROM orders WHERE amount = 7")

        assert tx.execute("SELECT order_id FROM noted") == [(1,), (11,), (2,), (12,)]


def test_a_file_of_liteqs_own_gets_no_other_tables(app: Liteq) -> None:
    with app.transaction() as tx, pytest.raises(StatementRefused, match="shared=True"):
        tx.execute("CREATE TABLE orders (id)")

    app.close()
    assert app.count_jobs() == 0


# Transactions that are lost


@pytest.mark.parametrize("sql", ["INSERT OR ROLLBACK INTO orders VALUES (1, 5)", "INSERT INTO orders VALUES (99, 5)"])
def test_nothing_is_written_once_the_transaction_is_lost(shop: Liteq, sql: str) -> None:
    with shop.transaction() as tx:
        tx.execute(
            "CREATE TRIGGER all_or_none BEFORE INSERT ON orders WHEN new.id = 99 "
            "BEGIN SELECT RAISE(ROLLBACK, 'no more'); END"
        )

    def go_on_all_the_same() -> None:
        with shop.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (1, 5)")
            with pytest.raises(ConstraintFailed):
                tx.execute(sql)
            with pytest.raises(RolledBack):
                ship(shop)
            with pytest.raises(RolledBack), shop.batch("all") as batch:
                batch.add(shop.call("ship"))
            with pytest.raises(RolledBack), shop.transaction():
                pass
            with pytest.raises(RolledBack):
                tx.execute("INSERT INTO orders VALUES (2, 5)")

    with pytest.raises(RolledBack):
        go_on_all_the_same()

    assert (orders(shop), shop.count_jobs()) == ([], 0)
    assert ship(shop) == 1


def test_a_disk_that_is_full_takes_all_back_and_nothing_follows(shop: Liteq) -> None:
    engine: Any = shop.engine
    raw = engine.file.writer.connection.raw
    room = raw.pragma("max_page_count")

    def go_on_with_room_again() -> None:
        with shop.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (1, 5)")
            ship(shop)
            raw.pragma("max_page_count", 1)
            with pytest.raises(DiskFull):
                tx.execute("INSERT INTO noted VALUES (zeroblob(8000000))")
            raw.pragma("max_page_count", room)
            with pytest.raises(RolledBack):
                ship(shop)

    with pytest.raises(RolledBack):
        go_on_with_room_again()

    assert (orders(shop), shop.count_jobs()) == ([], 0)
    assert ship(shop) == 1


def test_an_inner_block_that_loses_the_transaction_loses_the_outer_one(shop: Liteq) -> None:
    def lose_it_within() -> None:
        with shop.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (1, 5)")
            with pytest.raises(ConstraintFailed), shop.transaction() as inner:
                inner.execute("INSERT OR ROLLBACK INTO orders VALUES (1, 5)")

    with pytest.raises(RolledBack):
        lose_it_within()

    assert orders(shop) == []
