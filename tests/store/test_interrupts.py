"""A Ctrl-C in the code that shares commits, and leaders of a commit that have gone."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest

from liteq.errors import StorageError, UniqueKeyTaken
from liteq.model.job import Unique
from liteq.store.sqlite import shared_commit, writer
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.sidecar import Sidecar
from liteq.store.sqlite.writer import Inside
from tests.engine.steps import enqueue_one, new_job
from tests.store.conftest import PATIENCE_S, count

WATCHED = {shared_commit.__file__, writer.__file__}
INSIDE = {Inside.__enter__.__code__, Inside.__exit__.__code__}


def interrupted_at(step: int, verb: Callable[[], object]) -> bool:
    """Run the verb with a Ctrl-C at the nth call in the code that shares commits; tell whether it has so many.

    Python hears signals where a function begins and after a call. A trace by lines would interrupt where none can,
    such as at a ``try`` just inside a ``with``, and leave the lock behind.
    """
    left = step

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        if event == "c_call" or frame.f_code.co_filename not in WATCHED or frame.f_code in INSIDE:
            return
        left -= 1
        if left < 0:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        verb()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def in_a_thread(verb: Callable[[], object]) -> None:
    thread = threading.Thread(target=verb, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "waits for one that has gone"


def test_an_interrupt_anywhere_in_an_enqueue_holds_up_nobody(engine: SqliteEngine, path: Path) -> None:
    other = Sidecar(path)
    other.open()
    step = 0
    while interrupted_at(step, lambda: enqueue_one(engine)):
        assert other.turnstile.enter(0), f"the turnstile is held after an interrupt at call {step}"
        other.turnstile.leave()
        before = count(engine)
        in_a_thread(lambda: enqueue_one(engine))
        assert count(engine) == before + 1
        step += 1
    other.close()

    assert step > 20


def test_an_interrupt_while_a_refused_enqueue_is_taken_back_leaves_nothing_held(
    engine: SqliteEngine, path: Path
) -> None:
    refused = new_job(unique=Unique(key="key", on_conflict="raise"))
    enqueue_one(engine, refused)
    other = Sidecar(path)
    other.open()

    def enqueue_refused() -> None:
        with suppress(UniqueKeyTaken):
            enqueue_one(engine, refused)

    step = 0
    while interrupted_at(step, enqueue_refused):
        assert other.turnstile.enter(0), f"the turnstile is held after an interrupt at call {step}"
        other.turnstile.leave()
        assert not engine.file.writer.connection.in_transaction(), f"at call {step}"
        in_a_thread(lambda: enqueue_one(engine))
        step += 1
    other.close()

    assert count(engine) == 1 + step
    assert step > 20


def test_an_interrupted_leader_leaves_its_followers_served_once_or_told(engine: SqliteEngine) -> None:
    for step in range(0, 60, 2):
        answers: list[object] = []
        ended = threading.Event()
        before = count(engine)

        def follow(answers: list[object] = answers, ended: threading.Event = ended) -> None:
            while not ended.is_set():
                try:
                    answers.append(enqueue_one(engine))
                except StorageError as error:
                    answers.append(None if error.may_have_committed else error)

        followers = [threading.Thread(target=follow, daemon=True) for _ in range(2)]
        for follower in followers:
            follower.start()
        interrupted_at(step, lambda: enqueue_one(engine))
        ended.set()
        for follower in followers:
            follower.join(PATIENCE_S)
            assert not follower.is_alive(), f"waits for a leader that was interrupted at call {step}"
        mine = [answer for answer in answers if answer is not None]
        assert len(mine) == len(set(mine))
        assert len(mine) <= count(engine) - before <= len(answers) + 1


def test_a_leader_that_has_gone_without_a_word_is_replaced(engine: SqliteEngine) -> None:
    gone: shared_commit._Ticket[int] = shared_commit._Ticket(lambda: 0)
    gone.thread = 0
    engine.file.shared_commit._leader = gone

    in_a_thread(lambda: enqueue_one(engine))

    assert count(engine) == 1


def test_verbs_that_a_gone_leader_had_begun_are_told_and_the_others_run_once(engine: SqliteEngine) -> None:
    ran: list[str] = []
    begun = shared_commit._Ticket(lambda: ran.append("begun"))
    fresh = shared_commit._Ticket(lambda: ran.append("fresh"))
    begun.begun = True
    begun.thread = 0
    engine.file.shared_commit._leader = begun
    engine.file.shared_commit._party = [begun, fresh]

    in_a_thread(lambda: enqueue_one(engine))

    assert ran == ["fresh"]
    assert begun.served
    assert fresh.served
    with pytest.raises(StorageError) as caught:
        begun.outcome()
    assert caught.value.may_have_committed
