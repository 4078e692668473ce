"""Every verb in every state, as the table says: generated from ``transitions.py``."""

from collections.abc import Callable

import pytest

from liteq.errors import LeaseLost, WrongState
from liteq.model.job import Change, Claim
from liteq.model.transitions import FINISHED, TRANSITIONS, State, Transition
from liteq.store.engine import Engine
from tests.engine.conftest import ForceState
from tests.engine.steps import (
    NOBODY,
    NOTHING_KEPT,
    NOW,
    abort,
    bury,
    claim_one,
    claim_some,
    complete,
    die,
    enqueue_one,
    new_job,
    picture,
    register,
    remark,
    retry,
    snooze,
    state_of,
)

LATER = NOW + 1_000

Verb = Callable[[Engine, Claim], object]


def _promote(engine: Engine, claim: Claim) -> object:
    # The first statement of every claim, whatever the claim is after.
    return claim_some(engine, tasks=("another",), now=LATER)


def _claim(engine: Engine, claim: Claim) -> object:
    # At a time when no scheduled job is due: that would be promotion.
    return claim_some(engine, now=NOW)


def _prune(engine: Engine, claim: Claim) -> object:
    return engine.prune(finished_before=LATER, limit=10)


def _expire(engine: Engine, claim: Claim) -> object:
    return engine.expire(now=LATER)


VERBS: dict[str, Verb] = {
    "promote": _promote,
    "claim": _claim,
    "complete": lambda engine, claim: complete(engine, claim, now=LATER),
    "retry": lambda engine, claim: retry(engine, claim, run_at=LATER, now=LATER),
    "dead_letter": lambda engine, claim: bury(engine, claim, now=LATER),
    "snooze": lambda engine, claim: snooze(engine, claim, run_at=LATER, now=LATER),
    "release": lambda engine, claim: engine.release([claim], reason="shutdown", now=LATER),
    "abort": lambda engine, claim: abort(engine, claim, now=LATER),
    "time_out": lambda engine, claim: engine.time_out(
        job_id=claim.job_id, attempt=claim.attempt, worker_id=claim.worker_id
    ),
    "note": lambda engine, claim: engine.note([remark(claim, b'"late"', done=9, at=LATER)], now=LATER),
    "save_checkpoint": lambda engine, claim: engine.save_checkpoint(claim, value=b'"late"', now=LATER),
    "finish_step": lambda engine, claim: engine.finish_step(claim, name="late", result=b"1", now=LATER),
    "expire": _expire,
    "cancel": lambda engine, claim: engine.cancel([claim.job_id], reason="unwanted", now=LATER),
    "requeue": lambda engine, claim: engine.requeue([claim.job_id], now=LATER),
    "reschedule": lambda engine, claim: engine.reschedule([claim.job_id], Change(run_at=LATER), now=NOW),
    "delete": lambda engine, claim: engine.delete([claim.job_id], now=LATER),
    "prune": _prune,
}

GIVES_BACK = {"release", "note"}
"""They speak of many claims at once: what was lost is given back, not raised."""

SAME_CALL = {"ask_cancel": "cancel"}
"""One verb of the protocol, two rows of the table: what it does depends on whether the job runs."""

PARTS_OF_OTHERS = {
    "unblock": "a parent's end; tested in test_dependencies.py",
    "block": "another job of its key goes before it; tested in test_turns.py",
    "take_turn": "a job of its key has left its turn; tested in test_turns.py",
    "enqueue": "leads out of no state; tested in test_enqueue.py",
}

ROWS = {row.verb: row for row in TRANSITIONS}
COLUMNS = [(verb, state) for verb in VERBS for state in State]


def bring_to(engine: Engine, state: State, force_state: ForceState) -> Claim:
    """Make a job, have a worker that has since died claim it, and lead it on to the state."""
    worker = register(engine)
    enqueue_one(engine, new_job(tags=("kept",)))
    claim = claim_one(engine, worker_id=worker.worker_id)
    leave_something(engine, claim)
    worker.start(0, claim.job_id, claim.attempt, NOW)
    if state is not State.RUNNING:
        _lead_on(engine, state, claim, force_state)
    die(worker)
    assert state_of(engine, claim.job_id) is state
    return claim


def _lead_on(engine: Engine, state: State, claim: Claim, force_state: ForceState) -> None:
    if state is State.COMPLETED:
        complete(engine, claim)
    elif state is State.DEAD:
        bury(engine, claim)
    elif state is State.SCHEDULED:
        snooze(engine, claim, run_at=NOW + 10)
    else:
        engine.release([claim], reason="shutdown", now=NOW)
        if state is State.CANCELLED:
            engine.cancel([claim.job_id], reason="unwanted", now=NOW)
        elif state is not State.READY:
            force_state(claim.job_id, state)


