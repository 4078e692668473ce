"""Leases, verdicts about overdue attempts, and deaths that somebody saw."""

import os
import subprocess
import sys

import pytest

from liteq.errors import LeaseLost
from liteq.model.fleet import Death, WorkerCard
from liteq.model.job import Claim
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Engine, Slate
from tests.engine.conftest import OpenEngine
from tests.engine.steps import (
    NOW,
    claim_one,
    claim_some,
    complete,
    die,
    enqueue_one,
    new_job,
    record,
    state_of,
)

LEASE = 5_000
BEAT = 1_000_000


def hire(engine: Engine, *, lease_ms: int | None = LEASE, supervisor_pid: int | None = None) -> Slate:
    card = WorkerCard(
        name="leased", tasks=("task",), queues=None, slots=4, lease_ms=lease_ms, supervisor_pid=supervisor_pid
    )
    slate = engine.register_worker(card, now=NOW)
    slate.beat(BEAT)
    return slate


def start_one(engine: Engine, worker: Slate, *, slot: int = 0) -> Claim:
    claim = claim_one(engine, worker_id=worker.worker_id)
    worker.start(slot, claim.job_id, claim.attempt, NOW)
    return claim


def time_out(engine: Engine, claim: Claim) -> None:
    engine.time_out(job_id=claim.job_id, attempt=claim.attempt, worker_id=claim.worker_id)


@pytest.mark.parametrize(("silent", "taken"), [(LEASE, 0), (LEASE + 1, 1)])
def test_a_worker_with_a_lease_is_taken_from_once_it_has_run_out(engine: Engine, silent: int, taken: int) -> None:
    worker = hire(engine)
    enqueue_one(engine)
    start_one(engine, worker)

    expired = engine.expire(now=NOW, monotonic=BEAT + silent)

    assert len(expired) == taken


def test_a_hung_workers_job_is_charged_and_its_late_report_refused(engine: Engine) -> None:
    worker = hire(engine)
    job_id = enqueue_one(engine)
    late = start_one(engine, worker)

    engine.expire(now=NOW, monotonic=BEAT + LEASE + 1)

    assert (state_of(engine, job_id), record(engine, job_id).crashes) == (State.READY, 1)
    assert engine.attempts(job_id)[0].outcome is Outcome.HUNG
    assert engine.lost_claims([late]) == [late]
    with pytest.raises(LeaseLost):
        complete(engine, late)


def test_a_worker_that_hung_and_goes_on_is_a_worker_again(engine: Engine) -> None:
    worker = hire(engine)
    enqueue_one(engine)
    start_one(engine, worker)
    engine.expire(now=NOW, monotonic=BEAT + LEASE + 1)

    worker.beat(BEAT + LEASE + 2)
    fresh = start_one(engine, worker)

    assert engine.expire(now=NOW, monotonic=BEAT + LEASE + 3) == []
    assert engine.lost_claims([fresh]) == []
    complete(engine, fresh)


@pytest.mark.parametrize("supervisor_pid", [None, os.getpid()])
def test_nobody_without_a_lease_or_with_a_supervisor_is_taken_from_alive(
    engine: Engine, open_engine: OpenEngine, supervisor_pid: int | None
) -> None:
    worker = hire(engine, lease_ms=None if supervisor_pid is None else LEASE, supervisor_pid=supervisor_pid)
    enqueue_one(engine)
    claim = start_one(engine, worker)

    for looking in (engine, open_engine()):
        assert looking.expire(now=NOW, monotonic=BEAT + 100 * LEASE) == []

    complete(engine, claim)


def test_a_dead_workers_jobs_are_left_to_its_supervisor_for_half_a_second(engine: Engine) -> None:
    worker = hire(engine, supervisor_pid=os.getpid())
    enqueue_one(engine)
    start_one(engine, worker)
    die(worker)

    assert engine.expire(now=NOW) == []
    assert engine.expire(now=NOW + 499) == []
    assert len(engine.expire(now=NOW + 500)) == 1


def test_the_supervisor_takes_them_at_once_and_says_why(engine: Engine) -> None:
    worker = hire(engine, supervisor_pid=os.getpid())
    job_id = enqueue_one(engine)
    start_one(engine, worker)
    die(worker)

    death = Death(cause="killed by SIGSEGV", exit_code=-11)
    (taken,) = engine.expire(now=NOW, causes={worker.worker_id: death})

    assert (taken.charged, taken.cause) == (True, "killed by SIGSEGV")
    (crash,) = engine.attempts(job_id)
    assert (crash.outcome, crash.error, crash.exit_code) == (Outcome.CRASHED, "killed by SIGSEGV", -11)


def test_a_dead_supervisor_is_not_waited_for(engine: Engine) -> None:
    boss = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker = hire(engine, supervisor_pid=boss.pid)
    enqueue_one(engine)
    start_one(engine, worker)
    die(worker)
    boss.communicate()

    assert len(engine.expire(now=NOW)) == 1


