"""Steps of a task that run once, whatever the attempts."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from liteq import InvalidName, InvalidOption, JobContext, Liteq, PayloadNotSerializable, PayloadTooLarge
from tests.face.conftest import TWICE, AgainError, run


def test_a_step_that_is_done_is_not_run_again(app: Liteq) -> None:
    ran: list[str] = []

    def fetch(what: str, *, times: int = 1) -> list[str]:
        ran.append(what)
        return [what] * times

    def body(ctx: JobContext) -> list[str]:
        first = ctx.step("first", fetch, "a", times=2)
        second = ctx.step("second", fetch, "b")
        if ctx.attempt == 1:
            raise AgainError
        return first + second

    job = run(app, body, retry=TWICE)

    assert job.result == ["a", "a", "b"]
    assert ran == ["a", "b"]


class Order(msgspec.Struct, frozen=True):
    number: int
    at: datetime


def test_a_step_gives_every_attempt_the_same_in_the_annotated_type(app: Liteq) -> None:
    given: list[Any] = []

    def typed() -> Order:
        return Order(7, datetime(2027, 1, 1, tzinfo=UTC))

    def untyped():  # type: ignore[no-untyped-def]  # on purpose
        return (1, 2)

    def nothing() -> None:
        given.append("ran")

    def body(ctx: JobContext) -> None:
        given.append((ctx.step("typed", typed), ctx.step("untyped", untyped), ctx.step("nothing", nothing)))
        if ctx.attempt == 1:
            raise AgainError

    run(app, body, retry=TWICE)

    assert given == ["ran"] + [(typed(), [1, 2], None)] * 2


def test_a_name_is_for_one_step_of_an_attempt(app: Liteq) -> None:
    def body(ctx: JobContext) -> str:
        ctx.step("one", int)
        with pytest.raises(InvalidOption, match="'one' was taken already"):
            ctx.step("one", int)
        with pytest.raises(InvalidName):
            ctx.step("", int)
        with pytest.raises(TypeError, match="function"):
            ctx.step("two", cast("Any", 5))
        return "done"

    assert run(app, body).result == "done"


def test_a_step_that_raises_is_not_done_and_may_be_tried_again_at_once(app: Liteq) -> None:
    tries: list[int] = []

    def fragile() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise AgainError
        return len(tries)

    def body(ctx: JobContext) -> int:
        try:
            return ctx.step("fragile", fragile)
        except AgainError:
            return ctx.step("fragile", fragile)

    assert run(app, body, retry=TWICE).result == 3


def test_a_step_whose_result_would_not_come_back_fails_at_once(app: Liteq) -> None:
    def wrong() -> int:
        return cast("int", "no number")

    def body(ctx: JobContext) -> str:
        with pytest.raises(PayloadNotSerializable, match="step 'wrong'"):
            ctx.step("wrong", wrong)
        with pytest.raises(PayloadNotSerializable, match="step 'odd'"):
            ctx.step("odd", object)
        with pytest.raises(PayloadTooLarge, match="max_payload"):
            ctx.step("large", lambda: "x" * 2**20)
        return "done"

    job = run(app, body)
    assert job.result == "done"
    assert app.engine.steps(job.id) == []


def test_steps_of_coroutines_are_awaited(app: Liteq) -> None:
    ran: list[str] = []

    @app.task(name="part")
    async def declared(word: str) -> str:
        ran.append(word)
        return word

    async def fetch(word: str) -> str:
        await asyncio.sleep(0)
        ran.append(word)
        return word

    @app.task(name="co", retry=TWICE)
    async def co(ctx: JobContext) -> str:
        words = await asyncio.gather(*(ctx.step(f"fetch {word}", fetch, word) for word in "abc"))
        words.append(await ctx.step("declared", cast("Any", declared), "d"))
        with pytest.raises(TypeError, match="coroutine function itself"):
            ctx.step("lambda", lambda: fetch("e"))
        if ctx.attempt == 1:
            raise AgainError
        return "".join(words)

    job = co.enqueue()
    app.work(burst=True)

    assert job.refresh().result == "abcd"
    assert sorted(ran) == ["a", "b", "c", "d"]


def test_two_steps_side_by_side_cannot_share_a_name(app: Liteq) -> None:
    async def fetch() -> int:
        await asyncio.sleep(0)
        return 1

    @app.task(name="co")
    async def co(ctx: JobContext) -> str:
        with pytest.raises(InvalidOption, match="taken already"):
            await asyncio.gather(ctx.step("same", fetch), ctx.step("same", fetch))
        return "refused"

    job = co.enqueue()
    app.work(burst=True)
    assert job.refresh().result == "refused"
