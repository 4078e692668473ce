"""What an attempt says is written once, in order, before the report of its end, though commits fail."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liteq.clock import SystemClock
from liteq.errors import LeaseLost, StorageError
from liteq.following import _Follower  # pyright: ignore[reportPrivateUsage]  the race inside is tested
from liteq.job import Run
from liteq.memory import Memory
from liteq.model.keeping import ProgressNote
from liteq.store.engine import Engine
from liteq.store.sqlite.engine import SqliteEngine
from liteq.worker.scribe import Scribe
from tests.engine.steps import claim_one, complete, enqueue_one, retry

CLOCK = SystemClock()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = SqliteEngine(tmp_path / "jobs.db", full=False)
    yield engine
    engine.close()


@pytest.fixture
def run(engine: Engine) -> Run:
    enqueue_one(engine)
    run = Run(claim_one(engine))
    run.memory = Memory(run.claim, engine, CLOCK, max_bytes=1_000, turn=threading.Lock())
    return run


def published(engine: Engine) -> list[bytes]:
    return [part.value for part in engine.parts(1, after=0, limit=99)]


def said(run: Run) -> Memory:
    assert run.memory is not None
    run.memory.publish(1)
    run.memory.publish(2)
    run.memory.progress = ProgressNote(1)
    return run.memory


def test_what_was_said_is_written_once(engine: Engine, run: Run) -> None:
    memory, scribe = said(run), Scribe(engine, CLOCK)

    for _ in range(3):
        scribe.write([run])
    memory.publish(3)
    scribe.write([run])

    assert published(engine) == [b"1", b"2", b"3"]
    assert not memory.unwritten()
    assert memory.take() is None


def test_what_is_said_of_a_commit_that_fails_waits_for_the_next(engine: Engine, run: Run) -> None:
    memory, scribe = said(run), Scribe(engine, CLOCK)

    def fail() -> None:
        with scribe.last_words([memory]), engine.transaction():
            scribe.take_down([memory])
            raise StorageError("the commit failed")

    with pytest.raises(StorageError):
        fail()
    assert (published(engine), engine.progress([1])) == ([], {})
    memory.publish(3)
    scribe.write([run])

    assert published(engine) == [b"1", b"2", b"3"]
    assert engine.progress([1])[1].done == 1


def test_words_count_as_unwritten_until_their_commit_is_made(engine: Engine, run: Run) -> None:
    memory, scribe = said(run), Scribe(engine, CLOCK)
    memory.progress = None

    with scribe.last_words([memory]), engine.transaction():
        scribe.take_down([memory])
        assert memory.unwritten()

    assert not memory.unwritten()


def test_a_run_whose_words_come_too_late_is_told_that_it_is_lost(engine: Engine, run: Run) -> None:
    memory = said(run)
    retry(engine, run.claim)

    Scribe(engine, CLOCK).write([run])

    assert run.lost
    assert published(engine) == []
    assert not memory.unwritten()
    with pytest.raises(LeaseLost):
        memory.publish(3)


KEEPS: list[Callable[[Memory], None]] = [
    lambda memory: memory.save("kept"),
    lambda memory: memory.finish_step("one", b"1"),
]


@pytest.mark.parametrize("keep", KEEPS)
def test_what_was_said_before_something_is_kept_is_written_with_it_and_once(
    engine: Engine, run: Run, keep: Callable[[Memory], None]
) -> None:
    memory = said(run)

    keep(memory)
    assert published(engine) == [b"1", b"2"]
    assert engine.progress([1])[1].done == 1
    memory.publish(3)
    keep(memory)
    Scribe(engine, CLOCK).write([run])

    assert published(engine) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("keep", KEEPS)
def test_a_late_attempt_neither_keeps_nor_says_anything(
    engine: Engine, run: Run, keep: Callable[[Memory], None]
) -> None:
    memory = said(run)
    retry(engine, run.claim)

    with pytest.raises(LeaseLost):
        keep(memory)

    assert published(engine) == []
    assert memory.unwritten()
    assert not memory._turn.locked()


def test_nobody_speaks_where_nothing_was_said(engine: Engine, run: Run) -> None:
    watch = engine.watch()
    watch.wait(0)

    Scribe(engine, CLOCK).write([run, Run(run.claim)])

    assert not watch.wait(0)
    watch.close()


def test_what_a_job_publishes_with_its_end_is_given_before_the_stream_ends(engine: Engine, run: Run) -> None:
    looks = 0

    def ended() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            said(run)
            Scribe(engine, CLOCK).write([run])
            complete(engine, run.claim)
        return looks > 1

    follower = _Follower(1, engine, CLOCK, ended=ended, after=0, limit_ms=None)
    parts = follower.next()
    follower.close()

    assert parts is not None
    assert [part.value for part in parts] == [1, 2]
