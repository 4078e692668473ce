"""What a task says and keeps through its context, and what others see of it."""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest

import liteq.memory
from liteq import (
    GiveUp,
    InvalidName,
    InvalidOption,
    Job,
    JobContext,
    JobNotFound,
    Liteq,
    Part,
    Payload,
    PayloadNotSerializable,
    PayloadTooLarge,
    Progress,
    Retry,
    Snooze,
    State,
    StreamFull,
    Task,
    Undecodable,
    WaitTimeout,
)

TWICE = Retry(max_failures=2, backoff=0, jitter=0)


class AgainError(Exception):
    """What a task raises here to be run again."""


def run(app: Liteq, body: Callable[[JobContext], Any], **settings: Any) -> Job[Any]:
    """Run a job of the body to its end."""

    @app.task(name=f"task{len(list(app.tasks))}", **settings)
    def task(ctx: JobContext) -> Any:
        return body(ctx)

    job = task.enqueue()
    app.work(burst=True)
    return job.refresh()


# Progress


def test_the_last_progress_is_kept_with_the_job(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        for n in range(1_000):
            ctx.progress(n)
        ctx.progress(3, 4, "nearly")

    job = run(app, body)

    progress = job.progress
    assert isinstance(progress, Progress)
    assert (progress.done, progress.total, progress.note, progress.attempt) == (3, 4, "nearly", 1)
    assert progress.fraction == 0.75
    assert progress.updated_at.tzinfo is UTC


def test_a_job_that_says_nothing_has_no_progress(app: Liteq) -> None:
    assert run(app, lambda _ctx: None).progress is None


@pytest.mark.parametrize(
    ("said", "fraction"),
    [((3,), None), ((0.5, 1), 0.5), ((0, 0), 1.0), ((2**63 - 1, 2**63 - 1), 1.0), ((0, 10), 0.0)],
)
def test_progress_comes_back_as_it_was_said(app: Liteq, said: tuple[Any, ...], fraction: float | None) -> None:
    job = run(app, lambda ctx: ctx.progress(*said))

    assert job.state is State.COMPLETED
    progress = job.progress
    assert progress is not None
    assert (progress.done, progress.total) == (*said, None)[:2]
    assert type(progress.done) is type(said[0])
    assert progress.fraction == fraction


@pytest.mark.parametrize(
    "said", [(-1,), (float("nan"),), (float("inf"),), (2**63,), (3, 2), (0, -1), (0, float("nan"))]
)
def test_progress_out_of_range_is_refused(app: Liteq, said: tuple[Any, ...]) -> None:
    def body(ctx: JobContext) -> None:
        with pytest.raises(InvalidOption):
            ctx.progress(*said)

    assert run(app, body).state is State.COMPLETED


@pytest.mark.parametrize(
    "said", [(True,), ("1",), (None,), (Decimal(1),), (1, "2"), (1, False), (1, 2, 3), (1, 2, b"")]
)
def test_progress_that_is_no_number_or_note_is_a_mistake_of_type(app: Liteq, said: tuple[Any, ...]) -> None:
    def body(ctx: JobContext) -> None:
        with pytest.raises(TypeError):
            ctx.progress(*said)

    job = run(app, body)
    assert (job.state, job.progress) == (State.COMPLETED, None)


def test_a_note_that_no_database_takes_and_a_long_one_do_no_harm(app: Liteq) -> None:
    job = run(app, lambda ctx: ctx.progress(1, note="\ud800" + "x" * 10_000))

    assert job.progress is not None
    assert job.progress.note == "?" + "x" * 499


def test_progress_is_seen_while_the_job_runs(app: Liteq) -> None:
    seen = threading.Event()

    @app.task(name="long")
    def long(ctx: JobContext) -> None:
        ctx.progress(1, 2, "half")
        assert seen.wait(20)

    with app.worker():
        job = long.enqueue()
        watch = app.engine.watch()
        while job.progress is None:
            watch.wait(500)
        watch.close()
        assert job.refresh().state is State.RUNNING
        assert job.progress.fraction == 0.5
        seen.set()
        job.wait(20)


def test_coroutines_say_how_far_they_are(app: Liteq) -> None:
    @app.task(name="co")
    async def co(ctx: JobContext) -> None:
        ctx.progress(1, 1)
        ctx.publish("a")
        await asyncio.sleep(0)
        ctx.publish("b")

    job = co.enqueue()
    app.work(burst=True)

    assert job.progress is not None
    assert [part.value for part in job.stream()] == ["a", "b"]


def test_a_failed_job_keeps_what_it_said_last(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        ctx.progress(ctx.attempt, 5)
        raise AgainError

    job = run(app, body, retry=TWICE)

    assert job.state is State.DEAD
    assert job.progress is not None
    assert (job.progress.done, job.progress.attempt) == (2, 2)


# Log


def test_what_is_logged_is_kept_with_the_attempt(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        ctx.log.warning("odd thing %d", 7)
        ctx.log.info("plain thing")
        logging.getLogger("library").warning("by others too")

    job = run(app, body)

    (attempt,) = job.attempts
    assert attempt.log is not None
    assert "odd thing 7" in attempt.log
    assert attempt.log.count("plain thing") == 1
    assert "by others too" in attempt.log


def test_a_quiet_program_stays_quiet_though_its_tasks_are_kept(app: Liteq, caplog: pytest.LogCaptureFixture) -> None:
    def body(ctx: JobContext) -> None:
        ctx.log.info("for the job alone")
        ctx.log.warning("for all")

    logging.getLogger().setLevel(logging.WARNING)
    job = run(app, body)

    assert [record.getMessage() for record in caplog.records] == ["for all"]
    assert job.attempts[0].log is not None
    assert "for the job alone" in job.attempts[0].log
    assert logging.getLogger("liteq.task").level == logging.NOTSET
    assert logging.getLogger("liteq.task").propagate


# Checkpoint


def test_a_checkpoint_reaches_the_next_attempt(app: Liteq) -> None:
    def body(ctx: JobContext) -> list[int]:
        done: list[int] = ctx.saved(list[int], default=[])
        assert done == list(range(ctx.attempt - 1))
        ctx.checkpoint([*done, len(done)])
        assert ctx.saved() == [*done, len(done)]
        if ctx.attempt < 3:
            raise AgainError
        return done

    assert run(app, body, retry=Retry(max_failures=3, backoff=0, jitter=0)).result == [0, 1]


def test_nothing_saved_is_none_or_the_default(app: Liteq) -> None:
    assert run(app, lambda ctx: [ctx.saved(), ctx.saved(int), ctx.saved(int, 7)]).result == [None, None, 7]


def test_a_checkpoint_of_another_type_cannot_be_read(app: Liteq) -> None:
    def body(ctx: JobContext) -> str:
        ctx.checkpoint({"a": datetime(2027, 1, 1, tzinfo=UTC)})
        assert ctx.saved(dict[str, datetime]) == {"a": datetime(2027, 1, 1, tzinfo=UTC)}
        with pytest.raises(Undecodable, match="checkpoint"):
            ctx.saved(int)
        return "done"

    assert run(app, body).result == "done"


def test_a_checkpoint_that_json_cannot_carry_or_too_large_is_refused(app: Liteq) -> None:
    def body(ctx: JobContext) -> str:
        ctx.checkpoint(1)
        with pytest.raises(PayloadNotSerializable, match=r"checkpoint\.a"):
            ctx.checkpoint({"a": object()})
        with pytest.raises(PayloadTooLarge, match="max_payload"):
            ctx.checkpoint("x" * 2**20)
        return cast("str", ctx.saved())

    assert run(app, body).result == 1


def test_coroutines_keep_without_stopping_the_loop(app: Liteq) -> None:
    @app.task(name="co")
    async def co(ctx: JobContext) -> Any:
        await ctx.acheckpoint({"n": 1})
        return ctx.saved()

    job = co.enqueue()
    app.work(burst=True)
    assert job.refresh().result == {"n": 1}


def test_a_snoozed_job_keeps_its_checkpoint(app: Liteq) -> None:
    def body(ctx: JobContext) -> Any:
        if ctx.attempt == 1:
            ctx.checkpoint("kept")
            raise Snooze(0)
        return ctx.saved()

    assert run(app, body).result == "kept"


def test_a_dead_job_requeued_by_hand_goes_on_and_a_completed_one_begins_anew(app: Liteq) -> None:
    seen: list[Any] = []

    @app.task(name="job", retry=Retry.never())
    def task(ctx: JobContext) -> None:
        seen.append((ctx.saved(), ctx.step("one", lambda: ctx.attempt)))
        ctx.checkpoint(ctx.attempt)
        ctx.publish(ctx.attempt)
        if ctx.attempt == 1:
            raise GiveUp("mend me")

    job = task.enqueue()
    for _ in range(3):
        app.work(burst=True)
        app.requeue(job.id)
    app.cancel(job.id)
    app.requeue(job.id)
    app.work(burst=True)

    assert seen == [(None, 1), (1, 1), (None, 3), (None, 4)]
    assert [(part.seq, part.attempt) for part in job.stream()] == [(n, n) for n in range(1, 5)]


# Steps


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


# Stream


def test_parts_come_in_order_and_know_their_attempt(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        for n in range(3):
            ctx.publish({"n": n})
        if ctx.attempt == 1:
            raise AgainError

    job = run(app, body, retry=TWICE)
    parts = list(job.stream())

    assert [part.seq for part in parts] == [1, 2, 3, 4, 5, 6]
    assert [part.attempt for part in parts] == [1, 1, 1, 2, 2, 2]
    assert [part.value["n"] for part in parts] == [0, 1, 2] * 2
    assert parts[0].value_as(dict[str, int]) == {"n": 0}
    assert all(part.published_at.tzinfo is UTC for part in parts)
    with pytest.raises(Undecodable):
        parts[0].value_as(int)


def test_a_stream_is_resumed_behind_a_part(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        for n in range(5):
            ctx.publish(n)

    job = run(app, body)

    assert [part.value for part in job.stream(after=3)] == [3, 4]
    assert list(job.stream(after=99)) == []
    with pytest.raises(InvalidOption, match="after"):
        job.stream(after=-1)


@pytest.fixture
def ticking(app: Liteq) -> Task[[int], None]:
    app_threads = threading.Event()

    @app.task(name="ticking")
    def tick(ctx: JobContext, parts: int) -> None:
        for n in range(parts):
            ctx.publish(n)
            app_threads.wait(0.1)

    return tick


def test_a_stream_is_followed_while_the_job_runs(app: Liteq, ticking: Task[[int], None]) -> None:
    with app.worker():
        job = ticking.enqueue(12)
        states = [(part.value, job.record.state) for part in job.stream(timeout=20)]

    assert [value for value, _ in states] == list(range(12))
    assert states[0][1] is State.RUNNING


def test_a_stream_is_followed_by_a_coroutine(app: Liteq, ticking: Task[[int], None]) -> None:
    async def follow(job: Job[Any]) -> list[Any]:
        return [part.value async for part in job.astream(timeout=20)]

    with app.worker():
        assert asyncio.run(follow(ticking.enqueue(6))) == list(range(6))


def test_a_coroutine_that_follows_can_be_cancelled(app: Liteq, ticking: Task[[int], None]) -> None:
    async def follow(job: Job[Any]) -> None:
        async with asyncio.timeout(0.2):
            async for _ in job.astream():
                pass

    with pytest.raises(TimeoutError):
        asyncio.run(follow(ticking.enqueue(1)))


def test_following_ends_with_the_time_or_with_the_job(app: Liteq, ticking: Task[[int], None]) -> None:
    job = ticking.enqueue(1)

    with pytest.raises(WaitTimeout):
        list(job.stream(timeout=0.05))
    app.delete_jobs(job.id)
    with pytest.raises(JobNotFound):
        list(job.stream())


def test_a_task_may_read_the_stream_of_a_finished_job_only(app: Liteq, ticking: Task[[int], None]) -> None:
    finished = run(app, lambda ctx: ctx.publish("here"))
    waiting = ticking.using(delay=3600).enqueue(1)

    def body(ctx: JobContext) -> Any:
        with pytest.raises(InvalidOption, match="inside a task"):
            app.get_job(waiting.id).stream()
        return [part.value for part in app.get_job(finished.id).stream()]

    assert run(app, body).result == ["here"]


def test_an_attempt_that_fills_its_stream_is_told(app: Liteq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liteq.memory, "MAX_PARTS", 3)
    monkeypatch.setattr(liteq.memory, "MAX_STREAM_BYTES", 100)

    def body(ctx: JobContext) -> str:
        ctx.publish(1)
        with pytest.raises(StreamFull, match="bytes"):
            ctx.publish("x" * 99)
        ctx.publish(2)
        ctx.publish(3)
        with pytest.raises(StreamFull, match="3 parts"):
            ctx.publish(4)
        with pytest.raises(PayloadNotSerializable, match="part"):
            ctx.publish(object())
        return "done"

    job = run(app, body)
    assert job.result == "done"
    assert [part.value for part in job.stream()] == [1, 2, 3]


def test_what_a_job_said_and_kept_goes_with_it(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        ctx.progress(1)
        ctx.checkpoint(1)
        ctx.step("one", int)
        ctx.publish(1)

    job = run(app, body)
    app.delete_jobs(job.id)

    engine = app.engine
    assert (engine.progress([job.id]), engine.checkpoint(job.id), engine.steps(job.id)) == ({}, None, [])
    assert (engine.parts(job.id, after=0, limit=9), engine.stream(job.id)) == ([], None)


# Metadata and tags


def test_metadata_and_tags_reach_the_handle_and_the_task(app: Liteq) -> None:
    @app.task(name="told", tags=["a"], metadata={"by": "default"})
    def told(ctx: JobContext) -> Any:
        return [ctx.metadata, list(ctx.tags)]

    given = {"customer": 7, "when": datetime(2027, 1, 1, tzinfo=UTC)}
    job = told.using(metadata=given, tags=["b", "c"]).enqueue()
    plain = told.enqueue()
    none = told.using(metadata={}).enqueue()
    app.work(burst=True)

    stored = {"customer": 7, "when": "2027-01-01T00:00:00Z"}
    assert job.refresh().metadata == stored
    assert job.result == [stored, ["b", "c"]]
    assert plain.refresh().result == [{"by": "default"}, ["a"]]
    assert (none.metadata, none.record.metadata) == ({}, None)
    assert app.list_jobs()[-1].metadata == stored


def test_job_classes_commands_and_schedules_carry_metadata(app: Liteq) -> None:
    @app.job(name="note", metadata={"from": "class"})
    class Note(Payload, frozen=True):
        def handle(self, ctx: JobContext) -> Any:
            return ctx.metadata

    job: Job[Any] = app.enqueue(Note())
    command = app.enqueue(app.command("true"), metadata={"why": "test"})
    app.schedule("s", liteq.every(hours=1), Note())
    ticked = app.trigger("s")
    app.work(burst=True)

    assert job.refresh().result == {"from": "class"}
    assert command.metadata == {"why": "test"}
    assert ticked.refresh().result == {"from": "class"}


@pytest.mark.parametrize("value", [5, "text", [1], None, {1: 2}, {None: 1}])
def test_metadata_that_is_no_dict_of_names_is_a_mistake_of_type(app: Liteq, value: Any) -> None:
    with pytest.raises(TypeError, match="metadata"):
        app.command("true").using(metadata=value)


def test_metadata_has_a_limit_and_must_be_json(app: Liteq) -> None:
    call = app.command("true")
    call.using(metadata={"a": "x" * (16 * 1024 - 8)})
    with pytest.raises(PayloadTooLarge, match=r"limit is 16,384$"):
        call.using(metadata={"a": "x" * (16 * 1024 - 7)})
    with pytest.raises(PayloadNotSerializable, match="metadata"):
        call.using(metadata={"a": float("nan")})


def test_a_replaced_job_takes_the_newcomers_metadata(app: Liteq) -> None:
    call = app.command("true").using(unique_key="k", on_conflict="replace", delay=60)
    job = app.enqueue(call, metadata={"n": 1})
    app.enqueue(call, metadata={"n": 2})

    assert job.refresh().metadata == {"n": 2}


def test_a_part_says_which_it_is(app: Liteq) -> None:
    (part,) = run(app, lambda ctx: ctx.publish(1)).stream()
    assert isinstance(part, Part)
    assert repr(part) == "<Part 1 of job 1>"
