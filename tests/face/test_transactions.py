"""An application's own writes and its jobs, in one commit."""

import asyncio
import logging
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from liteq import (
    FileMoved,
    InvalidOption,
    JobContext,
    Liteq,
    QueueFull,
    State,
    Transaction,
    WrongState,
    every,
)
from tests.face.conftest import Broken, HandClock, nothing, orders, run_in_thread, ship

# One commit


def test_the_applications_rows_and_its_jobs_are_stored_together(shop: Liteq) -> None:
    with Liteq(shop.path, shared=True, durability="normal") as other:
        assert other.count_jobs() == 0

        with shop.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (?, ?)", (42, 5))
            job_id = ship(shop, 42)
            assert other.count_jobs() == 0
            assert shop.get_job(job_id).state is State.READY

        assert other.get_job(job_id).args == {"number": 42}
        assert orders(other) == [42]


def test_nothing_of_a_block_that_raises_is_stored_and_its_exception_goes_on(shop: Liteq) -> None:
    kept = ship(shop)
    reason = Broken()

    def fail_at_the_end() -> None:
        with shop.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (1, 5)")
            ship(shop)
            shop.cancel(kept)
            raise reason

    with pytest.raises(Broken) as caught:
        fail_at_the_end()

    assert caught.value is reason
    assert orders(shop) == []
    assert [(job.id, job.state) for job in shop.list_jobs()] == [(kept, State.READY)]
    assert ship(shop) == kept + 1


def test_verbs_of_all_kinds_join_the_block(shop: Liteq) -> None:
    first, second = ship(shop), ship(shop)

    with suppress(Broken), shop.transaction():
        shop.enqueue_many([shop.call("ship", 1), shop.call("ship", 2)])
        shop.cancel(first)
        shop.delete_jobs(second)
        shop.pause_queue("default")
        with shop.batch("all") as batch:
            batch.add(shop.call("ship", 3))
        shop.limit_task("ship", max_running=1)
        shop.schedule("often", every(minutes=1), shop.call("ship", 4))
        raise Broken

    assert [job.id for job in shop.list_jobs(state="ready")] == [second, first]
    assert (shop.count_jobs(), shop.list_batches(), list(shop.schedules)) == (2, [], [])
    assert (shop.engine.queues(), shop.limits()) == ([], [])


def test_a_declared_schedule_is_stored_after_all_where_the_block_that_stored_it_failed(app: Liteq) -> None:
    app.every(minutes=1, name="often")(app.task(name="tick")(nothing))

    with suppress(Broken), app.transaction():
        app.fire_due()
        raise Broken
    app.fire_due()

    assert "often" in app.schedules


def test_jobs_alone_share_a_commit_in_a_file_of_liteqs_own(app: Liteq) -> None:
    app.task(name="ship")(nothing)

    with app.transaction():
        ids = [ship(app, number) for number in range(3)]

    assert [app.get_job(job_id).args for job_id in ids] == [{"number": number} for number in range(3)]


def test_another_threads_job_waits_for_the_block_and_is_no_part_of_it(shop: Liteq) -> None:
    made: list[int] = []
    begun = threading.Event()

    def enqueue() -> None:
        begun.set()
        made.append(ship(shop, 7))

    with suppress(Broken), shop.transaction():
        ship(shop, 1)
        thread = run_in_thread(enqueue)
        begun.wait(10)
        time.sleep(0.05)
        assert made == []
        raise Broken
    thread.join(10)

    assert [(job.id, job.args) for job in shop.list_jobs()] == [(made[0], {"number": 7})]


def test_a_block_in_a_block_is_undone_alone(shop: Liteq) -> None:
    with shop.transaction() as tx:
        tx.execute("INSERT INTO orders VALUES (1, 5)")
        with suppress(Broken), shop.transaction() as inner:
            inner.execute("INSERT INTO orders VALUES (2, 5)")
            ship(shop, 2)
            raise Broken
        with shop.transaction() as inner:
            inner.execute("INSERT INTO orders VALUES (3, 5)")
        tx.execute("INSERT INTO orders VALUES (4, 5)")
        ship(shop, 4)

    assert orders(shop) == [1, 3, 4]
    assert [job.args for job in shop.list_jobs()] == [{"number": 4}]


def test_a_block_in_a_block_goes_with_the_outer_one(shop: Liteq) -> None:
    with suppress(Broken), shop.transaction():
        with shop.transaction() as inner:
            inner.execute("INSERT INTO orders VALUES (2, 5)")
            ship(shop, 2)
        raise Broken

    assert (orders(shop), shop.count_jobs()) == ([], 0)


def test_a_limit_holds_again_where_the_block_that_took_it_back_was_undone(app: Liteq) -> None:
    app.task(name="ship")(nothing)
    app.limit_queue("default", max_pending=1)

    with app.transaction():
        with suppress(Broken), app.transaction():
            app.unlimit_queue("default")
            ship(app)
            raise Broken
        ship(app)
        with pytest.raises(QueueFull):
            ship(app)


# Whose block it is


def test_a_transaction_cannot_be_used_after_its_block_nor_in_another_thread(shop: Liteq) -> None:
    seen: list[BaseException] = []

    def use(tx: Transaction) -> None:
        try:
            tx.execute("SELECT 1")
        except InvalidOption as error:
            seen.append(error)

    with shop.transaction() as tx:
        run_in_thread(lambda: use(tx)).join(10)
    use(tx)
    with shop.transaction():
        use(tx)

    assert [str(error).partition(" ")[0] for error in seen] == ["a", "this", "this"]
    assert (repr(tx), len(seen)) == ("<Transaction ended>", 3)


