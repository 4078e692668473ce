"""What changed between a claim's first look, without the lock, and its second."""

from typing import Any

import pytest

from liteq.model.job import Change, Claim
from liteq.model.limits import Limit
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.lanes import Gates
from tests.engine.steps import NOW, claim_some, enqueue_one, new_job


def test_a_queue_that_was_paused_after_the_first_look_gives_no_job(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue_one(engine)
    heads = engine._heads

    def look_then_pause(*wanted: Any) -> Any:
        found = heads(*wanted)
        if not engine.file.writer.holds():
            engine.pause_queue("default", reason=None, now=NOW)
        return found

    monkeypatch.setattr(engine, "_heads", look_then_pause)

    assert claim_some(engine) == []


def test_a_job_that_was_moved_after_the_first_look_goes_to_its_new_queue_alone(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = enqueue_one(engine)
    heads = engine._heads

    def look_then_move(*wanted: Any) -> Any:
        found = heads(*wanted)
        if not engine.file.writer.holds():
            with engine.transaction():
                engine.file.writer.connection.plain("UPDATE liteq_job SET queue = 'other'")
        return found

    monkeypatch.setattr(engine, "_heads", look_then_move)

    assert claim_some(engine, queues=("default",)) == []
    monkeypatch.undo()
    assert [claim.job_id for claim in claim_some(engine, queues=("other",))] == [job_id]


def test_a_job_that_a_rival_took_after_the_first_look_stays_the_rivals(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue_one(engine)
    second = enqueue_one(engine)
    heads = engine._heads
    theirs: list[Claim] = []

    def look_while_a_rival_claims(*wanted: Any) -> Any:
        found = heads(*wanted)
        if not theirs:
            theirs.append(engine._take(found[:1], 7, None, Gates(), NOW)[0])
        return found

    monkeypatch.setattr(engine, "_heads", look_while_a_rival_claims)
    mine = claim_some(engine, worker_id=8, limit=2)

    assert [claim.job_id for claim in mine] == [second]
    assert [(one.owner, one.attempt) for one in [engine.get_job(theirs[0].job_id)] if one] == [(7, 1)]


def test_a_job_that_is_moved_into_a_full_queue_after_the_first_look_is_not_taken(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue_one(engine, new_job(queue="full"))
    claim_some(engine)
    engine.put_limit("queue", "full", Limit(max_running=1))
    job_id = enqueue_one(engine)
    heads = engine._heads

    def look_then_move(*wanted: Any) -> Any:
        found = heads(*wanted)
        if not engine.file.writer.holds():
            engine.reschedule([job_id], Change(queue="full"), now=NOW)
        return found

    monkeypatch.setattr(engine, "_heads", look_then_move)

    assert claim_some(engine) == []
