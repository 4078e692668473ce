"""Schedules and their ticks, as every engine must keep them."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from liteq.model.firing import Advance, ScheduleRecord, ScheduleRow, Tick, TickOutcome
from liteq.model.job import NewJob
from liteq.model.transitions import State
from liteq.store.engine import Engine
from tests.engine.steps import NOW, claim_one, complete, enqueue_one, new_job

SOON = NOW + 1_000
LATER = NOW + 2_000


def row(
    name: str = "nightly",
    *,
    revision: int | None = None,
    declared: bool = True,
    spec: bytes = b"spec",
    job: bytes = b"job",
    next_fire_at: int | None = SOON,
    tzdata: str = "",
) -> ScheduleRow:
    return ScheduleRow(
        name=name, revision=revision, declared=declared, spec=spec, job=job, next_fire_at=next_fire_at, tzdata=tzdata
    )


def put(engine: Engine, wanted: ScheduleRow | None = None, *, now: int = NOW) -> ScheduleRecord:
    wanted = wanted or row()
    assert engine.put_schedules([wanted], now=now) == [True]
    return stored(engine, wanted.name)


def stored(engine: Engine, name: str = "nightly") -> ScheduleRecord:
    found = engine.get_schedule(name)
    assert found is not None
    return found


def step(record: ScheduleRecord, next_fire_at: int | None = LATER, *, runs: int = 1) -> Advance:
    return Advance(
        schedule_id=record.id,
        revision=record.revision,
        expected=record.next_fire_at,
        next_fire_at=next_fire_at,
        tzdata="",
        runs=runs,
    )


def tick(
    record: ScheduleRecord, outcome: TickOutcome, *, fire_at: int = SOON, ticks: int = 1, late_ms: int = 0
) -> Tick:
    return Tick(schedule_id=record.id, fire_at=fire_at, outcome=outcome, ticks=ticks, late_ms=late_ms)


def test_a_stored_schedule_is_given_back_as_it_was_put(engine: Engine) -> None:
    put(engine, row(spec=b"\x00\xff", tzdata="2026a", declared=False))

    found = stored(engine)

    assert found == ScheduleRecord(
        id=found.id,
        name="nightly",
        revision=1,
        declared=False,
        spec=b"\x00\xff",
        job=b"job",
        next_fire_at=SOON,
        advanced_at=NOW,
        tzdata="2026a",
        runs=0,
        created_at=NOW,
        paused_at=None,
        paused_reason=None,
        error=None,
    )
    assert engine.get_schedule("daily") is None


def test_a_name_is_one_schedule(engine: Engine) -> None:
    put(engine)

    assert engine.put_schedules([row(spec=b"other")], now=NOW) == [False]

    assert stored(engine).spec == b"spec"


def test_a_change_needs_the_revision_that_it_saw_and_raises_it(engine: Engine) -> None:
    put(engine)

    assert engine.put_schedules([row(revision=1, spec=b"new")], now=SOON) == [True]
    assert engine.put_schedules([row(revision=1, spec=b"late")], now=SOON) == [False]

    found = stored(engine)
    assert (found.spec, found.revision, found.advanced_at, found.created_at) == (b"new", 2, NOW, NOW)


def test_a_change_that_moves_the_next_tick_is_an_advance(engine: Engine) -> None:
    put(engine)

    engine.put_schedules([row(revision=1, next_fire_at=LATER)], now=SOON)

    assert stored(engine).advanced_at == SOON


def test_a_change_ends_an_error_and_keeps_a_pause_and_the_count_of_runs(engine: Engine) -> None:
    record = put(engine)
    engine.advance_schedules([replace(step(record), error="broken")], now=SOON)
    engine.pause_schedule(record.id, reason="for now", now=SOON)

    engine.put_schedules([row(revision=1)], now=LATER)

    found = stored(engine)
    assert (found.error, found.paused_reason, found.runs) == (None, "for now", 1)


def test_due_are_those_whose_tick_has_come_the_longest_waiting_first(engine: Engine) -> None:
    for name, at in (("a", NOW + 3), ("b", NOW + 1), ("c", NOW + 4), ("never", None), ("d", NOW + 2)):
        put(engine, row(name, next_fire_at=at))

    assert [record.name for record in engine.due_schedules(now=NOW + 3, limit=10)] == ["b", "d", "a"]
    assert [record.name for record in engine.due_schedules(now=NOW + 3, limit=2)] == ["b", "d"]
    assert engine.due_schedules(now=NOW, limit=10) == []
    assert engine.next_tick() == NOW + 1


def test_a_step_is_taken_once(engine: Engine) -> None:
    record = put(engine)

    assert engine.advance_schedules([step(record)], now=SOON) == {record.id}
    assert engine.advance_schedules([step(record)], now=SOON) == set()

    found = stored(engine)
    assert (found.next_fire_at, found.runs, found.advanced_at, found.revision) == (LATER, 1, SOON, 1)


def test_a_step_fails_once_the_schedule_was_changed(engine: Engine) -> None:
    record = put(engine)
    engine.put_schedules([row(revision=1)], now=NOW)

    assert engine.advance_schedules([step(record)], now=SOON) == set()
    assert stored(engine).next_fire_at == SOON


def test_a_step_fails_while_the_schedule_is_paused(engine: Engine) -> None:
    record = put(engine)
    assert engine.pause_schedule(record.id, reason="holiday", now=NOW)

    assert engine.advance_schedules([step(record)], now=SOON) == set()


def test_a_schedule_without_a_tick_can_be_stepped_too(engine: Engine) -> None:
    record = put(engine, row(next_fire_at=None))

    assert engine.advance_schedules([step(record, SOON, runs=0)], now=NOW) == {record.id}
    assert stored(engine).next_fire_at == SOON


def test_some_of_many_steps_may_fail(engine: Engine) -> None:
    first, second = put(engine, row("a")), put(engine, row("b"))
    engine.advance_schedules([step(first)], now=SOON)

    assert engine.advance_schedules([step(first), step(second)], now=SOON) == {second.id}


def test_a_paused_schedule_is_not_due_and_says_why(engine: Engine) -> None:
    record = put(engine)

    assert engine.pause_schedule(record.id, reason="holiday", now=NOW)
    assert not engine.pause_schedule(record.id, reason="again", now=SOON)

    found = stored(engine)
    assert (found.paused_at, found.paused_reason) == (NOW, "holiday")
    assert engine.due_schedules(now=LATER, limit=10) == []
    assert engine.next_tick() is None


def test_a_resumed_schedule_stands_where_it_stood(engine: Engine) -> None:
    record = put(engine)
    engine.pause_schedule(record.id, reason=None, now=NOW)

    assert not engine.resume_schedule(record.id, revision=9)
    assert engine.resume_schedule(record.id, revision=1)
    assert not engine.resume_schedule(record.id, revision=1)

    assert stored(engine) == record


def test_a_declaration_is_noted_without_a_new_revision(engine: Engine) -> None:
    record = put(engine)

    assert engine.declare_schedule(record, declared=False)

    assert (stored(engine).declared, stored(engine).revision) == (False, 1)


def test_traces_are_given_latest_first_and_counted(engine: Engine) -> None:
    record, other = put(engine), put(engine, row("other"))
    first = [
        tick(record, TickOutcome.FIRED, late_ms=5),
        tick(record, TickOutcome.OVERLAP, fire_at=LATER),
        tick(other, TickOutcome.FIRED),
    ]

    engine.record_ticks(first, now=LATER)
    engine.record_ticks([tick(record, TickOutcome.FIRED, fire_at=LATER + 1, late_ms=7, ticks=2)], now=LATER)

    traces = engine.ticks(record.id, limit=10)
    assert [(one.fire_at, one.outcome) for one in traces] == [
        (LATER + 1, TickOutcome.FIRED),
        (LATER, TickOutcome.OVERLAP),
        (SOON, TickOutcome.FIRED),
    ]
    assert [one.fire_at for one in engine.ticks(record.id, limit=1)] == [LATER + 1]
    counts = {count.outcome: (count.ticks, count.late_ms) for count in engine.tick_counts(record.id)}
    assert counts == {TickOutcome.FIRED: (3, 12), TickOutcome.OVERLAP: (1, 0)}
    assert {count.schedule_id for count in engine.tick_counts()} == {record.id, other.id}


def test_a_buffered_tick_is_settled_once_the_oldest_first(engine: Engine) -> None:
    record = put(engine)
    engine.record_ticks(
        [tick(record, TickOutcome.BUFFERED), tick(record, TickOutcome.BUFFERED, fire_at=LATER)], now=SOON
    )
    (first,) = engine.buffered_ticks()

    assert (first.schedule_id, first.fire_at, first.waiting) == (record.id, SOON, 2)
    assert engine.settle_tick(first, TickOutcome.FIRED, job_id=7, now=LATER)
    assert not engine.settle_tick(first, TickOutcome.FIRED, job_id=8, now=LATER)

    (second,) = engine.buffered_ticks()
    assert (second.fire_at, second.waiting) == (LATER, 1)
    assert [(one.outcome, one.job_id, one.decided_at) for one in engine.ticks(record.id, limit=10)] == [
        (TickOutcome.BUFFERED, None, SOON),
        (TickOutcome.FIRED, 7, LATER),
    ]
    counts = {count.outcome: (count.ticks, count.late_ms) for count in engine.tick_counts(record.id)}
    assert counts == {TickOutcome.BUFFERED: (1, 0), TickOutcome.FIRED: (1, LATER - SOON)}


def test_a_buffered_tick_is_freed_when_no_job_of_its_schedule_is_live_and_it_is_not_paused(engine: Engine) -> None:
    record, other = put(engine), put(engine, row("other"))
    for one in (record, other):
        engine.record_ticks([tick(one, TickOutcome.BUFFERED)], now=SOON)
    enqueue_one(engine, scheduled_by(record))
    engine.pause_schedule(other.id, reason=None, now=SOON)
    assert engine.freed_ticks(limit=10) == []

    complete(engine, claim_one(engine))
    assert [one.schedule_id for one in engine.freed_ticks(limit=10)] == [record.id]
    engine.resume_schedule(other.id, revision=1)

    assert len(engine.freed_ticks(limit=10)) == 2
    assert len(engine.freed_ticks(limit=1)) == 1


def test_a_removed_schedule_leaves_its_jobs_and_drops_what_was_buffered(engine: Engine) -> None:
    record = put(engine)
    job_id = enqueue_one(engine, scheduled_by(record))
    engine.record_ticks([tick(record, TickOutcome.BUFFERED)], now=SOON)

    assert engine.remove_schedule(record.id, now=LATER)
    assert not engine.remove_schedule(record.id, now=LATER)

    assert engine.get_schedule("nightly") is None
    assert engine.get_job(job_id) is not None
    assert engine.buffered_ticks() == []
    assert [one.outcome for one in engine.ticks(record.id, limit=10)] == [TickOutcome.REMOVED]
    assert engine.tick_counts() == []


def scheduled_by(record: ScheduleRecord) -> NewJob:
    return replace(new_job(), schedule_id=record.id, fire_at=SOON)


def test_live_jobs_are_told_by_schedule_until_they_finish(engine: Engine) -> None:
    record, other = put(engine), put(engine, row("other"))
    enqueue_one(engine)
    mine = enqueue_one(engine, scheduled_by(record))

    assert engine.live_jobs_of([record.id, other.id]) == {record.id: [mine]}
    claims = [claim_one(engine), claim_one(engine)]
    assert engine.live_jobs_of([record.id]) == {record.id: [mine]}
    for claim in claims:
        complete(engine, claim)

    assert engine.live_jobs_of([record.id, other.id]) == {}


def test_a_claim_knows_the_tick_that_it_was_made_for(engine: Engine) -> None:
    record = put(engine)
    job_id = enqueue_one(engine, scheduled_by(record))

    claim = claim_one(engine)

    found = engine.get_job(job_id)
    assert claim.fire_at == SOON
    assert found is not None
    assert (found.schedule_id, found.fire_at) == (record.id, SOON)


def test_the_states_of_ticks_are_those_of_their_jobs(engine: Engine) -> None:
    record = put(engine)
    done, waiting = (enqueue_one(engine, scheduled_by(record)) for _ in range(2))
    complete(engine, claim_one(engine))
    for job_id in (done, waiting):
        trace = tick(record, TickOutcome.FIRED)
        engine.record_ticks([replace(trace, job_id=job_id)], now=SOON)
    engine.record_ticks([tick(record, TickOutcome.OVERLAP)], now=SOON)

    assert engine.states_of_ticks(newest=10) == {State.COMPLETED: 1, State.READY: 1}
    assert engine.states_of_ticks(newest=2) == {State.READY: 1}
    assert engine.ticks_with_job(record.id, [SOON, LATER]) == {SOON}


def test_totals_count_schedules_by_how_they_stand(engine: Engine) -> None:
    for name, at in (("due", SOON), ("overdue", NOW), ("to come", LATER), ("done", None), ("paused", NOW)):
        put(engine, row(name, next_fire_at=at))
    engine.pause_schedule(stored(engine, "paused").id, reason=None, now=NOW)
    engine.advance_schedules([replace(step(stored(engine, "done"), None), error="bad")], now=NOW)

    totals = engine.schedule_totals(now=SOON, overdue_since=NOW)

    assert (totals.schedules, totals.due, totals.overdue, totals.paused, totals.broken) == (5, 2, 1, 1, 1)


def test_misplaced_are_those_of_a_later_clock_or_another_release(engine: Engine) -> None:
    put(engine, row("plain"), now=NOW)
    put(engine, row("ahead"), now=LATER)
    put(engine, row("old rules", tzdata="2020a"), now=NOW)
    put(engine, row("new rules", tzdata="2026a"), now=NOW)

    found = engine.misplaced_schedules(latest=SOON, tzdata="2026a")

    assert {record.name for record in found} == {"ahead", "old rules"}


def test_schedules_are_listed_by_name_in_pages(engine: Engine) -> None:
    for name in ("b", "c", "a"):
        put(engine, row(name))

    assert [record.name for record in engine.list_schedules(limit=2)] == ["a", "b"]
    assert [record.name for record in engine.list_schedules(limit=2, after="b")] == ["c"]
    ids = [stored(engine, name).id for name in ("c", "a")]
    assert {record.name for record in engine.schedules_by_id(ids)} == {"a", "c"}


def test_pruning_removes_the_oldest_traces_and_leaves_what_is_buffered(engine: Engine) -> None:
    record = put(engine)
    engine.record_ticks([tick(record, TickOutcome.FIRED), tick(record, TickOutcome.BUFFERED)], now=NOW)
    engine.record_ticks([tick(record, TickOutcome.FIRED, fire_at=LATER)], now=LATER)

    assert engine.prune_ticks(decided_before=LATER, limit=1) == 1
    assert engine.prune_ticks(decided_before=LATER, limit=10) == 0

    assert [one.outcome for one in engine.ticks(record.id, limit=10)] == [TickOutcome.FIRED, TickOutcome.BUFFERED]


CHANGES: dict[str, Callable[[Engine, ScheduleRecord], object]] = {
    "put": lambda engine, record: engine.put_schedules([row(f"beside {record.name}")], now=NOW),
    "advance": lambda engine, record: engine.advance_schedules([step(record)], now=SOON),
    "record": lambda engine, record: engine.record_ticks([tick(record, TickOutcome.FIRED)], now=SOON),
    "pause": lambda engine, record: engine.pause_schedule(record.id, reason=None, now=NOW),
    "remove": lambda engine, record: engine.remove_schedule(record.id, now=NOW),
}


@pytest.mark.parametrize("verb", CHANGES)
def test_a_transaction_that_fails_leaves_nothing_of_its_verbs(engine: Engine, verb: str) -> None:
    record = put(engine)
    before = (engine.list_schedules(limit=10), engine.ticks(record.id, limit=10), engine.tick_counts())

    with pytest.raises(ZeroDivisionError):
        _change_and_fail(engine, record, verb)

    assert (engine.list_schedules(limit=10), engine.ticks(record.id, limit=10), engine.tick_counts()) == before
    assert engine.get_job(1) is None


def _change_and_fail(engine: Engine, record: ScheduleRecord, verb: str) -> None:
    with engine.transaction():
        CHANGES[verb](engine, record)
        enqueue_one(engine)
        raise ZeroDivisionError