def leave_something(engine: Engine, claim: Claim) -> None:
    """Say and keep one of each, so that verbs can be seen to leave it alone, or to take it along."""
    engine.note([remark(claim, b'"part"', done=1)], now=NOW)
    engine.save_checkpoint(claim, value=b'"half"', now=NOW)
    engine.finish_step(claim, name="first", result=b"1", now=NOW)


def row_for(verb: str, state: State) -> Transition:
    if verb == "cancel" and state is State.RUNNING:
        return ROWS["ask_cancel"]
    return ROWS[verb]


def test_every_row_of_the_table_is_tried_here() -> None:
    assert set(ROWS) == set(VERBS) | set(SAME_CALL) | set(PARTS_OF_OTHERS)


@pytest.mark.parametrize(("verb", "state"), COLUMNS, ids=[f"{verb}-{state.word}" for verb, state in COLUMNS])
def test_a_verb_moves_a_job_as_the_table_says_or_leaves_it_byte_for_byte(
    engine: Engine, force_state: ForceState, verb: str, state: State
) -> None:
    claim = bring_to(engine, state, force_state)
    row = row_for(verb, state)
    allowed = state in row.before
    if verb == "abort" and allowed:
        engine.cancel([claim.job_id], reason="unwanted", now=NOW)
    before = picture(engine, claim.job_id)

    if allowed or not row.fenced:
        VERBS[verb](engine, claim)
    elif verb in GIVES_BACK:
        assert VERBS[verb](engine, claim) == [claim]
    else:
        with pytest.raises(LeaseLost):
            VERBS[verb](engine, claim)

    after = picture(engine, claim.job_id)
    if not allowed:
        assert after == before
    elif row.after:
        assert after[0] is not None
        assert after[0].state in row.after
        assert after != before
    else:
        assert after == (None, [], (), NOTHING_KEPT)


FENCED = sorted(row.verb for row in TRANSITIONS if row.fenced)


@pytest.mark.parametrize("verb", FENCED)
def test_a_late_report_is_refused_when_another_worker_has_the_job_again(engine: Engine, verb: str) -> None:
    slow = register(engine, "slow")
    job_id = enqueue_one(engine)
    late = claim_one(engine, worker_id=slow.worker_id)
    die(slow)
    engine.expire(now=NOW)
    fresh = claim_one(engine, now=NOW)
    engine.cancel([job_id], reason="so that abort is allowed", now=NOW)
    before = picture(engine, job_id)
    metrics = engine.metrics(since_minute=0)

    if verb in GIVES_BACK:
        assert VERBS[verb](engine, late) == [late]
    else:
        with pytest.raises(LeaseLost):
            VERBS[verb](engine, late)

    assert fresh.attempt == late.attempt + 1
    assert picture(engine, job_id) == before
    assert engine.metrics(since_minute=0) == metrics
    assert VERBS[verb](engine, fresh) in (None, [])


@pytest.mark.parametrize("verb", FENCED)
def test_a_late_report_is_refused_when_the_same_worker_has_the_job_again(engine: Engine, verb: str) -> None:
    job_id = enqueue_one(engine)
    late = claim_one(engine)
    engine.release([late], reason="made room", now=NOW)
    claim_one(engine)
    engine.cancel([job_id], reason="so that abort is allowed", now=NOW)
    before = picture(engine, job_id)

    if verb in GIVES_BACK:
        assert VERBS[verb](engine, late) == [late]
    else:
        with pytest.raises(LeaseLost):
            VERBS[verb](engine, late)

    assert picture(engine, job_id) == before


@pytest.mark.parametrize("verb", FENCED)
def test_a_report_in_the_name_of_another_worker_is_refused(engine: Engine, verb: str) -> None:
    job_id = enqueue_one(engine)
    claim = claim_one(engine)
    engine.cancel([job_id], reason="so that abort is allowed", now=NOW)
    stranger = Claim(**{name: getattr(claim, name) for name in Claim.__struct_fields__} | {"worker_id": NOBODY + 1})
    before = picture(engine, job_id)

    if verb in GIVES_BACK:
        assert VERBS[verb](engine, stranger) == [stranger]
    else:
        with pytest.raises(LeaseLost):
            VERBS[verb](engine, stranger)

    assert picture(engine, job_id) == before


def test_abort_is_refused_when_no_cancel_was_asked(engine: Engine) -> None:
    claim = claim_one(engine) if enqueue_one(engine) else None
    assert claim is not None
    before = picture(engine, claim.job_id)

    with pytest.raises(WrongState):
        abort(engine, claim)

    assert picture(engine, claim.job_id) == before


def test_the_finished_states_are_those_that_only_people_and_upkeep_lead_out_of() -> None:
    leading_out = {row.verb for row in TRANSITIONS if row.before & FINISHED}

    assert leading_out == {"requeue", "delete", "prune"}
