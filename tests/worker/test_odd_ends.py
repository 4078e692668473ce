"""Ends of tasks that are hard to write down: none of them costs another job, or stays running for ever."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from liteq import GiveUp, JobContext, Liteq, Retry, Snooze, State
from tests.engine.steps import die, record, register


class Treacherous(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("not today")


class CodedError(Exception):
    exit_code = object()


def gives_up() -> None:
    raise GiveUp("file \udcff")


def logs() -> None:
    logging.getLogger("odd").warning("file %s", "\udcff")


def logs_wrongly() -> None:
    logging.getLogger("odd").warning("%d", "x")


def has_a_code() -> None:
    raise CodedError


def snoozes_back() -> None:
    raise Snooze(-1)


def snoozes_words() -> None:
    raise Snooze("5m")  # type: ignore[arg-type]  # what a user may do


def returns_treachery() -> Any:
    return Treacherous(a=1)


ODD = [gives_up, logs, logs_wrongly, has_a_code, snoozes_back, snoozes_words, returns_treachery]


@pytest.mark.parametrize("kind", ["function", "coroutine"])
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_end_costs_no_other_job(
    app: Liteq, odd: Callable[[], Any], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def later() -> Any:
        return odd()

    def at_once() -> Any:
        return odd()

    def good(n: int) -> int:
        return n

    task = app.task(name="odd", retry=Retry.never())(later if kind == "coroutine" else at_once)
    mate = app.task(name="good")(good)
    job = task.enqueue()
    mates = [mate.enqueue(n) for n in range(5)]

    app.work(burst=True)

    assert job.refresh().state in {State.DEAD, State.COMPLETED}
    assert {one.refresh().state for one in mates} == {State.COMPLETED}
    assert app.stats().workers == []
    capsys.readouterr()


def test_functions_and_coroutines_that_enqueue_each_other_are_all_run_by_one_burst(app: Liteq) -> None:
    def f(n: int) -> None:
        if n:
            g_task.enqueue(n - 1)

    async def g(n: int) -> None:
        await asyncio.sleep(0)
        if n:
            f_task.enqueue(n - 1)

    f_task, g_task = app.task(name="f")(f), app.task(name="g")(g)
    f_task.enqueue(9)

    assert app.work(burst=True).completed == 10


def test_no_more_jobs_are_claimed_than_were_allowed(app: Liteq) -> None:
    async def co(n: int) -> None: ...

    def fn(n: int) -> None: ...

    one, two = app.task(name="fn")(fn), app.task(name="co")(co)
    app.enqueue_many([*(one.call(n) for n in range(30)), *(two.call(n) for n in range(30))])

    result = app.work(burst=True, max_jobs=10)

    assert result.completed == 10
    assert app.count_jobs(state="ready") == 50


def test_a_loop_over_claims_that_breaks_gives_back_what_it_held(app: Liteq) -> None:
    app.task(name="t")(gives_up).enqueue()

    for _claim in app.claims(wait=False):
        break
    gc.collect()

    assert app.count_jobs(state="ready") == 1
    assert app.stats().workers == []


def test_a_worker_that_still_has_jobs_in_its_name_is_not_struck_but_found_dead(app: Liteq) -> None:
    task = app.task(name="t")(logs)
    job = task.enqueue()
    claims = app.claims(wait=False)
    claim = next(claims)
    claim.reported = True  # the loop believes that somebody else reported it
    claims.close()

    assert job.refresh().state is State.RUNNING
    taken = app.engine.expire(now=app.clock.now_ms())

    assert [one.job_id for one in taken] == [job.id]
    assert job.refresh().state is State.READY


def test_the_shortest_burst_runs_what_a_dead_worker_had_begun(app: Liteq) -> None:
    task = app.task(name="t")(logs)
    begun, claimed = task.enqueue(), task.enqueue()
    dead = register(app.engine)
    now = app.clock.now_ms()
    claims = app.engine.claim(worker_id=dead.worker_id, queues=None, tasks=("t",), limit=2, now=now)
    dead.start(0, claims[0].job_id, claims[0].attempt, now)
    die(dead)

    app.work(burst=True)

    assert [job.refresh().state for job in (begun, claimed)] == [State.COMPLETED] * 2
    assert [record(app.engine, job.id).crashes for job in (begun, claimed)] == [1, 0]


def test_a_value_returned_after_the_limit_by_a_task_that_never_looked_counts(app: Liteq) -> None:
    def slow(ctx: JobContext) -> str:
        time.sleep(0.3)
        return f"done {ctx.id}"

    job = app.task(name="slow", timeout=0.1)(slow).enqueue()
    with app.worker():
        assert job.wait(timeout=20).state is State.COMPLETED
