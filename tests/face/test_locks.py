"""Named locks at the face: blocks, owners, waits, losses, and what a job leaves behind."""

import asyncio
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from liteq import InvalidName, InvalidOption, JobContext, Liteq, LockLost, LockTimeout, State, WrongState


def in_thread(call: Callable[[], object]) -> None:
    """Run the call in another thread to its end; what it raises is raised here."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call).result()


def refused(app: Liteq, name: str = "nightly") -> LockTimeout:
    """Give how the calling thread is refused the lock."""
    with pytest.raises(LockTimeout) as told, app.lock(name, timeout=0):
        pass
    return told.value


def wait_for_line(app: Liteq, name: str, waiting: int) -> None:
    """Return once so many wait for the lock."""
    end = time.monotonic() + 20
    while (found := app.engine.get_lock(name)) is None or found.waiting != waiting:
        assert time.monotonic() < end, found
        time.sleep(0.001)


def test_a_block_holds_the_lock_and_knows_its_token(app: Liteq) -> None:
    for token in (1, 2):
        with app.lock("nightly", timeout=0) as lock:
            assert (lock.name, lock.token, lock.lost) == ("nightly", token, False)
            lock.check()
            in_thread(lambda: refused(app))
    assert app.engine.list_locks(limit=1) == []


def test_an_error_in_the_block_releases_too(app: Liteq) -> None:
    with pytest.raises(ZeroDivisionError), app.lock("nightly"):
        raise ZeroDivisionError

    in_thread(app.lock("nightly", timeout=0).__enter__)


def test_the_same_thread_enters_its_own_lock_again(app: Liteq) -> None:
    lock = app.lock("nightly", timeout=0)
    with lock as outer:
        with lock as again, app.lock("nightly", timeout=0) as inner:
            assert again is inner is outer
        assert not outer.lost
        in_thread(lambda: refused(app))
    assert outer.lost


def test_who_comes_too_late_is_told_who_holds_it(app: Liteq) -> None:
    before = app.clock.now_ms()
    with app.lock("nightly"):
        told: list[LockTimeout] = []
        in_thread(lambda: told.append(refused(app)))

    assert told[0].pid == os.getpid()
    assert told[0].name == "nightly"
    assert told[0].what is not None
    assert "MainThread" in told[0].what
    assert told[0].since is not None
    assert told[0].since.timestamp() * 1000 >= before
    assert f"process {os.getpid()}" in str(told[0])
    assert isinstance(told[0], TimeoutError)


def test_a_wait_ends_when_its_time_is_over_and_leaves_the_line(app: Liteq) -> None:
    def wait() -> None:
        with pytest.raises(LockTimeout, match=r"waited 0\.05 s"), app.lock("nightly", timeout=0.05):
            pass

    with app.lock("nightly"):
        in_thread(wait)
        found = app.engine.get_lock("nightly")
    assert found is not None
    assert found.waiting == 0


@pytest.mark.parametrize("name", ["", " ", "a\n", "a\0b", "\ud800", "ä" * 128, " a"])
def test_a_name_that_cannot_be_one_is_refused_before_anything_is_written(app: Liteq, name: str) -> None:
    with pytest.raises(InvalidName):
        app.lock(name)
    with pytest.raises(TypeError):
        app.lock(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        app.lock("a", timeout=-1)


def test_threads_take_their_turns_and_nobody_is_overtaken(app: Liteq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liteq.store.sqlite.locking.TURN_MS", 60_000)  # however slow this machine is
    order: list[int] = []

    def one(number: int) -> None:
        with app.lock("nightly"):
            order.append(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    with app.lock("nightly"):
        for waiting, thread in enumerate(threads):
            wait_for_line(app, "nightly", waiting)
            thread.start()
        wait_for_line(app, "nightly", len(threads))
    for thread in threads:
        thread.join()

    assert order == list(range(6))


def test_a_lock_is_not_taken_inside_a_transaction(app: Liteq) -> None:
    with app.engine.transaction(), pytest.raises(WrongState):
        app.lock("nightly", timeout=0).__enter__()


def test_a_lock_released_by_hand_is_lost_and_says_so(app: Liteq, caplog: pytest.LogCaptureFixture) -> None:
    with app.lock("nightly") as lock:
        app.engine.break_lock("nightly", now=app.clock.now_ms())
        assert lock.lost
        with pytest.raises(LockLost):
            lock.check()
        with pytest.raises(LockLost), app.lock("nightly"):
            pass
        assert not [one for one in caplog.records if one.levelno >= logging.WARNING]

    assert "lost before it was released" in caplog.text
    with app.lock("nightly", timeout=0) as fresh:
        assert fresh.token == 2


def test_two_apps_of_one_process_exclude_each_other(app: Liteq, tmp_path: Path) -> None:
    with Liteq(tmp_path / "jobs.db", durability="normal") as other:
        with app.lock("nightly"):
            refused(other)
        with other.lock("nightly", timeout=0) as lock:
            assert lock.token == 2


def test_closing_the_app_lets_others_have_its_locks_at_once(app: Liteq, tmp_path: Path) -> None:
    entered = threading.Event()

    def wait() -> None:
        with Liteq(tmp_path / "jobs.db", durability="normal") as other, other.lock("nightly", timeout=20) as lock:
            entered.set()
            assert lock.token == 2

    with ThreadPoolExecutor(1) as pool:
        lock = app.lock("nightly")
        lock.__enter__()
        waiting = pool.submit(wait)
        wait_for_line(app, "nightly", 1)
        app.close()
        waiting.result()
    assert entered.is_set()
    with app.lock("nightly", timeout=0) as again:
        assert again.token == 3


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_neither_holds_nor_releases_its_parents_lock(app: Liteq) -> None:
    context = multiprocessing.get_context("fork")

    with app.lock("nightly") as lock:
        child = context.Process(target=leave_as_child, args=(app,))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert not lock.lost
        assert not [one for one in app.engine.list_locks(limit=9) if not one.alive]


def leave_as_child(app: Liteq) -> None:
    for held in list(app.locks._held.values()):
        app.locks.let_go(held)


def test_coroutines_exclude_each_other_and_the_loop_goes_on(app: Liteq) -> None:
    inside = most = 0

    async def one() -> int:
        nonlocal inside, most
        async with app.lock("nightly") as lock, app.lock("nightly", timeout=0) as again:
            assert again is lock
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            return lock.token

    async def main() -> list[int]:
        return await asyncio.gather(*(one() for _ in range(30)))

    assert sorted(asyncio.run(main())) == list(range(1, 31))
    assert most == 1


def test_a_cancelled_wait_leaves_the_line_and_holds_nothing(app: Liteq) -> None:
    async def wait() -> None:
        async with app.lock("nightly"):
            raise AssertionError

    async def main() -> None:
        async with app.lock("nightly"):
            waiting = asyncio.create_task(wait())
            await asyncio.to_thread(wait_for_line, app, "nightly", 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.to_thread(wait_for_line, app, "nightly", 0)

    asyncio.run(main())
    with app.lock("nightly", timeout=0) as lock:
        assert lock.token == 2


def test_a_job_holds_its_lock_by_its_attempt(app: Liteq) -> None:
    @app.task(name="nightly")
    def nightly(ctx: JobContext) -> list[object]:
        with ctx.lock("nightly", timeout=0) as lock, app.lock("nightly", timeout=0) as again:
            found = app.engine.get_lock("nightly")
            assert found is not None
            return [again is lock, found.job_id, found.attempt, found.what]

    job = nightly.enqueue()
    app.work(burst=True)

    assert job.refresh().result == [True, job.id, 1, f"job {job.id} of {nightly.name}, attempt 1"]
    assert app.engine.list_locks(limit=1) == []


def test_what_an_attempt_leaves_behind_is_released_however_it_ends(
    app: Liteq, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task(name="careless")
    def careless(ctx: JobContext, fail: bool) -> None:
        ctx.lock("nightly", timeout=0).__enter__()
        if fail:
            raise ValueError

    @app.task(name="careless_too")
    async def careless_too(ctx: JobContext) -> None:
        await ctx.lock("nightly", timeout=0).__aenter__()

    for call in (careless.call(fail=True), careless.call(fail=False), careless_too.call()):
        app.enqueue(call)
        app.work(burst=True, max_jobs=1)
        assert app.engine.list_locks(limit=1) == []
    assert app.locks._held == {}
    assert caplog.text.count("left lock 'nightly' behind") == 3


def test_a_time_limit_ends_the_wait_for_a_lock_and_the_holding(app: Liteq) -> None:
    @app.task(name="patient", timeout=0.2)
    def patient(ctx: JobContext, name: str) -> None:
        with ctx.lock("mine"), ctx.lock(name):
            raise AssertionError

    with app.lock("nightly"):
        job = patient.enqueue("nightly")
        in_thread(lambda: app.work(burst=True, max_jobs=1))
        held = [(one.name, one.waiting) for one in app.engine.list_locks(limit=9)]

    assert held == [("nightly", 0)]
    assert job.refresh().failures == 1


def test_a_job_that_is_cancelled_stops_waiting_for_its_lock(app: Liteq) -> None:
    @app.task(name="patient")
    def patient(ctx: JobContext) -> None:
        with ctx.lock("nightly"):
            raise AssertionError

    with app.lock("nightly"), app.worker():
        job = patient.enqueue()
        wait_for_line(app, "nightly", 1)
        app.cancel(job.id)
        job.wait(20)

    assert job.state is State.CANCELLED