def test_waiting_inside_a_block_is_refused(shop: Liteq) -> None:
    with shop.transaction():
        job = shop.get_job(ship(shop))
        batch = shop.batch("all")
        with batch:
            batch.add(shop.call("ship"))
        for wait in (job.wait, batch.wait, job.stream, lambda: shop.work(burst=True), shop.claims):
            with pytest.raises(InvalidOption, match="inside a transaction"):
                wait()
        with pytest.raises(WrongState, match="inside a transaction"), shop.lock("mine"):
            pass

    assert shop.work(burst=True).completed == 2


def test_the_app_is_not_closed_inside_a_block(shop: Liteq) -> None:
    with shop.transaction() as tx:
        with pytest.raises(WrongState, match="before the app is closed"):
            shop.close()
        tx.execute("INSERT INTO orders VALUES (1, 5)")
        ship(shop)

    assert (orders(shop), shop.count_jobs()) == ([1], 1)


def test_an_app_that_another_thread_closes_lets_the_block_end(shop: Liteq) -> None:
    with shop.transaction() as tx:
        closing = run_in_thread(shop.close)
        closing.join(0.05)
        tx.execute("INSERT INTO orders VALUES (1, 5)")
        job_id = ship(shop)
        assert closing.is_alive()
    closing.join(10)

    assert (orders(shop), shop.get_job(job_id).state) == ([1], State.READY)


def test_an_interrupt_in_the_block_rolls_it_back_and_leaves_the_app_usable(shop: Liteq) -> None:
    with suppress(KeyboardInterrupt), shop.transaction() as tx:
        tx.execute("INSERT INTO orders VALUES (1, 5)")
        ship(shop)
        raise KeyboardInterrupt

    run_in_thread(lambda: ship(shop, 2)).join(10)
    assert orders(shop) == []
    assert [job.args for job in shop.list_jobs()] == [{"number": 2}]


def test_a_file_that_is_moved_during_the_block_takes_nothing(shop: Liteq, tmp_path: Path) -> None:
    def move_it() -> None:
        with shop.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (1, 5)")
            (tmp_path / "shop.db").rename(tmp_path / "elsewhere.db")

    with pytest.raises(FileMoved):
        move_it()

    (tmp_path / "elsewhere.db").rename(tmp_path / "shop.db")
    assert orders(shop) == []


def test_a_block_that_awaits_is_rolled_back(shop: Liteq, caplog: pytest.LogCaptureFixture) -> None:
    async def well() -> None:
        await asyncio.sleep(0)
        with shop.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (1, 5)")

    async def badly() -> None:
        with shop.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (2, 5)")
            await asyncio.sleep(0)
            assert "awaits" in caplog.text

    asyncio.run(well())
    with pytest.raises(InvalidOption, match="awaits"):
        asyncio.run(badly())

    assert orders(shop) == [1]


def test_a_block_that_takes_long_is_told_of_once(
    tmp_path: Path, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    with Liteq(tmp_path / "slow.db", durability="normal", clock=clock) as app, caplog.at_level(logging.WARNING):
        with app.transaction():
            clock.advance(0.1)
        assert caplog.records == []

        with app.transaction(), app.transaction():
            clock.advance(0.25)

    assert [record.getMessage() for record in caplog.records] == [
        "a transaction kept all other writers waiting for 250 ms"
    ]


# In a task


def test_a_time_limit_strikes_in_the_block_and_rolls_it_back(shop: Liteq) -> None:
    begun: list[float] = []

    @shop.task(name="slow", timeout=0.2)
    def slow() -> None:
        with shop.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (1, 5)")
            ship(shop)
            begun.append(time.monotonic())
            time.sleep(30)

    job = slow.enqueue()
    shop.work(max_jobs=1)

    assert time.monotonic() - begun[0] < 10
    assert (orders(shop), shop.count_jobs()) == ([], 1)
    assert [attempt.outcome.name for attempt in job.attempts] == ["TIMED_OUT"]


def test_a_time_limit_that_strikes_again_and_again_leaves_no_block_open(shop: Liteq) -> None:
    """Wherever it strikes: at the way in, in a statement, in a verb, at the way out."""

    @shop.task(name="busy", timeout=0.02)
    def busy() -> None:
        while True:
            with shop.transaction() as tx:
                made = tx.execute("INSERT INTO orders (amount) VALUES (5) RETURNING id")
                ship(shop, made[0][0])

    for _ in range(30):
        busy.using(queue="busy").enqueue()
    shop.work(max_jobs=30, queues=["busy"])

    assert all(job.failures for job in shop.list_jobs(task="busy"))
    run_in_thread(lambda: ship(shop, -1)).join(10)
    shipped = sorted(job.args["number"] for job in shop.list_jobs(task="ship", limit=1_000_000))
    assert shipped == [-1, *orders(shop)]


def test_what_a_task_keeps_in_a_block_is_kept_with_it(shop: Liteq) -> None:
    @shop.task(name="careful")
    def careful(ctx: JobContext) -> Any:
        with shop.transaction() as tx:
            tx.execute("INSERT INTO orders VALUES (1, 5)")
            ctx.progress(1, 2)
            ctx.checkpoint("kept")
        with suppress(Broken), shop.transaction():
            ctx.publish("said")
            ctx.checkpoint("undone")
            raise Broken
        return ctx.saved(Any)

    job = careful.enqueue()
    shop.work(burst=True)

    assert job.refresh().result == "kept"
    assert [part.value for part in job.parts()] == ["said"]
    assert orders(shop) == [1]