def test_a_death_that_charges_nobody_gives_everything_back(engine: Engine) -> None:
    worker = hire(engine)
    job_id = enqueue_one(engine)
    start_one(engine, worker)
    die(worker)

    death = Death(cause="it was stopped", outcome=Outcome.RELEASED)
    (taken,) = engine.expire(now=NOW, causes={worker.worker_id: death})

    assert (taken.charged, state_of(engine, job_id)) == (False, State.READY)
    assert engine.attempts(job_id)[0].outcome is Outcome.RELEASED


def test_the_verdict_on_an_overdue_job_is_applied_when_its_worker_is_gone(engine: Engine) -> None:
    worker = hire(engine)
    engine.enqueue([new_job(max_failures=2)] * 2, now=NOW)
    overdue, beside = start_one(engine, worker), start_one(engine, worker, slot=1)

    time_out(engine, overdue)
    assert state_of(engine, overdue.job_id) is State.RUNNING
    assert claim_some(engine) == []
    die(worker)
    engine.expire(now=NOW)

    late = record(engine, overdue.job_id)
    assert (late.state, late.failures, late.crashes) == (State.SCHEDULED, 1, 0)
    assert engine.attempts(overdue.job_id)[0].outcome is Outcome.TIMED_OUT
    other = record(engine, beside.job_id)
    assert (other.state, other.failures, other.crashes) == (State.READY, 0, 0)


def test_an_overdue_job_with_its_budget_spent_is_dead(engine: Engine) -> None:
    worker = hire(engine)
    job_id = enqueue_one(engine, new_job(max_failures=1))
    time_out(engine, start_one(engine, worker))
    die(worker)

    engine.expire(now=NOW)

    assert state_of(engine, job_id) is State.DEAD
    assert (record(engine, job_id).reason or "").startswith("failed 1 of 1 times")
    assert [(one.failed, one.dead, one.crashed) for one in engine.metrics(since_minute=0)] == [(1, 1, 0)]


def test_a_verdict_says_nothing_about_the_next_attempt(engine: Engine) -> None:
    worker = hire(engine)
    job_id = enqueue_one(engine)
    claim = start_one(engine, worker)
    time_out(engine, claim)
    engine.release([claim], reason="it ended after all", now=NOW)
    start_one(engine, worker)
    die(worker)

    engine.expire(now=NOW)

    assert engine.attempts(job_id)[-1].outcome is Outcome.CRASHED


def test_a_hard_cancel_may_follow_a_gentle_one_and_ends_as_asked(engine: Engine) -> None:
    worker = hire(engine)
    job_id = enqueue_one(engine, new_job(max_failures=1))
    claim = start_one(engine, worker)

    assert engine.cancel([job_id], reason="please", now=NOW) == [job_id]
    assert engine.cancels_asked(worker_id=worker.worker_id) == {job_id: False}
    assert engine.cancel([job_id], reason="now", now=NOW, hard=True) == [job_id]
    assert engine.cancels_asked(worker_id=worker.worker_id) == {job_id: True}
    assert engine.cancel([job_id], reason="now", now=NOW, hard=True) == []
    time_out(engine, claim)
    die(worker)
    engine.expire(now=NOW)

    found = record(engine, job_id)
    assert (found.state, found.reason, found.failures, found.crashes) == (State.CANCELLED, "now", 0, 0)
    assert engine.attempts(job_id)[0].outcome is Outcome.ABORTED


def test_a_crash_that_somebody_saw_is_charged_beside_an_overdue_job_too(engine: Engine) -> None:
    worker = hire(engine)
    engine.enqueue([new_job()] * 2, now=NOW)
    overdue, crashed = start_one(engine, worker), start_one(engine, worker, slot=1)
    time_out(engine, overdue)
    die(worker)

    engine.expire(now=NOW, causes={worker.worker_id: Death(cause="killed by SIGSEGV")})

    assert [record(engine, one.job_id).crashes for one in (overdue, crashed)] == [0, 1]


def test_workers_tell_what_they_have_started_and_done(engine: Engine) -> None:
    worker = hire(engine, supervisor_pid=os.getpid())
    enqueue_one(engine)
    claim = claim_one(engine, worker_id=worker.worker_id)
    worker.start(0, claim.job_id, claim.attempt, NOW, 4_000)
    worker.beat(BEAT + 7, done=12, stopping=True)

    (found,) = engine.workers()

    (started,) = found.started
    assert (started.job_id, started.attempt, started.deadline) == (claim.job_id, claim.attempt, 4_000)
    assert (found.beat, found.done, found.stopping, found.here) == (BEAT + 7, 12, True, True)
    assert (found.lease_ms, found.supervisor_pid) == (LEASE, os.getpid())
    assert (found.is_hung(BEAT + 7 + LEASE), found.is_hung(BEAT + 8 + LEASE)) == (False, True)
