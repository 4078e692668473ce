"""What running jobs say and keep: written only for the attempt that has the job, and gone with it."""

import msgspec
import pytest

from liteq.errors import LeaseLost
from liteq.model import keeping as limits
from liteq.model.job import Claim, Unique
from liteq.model.keeping import PartRecord, ProgressNote, Remark
from liteq.store.engine import Engine
from tests.engine.steps import (
    NOTHING_KEPT,
    NOW,
    bury,
    claim_one,
    complete,
    enqueue_one,
    kept,
    new_job,
    record,
    remark,
    retry,
)


@pytest.fixture
def claim(engine: Engine) -> Claim:
    enqueue_one(engine)
    return claim_one(engine)


def again(engine: Engine, claim: Claim) -> Claim:
    """Fail the attempt and begin the next."""
    retry(engine, claim)
    return claim_one(engine)


def values(parts: list[PartRecord]) -> list[bytes]:
    return [part.value for part in parts]


def fill(engine: Engine, claim: Claim, count: int, *, size: int = 1) -> None:
    engine.note([remark(claim, *[b"1" * size] * count)], now=NOW)


def test_progress_is_the_last_that_was_said(engine: Engine, claim: Claim) -> None:
    for done, total, note in ((1, 2, "one"), (0.25, None, None)):
        assert engine.note([Remark(claim=claim, progress=ProgressNote(done, total, note))], now=NOW + 5) == []

    (found,) = engine.progress([claim.job_id, 99]).values()
    assert (found.done, found.total, found.note, found.attempt, found.updated_at) == (0.25, None, None, 1, NOW + 5)


def test_late_words_are_dropped_and_the_others_written(engine: Engine) -> None:
    enqueue_one(engine)
    late = claim_one(engine)
    fresh = again(engine, late)
    enqueue_one(engine)
    other = claim_one(engine)

    lost = engine.note(
        [remark(late, b"1", done=1), remark(fresh, b"2", done=2), remark(late, b"3"), remark(other, b"4", done=4)],
        now=NOW,
    )

    assert lost == [late, late]
    assert {one.job_id: one.done for one in engine.progress([1, 2]).values()} == {1: 2, 2: 4}
    assert values(engine.parts(1, after=0, limit=9)) == [b"2"]
    assert values(engine.parts(2, after=0, limit=9)) == [b"4"]


def test_parts_in_another_workers_name_are_dropped(engine: Engine, claim: Claim) -> None:
    stranger = msgspec.structs.replace(claim, worker_id=claim.worker_id + 1)

    assert engine.note([remark(stranger, b"1")], now=NOW) == [stranger]
    assert kept(engine, claim.job_id) == NOTHING_KEPT


def test_parts_are_numbered_through_all_attempts(engine: Engine, claim: Claim) -> None:
    engine.note([remark(claim, b"1", b"2"), remark(claim, b"3", at=NOW + 7)], now=NOW)
    claim = again(engine, claim)
    engine.note([remark(claim, b"4")], now=NOW)

    parts = engine.parts(claim.job_id, after=0, limit=9)
    assert [(part.seq, part.attempt, part.value) for part in parts] == [
        (1, 1, b"1"),
        (2, 1, b"2"),
        (3, 1, b"3"),
        (4, 2, b"4"),
    ]
    assert [part.published_at for part in parts] == [NOW, NOW, NOW + 7, NOW]
    assert values(engine.parts(claim.job_id, after=1, limit=2)) == [b"2", b"3"]
    stream = engine.stream(claim.job_id)
    assert stream is not None
    assert (stream.last_seq, stream.parts, stream.bytes, stream.dropped) == (4, 4, 4, 0)


def test_earlier_attempts_make_room_and_the_present_one_is_whole(engine: Engine, claim: Claim) -> None:
    fill(engine, claim, limits.MAX_PARTS - 1)
    claim = again(engine, claim)
    fill(engine, claim, 251)

    stream = engine.stream(claim.job_id)
    assert stream is not None
    assert (stream.parts, stream.bytes, stream.dropped) == (limits.MAX_PARTS, limits.MAX_PARTS, 250)
    parts = engine.parts(claim.job_id, after=0, limit=limits.MAX_PARTS + 1)
    assert [part.seq for part in parts] == list(range(251, limits.MAX_PARTS + 251))


def test_the_present_attempts_parts_are_never_dropped(engine: Engine, claim: Claim) -> None:
    fill(engine, claim, limits.MAX_PARTS)
    fill(engine, claim, 5)

    stream = engine.stream(claim.job_id)
    assert stream is not None
    assert (stream.parts, stream.dropped) == (limits.MAX_PARTS + 5, 0)


def test_room_is_made_for_bytes_too_as_far_as_needed(engine: Engine, claim: Claim) -> None:
    half = limits.MAX_STREAM_BYTES // 2
    fill(engine, claim, 2, size=half)
    claim = again(engine, claim)
    fill(engine, claim, 1, size=half)
    fill(engine, claim, 1, size=half)

    assert [(part.seq, part.attempt) for part in engine.parts(claim.job_id, after=0, limit=9)] == [(3, 2), (4, 2)]
    stream = engine.stream(claim.job_id)
    assert stream is not None
    assert (stream.bytes, stream.dropped) == (limits.MAX_STREAM_BYTES, 2)


def test_a_checkpoint_replaces_the_last_and_outlives_its_attempt(engine: Engine, claim: Claim) -> None:
    assert engine.checkpoint(claim.job_id) is None
    engine.save_checkpoint(claim, value=b"1", now=NOW)
    engine.save_checkpoint(claim, value=b"2", now=NOW)
    late, claim = claim, again(engine, claim)
    with pytest.raises(LeaseLost, match="nothing was kept"):
        engine.save_checkpoint(late, value=b"3", now=NOW)

    assert engine.checkpoint(claim.job_id) == b"2"


def test_steps_are_kept_by_name_in_the_order_of_their_end(engine: Engine, claim: Claim) -> None:
    for name in ("b", "a"):
        engine.finish_step(claim, name=name, result=name.encode(), now=NOW)
    late, claim = claim, again(engine, claim)
    with pytest.raises(LeaseLost):
        engine.finish_step(late, name="c", result=b"late", now=NOW)
    engine.finish_step(claim, name="c", result=b"c", now=NOW + 1)

    assert [(step.name, step.attempt, step.finished_at) for step in engine.steps(claim.job_id)] == [
        ("b", 1, NOW),
        ("a", 1, NOW),
        ("c", 2, NOW + 1),
    ]
    assert engine.step_result(claim.job_id, "a") == b"a"
    assert engine.step_result(claim.job_id, "A") is None
    assert engine.step_result(claim.job_id + 1, "a") is None


def leave_all(engine: Engine, claim: Claim) -> None:
    engine.note([remark(claim, b"1", done=1)], now=NOW)
    engine.save_checkpoint(claim, value=b"1", now=NOW)
    engine.finish_step(claim, name="a", result=b"1", now=NOW)


def test_a_dead_job_run_again_by_hand_goes_on(engine: Engine, claim: Claim) -> None:
    leave_all(engine, claim)
    bury(engine, claim)
    before = kept(engine, claim.job_id)

    engine.requeue([claim.job_id], now=NOW)

    assert kept(engine, claim.job_id) == before


def test_a_completed_job_run_again_by_hand_begins_anew_but_its_stream_goes_on(engine: Engine, claim: Claim) -> None:
    leave_all(engine, claim)
    complete(engine, claim)
    enqueue_one(engine)
    neighbour = claim_one(engine)
    leave_all(engine, neighbour)
    untouched = kept(engine, neighbour.job_id)

    engine.requeue([claim.job_id, neighbour.job_id], now=NOW)

    left = kept(engine, claim.job_id)
    assert (left.progress, left.checkpoint, left.steps) == (None, None, [])
    assert values(left.parts) == [b"1"]
    engine.note([remark(claim_one(engine), b"2")], now=NOW)
    assert [part.seq for part in engine.parts(claim.job_id, after=0, limit=9)] == [1, 2]
    assert kept(engine, neighbour.job_id) == untouched


def test_a_job_whose_arguments_are_replaced_begins_anew(engine: Engine) -> None:
    wanted = new_job(unique=Unique(key="k", on_conflict="replace"))
    job_id = enqueue_one(engine, wanted)
    claim = claim_one(engine)
    leave_all(engine, claim)
    retry(engine, claim, run_at=NOW + 1)

    assert enqueue_one(engine, wanted) == job_id

    left = kept(engine, job_id)
    assert (left.progress, left.checkpoint, left.steps) == (None, None, [])
    assert values(left.parts) == [b"1"]


@pytest.mark.parametrize("how", ["delete", "prune"])
def test_what_was_kept_goes_with_the_job_and_only_with_it(engine: Engine, how: str) -> None:
    claims = []
    for _ in range(3):
        enqueue_one(engine)
        claims.append(claim_one(engine))
        leave_all(engine, claims[-1])
    for claim in claims[:2]:
        complete(engine, claim)
    untouched = kept(engine, 3)

    if how == "delete":
        assert engine.delete([1, 2, 3], now=NOW) == [1, 2]
    else:
        assert engine.prune(finished_before=NOW + 1, limit=10) == 2

    assert [kept(engine, 1), kept(engine, 2)] == [NOTHING_KEPT] * 2
    assert kept(engine, 3) == untouched


@pytest.mark.parametrize("how", ["delete", "prune"])
def test_long_streams_go_a_few_at_a_time(engine: Engine, how: str) -> None:
    for _ in range(3):
        enqueue_one(engine)
        claim = claim_one(engine)
        fill(engine, claim, 6_000)
        complete(engine, claim)
    enqueue_one(engine)
    complete(engine, claim_one(engine))

    if how == "delete":
        assert engine.delete([1, 2, 3, 4], now=NOW) == [1, 2, 3, 4]
    else:
        # A step of pruning is one commit: each holds the lock for the parts of some jobs only.
        removed = [engine.prune(finished_before=NOW + 1, limit=10) for _ in range(4)]
        assert removed == [1, 1, 2, 0]

    assert [kept(engine, job_id) for job_id in (1, 2, 3, 4)] == [NOTHING_KEPT] * 4


def test_metadata_is_stored_with_the_job(engine: Engine) -> None:
    plain = enqueue_one(engine)
    told = enqueue_one(engine, new_job(metadata=b'{"a":1}'))

    assert (engine.metadata(plain), engine.metadata(told), engine.metadata(99)) == (None, b'{"a":1}', None)
    assert record(engine, told).metadata == b'{"a":1}'
