"""Each verb of the engine with what must be there before it: the scenes in which calls are made to fail."""

from collections.abc import Callable
from typing import NamedTuple

from liteq.model.job import Change, Claim, Completion, JobFilter, Unique
from liteq.model.limits import NO_LIMIT, Limit
from liteq.model.rate import Rate
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Engine
from tests.engine.steps import (
    NOW,
    abort,
    bury,
    claim_one,
    claim_some,
    complete,
    die,
    enqueue_one,
    new_job,
    register,
    remark,
    retry,
    snooze,
    told,
)

LATER = NOW + 60_000
BIG = b'["%s"]' % (b"x" * 6_000)

Verb = Callable[[Engine], object]


class Scene(NamedTuple):
    """``prepare`` brings the file to where the verb begins, and gives the verb.

    ``synced``: the verb's commit is on the disk when it returns.
    """

    prepare: Callable[[Engine], Verb]
    synced: bool = True


def _enqueue(engine: Engine) -> Verb:
    jobs = [
        new_job(args=BIG, tags=("red", "blue")),
        new_job(unique=Unique(key="only")),
        new_job(run_at=LATER, queue="other"),
    ]
    return lambda engine: engine.enqueue(jobs, now=NOW)


def _transaction(engine: Engine) -> Verb:
    claim = claim_one(engine, now=NOW) if enqueue_one(engine) else None
    assert claim is not None

    def several(engine: Engine) -> None:
        with engine.transaction():
            enqueue_one(engine, new_job(unique=Unique(key="inside")))
            complete(engine, claim)
            engine.pause_queue("default", reason=None, now=NOW)

    return several


def _claim(engine: Engine) -> Verb:
    engine.enqueue([new_job(args=BIG), new_job(priority=3), new_job(run_at=NOW + 5)], now=NOW)
    return lambda engine: claim_some(engine, now=NOW + 10)


def _claimed(report: Callable[[Engine, Claim], object]) -> Callable[[Engine], Verb]:
    def prepare(engine: Engine) -> Verb:
        enqueue_one(engine, new_job(args=BIG))
        claim = claim_one(engine)
        return lambda engine: report(engine, claim)

    return prepare


def _complete_many(engine: Engine) -> Verb:
    engine.enqueue([new_job(args=BIG)] * 5, now=NOW)
    done = [
        Completion(claim=claim, report=told(Outcome.COMPLETED), result=b"[1]") for claim in claim_some(engine, limit=5)
    ]
    return lambda engine: engine.complete_many(done, now=NOW)


def _abort(engine: Engine) -> Verb:
    job_id = enqueue_one(engine)
    claim = claim_one(engine)
    engine.cancel([job_id], reason="unwanted", now=NOW)
    return lambda engine: abort(engine, claim)


def _cancel(engine: Engine) -> Verb:
    running = enqueue_one(engine)
    claim_one(engine)
    resting = enqueue_one(engine)
    return lambda engine: engine.cancel([running, resting], reason="unwanted", now=NOW)


def _finished(engine: Engine, number: int) -> list[int]:
    job_ids = [enqueue_one(engine, new_job(args=BIG, tags=("old",))) for _ in range(number)]
    for claim in claim_some(engine, limit=number):
        complete(engine, claim)
    return job_ids


def _requeue(engine: Engine) -> Verb:
    job_ids = _finished(engine, 3)
    return lambda engine: engine.requeue(job_ids, now=NOW)


def _reschedule(engine: Engine) -> Verb:
    job_ids = [enqueue_one(engine) for _ in range(3)]
    return lambda engine: engine.reschedule(job_ids, Change(run_at=LATER, priority=2), now=NOW)


def _delete(engine: Engine) -> Verb:
    job_ids = _finished(engine, 3)
    return lambda engine: engine.delete(job_ids, now=NOW)


def _prune(engine: Engine) -> Verb:
    _finished(engine, 3)
    return lambda engine: engine.prune(finished_before=LATER, limit=10)


def _prune_metrics(engine: Engine) -> Verb:
    _finished(engine, 1)
    return lambda engine: engine.prune_metrics(before_minute=LATER)


def _pause(engine: Engine) -> Verb:
    return lambda engine: engine.pause_queue("default", reason="rest", now=NOW)


def _resume(engine: Engine) -> Verb:
    engine.pause_queue("default", reason="rest", now=NOW)
    return lambda engine: engine.resume_queue("default")


def _register(engine: Engine) -> Verb:
    return lambda engine: register(engine).worker_id


def _retire(engine: Engine) -> Verb:
    slate = register(engine)
    return lambda engine: engine.retire_worker(slate)


def _expire(engine: Engine) -> Verb:
    slate = register(engine)
    engine.enqueue([new_job(args=BIG, max_crashes=2)] * 3, now=NOW)
    first, *_ = claim_some(engine, worker_id=slate.worker_id)
    slate.start(0, first.job_id, first.attempt, NOW)
    die(slate)
    return lambda engine: engine.expire(now=NOW)


def _tend(engine: Engine) -> Verb:
    job_ids = [enqueue_one(engine, new_job(args=BIG * 30)) for _ in range(4)]
    engine.delete(job_ids[1:], now=NOW)

    def write_and_tend(engine: Engine) -> None:
        # Who tends a file from time to time is left the log by those who write.
        engine.tend()
        enqueue_one(engine, new_job(unique=Unique(key="before the upkeep")))
        engine.tend()

    return write_and_tend


def _settle(engine: Engine) -> Verb:
    _finished(engine, 3)
    return lambda engine: engine.settle()


def _questions(engine: Engine) -> Verb:
    job_ids = _finished(engine, 2)
    enqueue_one(engine, new_job(run_at=LATER, tags=("late",)))

    def ask(engine: Engine) -> object:
        wanted = JobFilter(states=(State.SCHEDULED, State.COMPLETED))
        facts = engine.lane_counts(), engine.queues(), engine.metrics(since_minute=0), engine.next_due(now=NOW)
        jobs = [(engine.get_job(job_id), engine.attempts(job_id), engine.tags(job_id)) for job_id in job_ids]
        return (
            facts,
            jobs,
            engine.list_jobs(wanted, limit=9),
            engine.count_jobs(JobFilter(tag="late")),
            engine.workers(),
        )

    return ask


def _limit(engine: Engine) -> Verb:
    return lambda engine: engine.put_limit("queue", "default", Limit(max_running=2))


def _unlimit(engine: Engine) -> Verb:
    engine.put_limit("queue", "default", Limit(max_running=2))
    return lambda engine: engine.remove_limit("queue", "default")


def _declare_limits(engine: Engine) -> Verb:
    engine.declare_limits({"old": Limit(max_running=1)})
    return lambda engine: engine.declare_limits({"old": NO_LIMIT, "task": Limit(rate=Rate.parse("5/s"))})


def _turns(engine: Engine) -> Verb:
    """End a job of a key, so that the next is let in."""
    job = new_job(key="key", key_rate="10/s")
    engine.enqueue([job] * 3, now=NOW)
    (claim,) = claim_some(engine)
    return lambda engine: complete(engine, claim, now=LATER)


def _watch(engine: Engine) -> Verb:
    def watch(engine: Engine) -> None:
        watch = engine.watch()
        try:
            watch.wait(0)
        finally:
            watch.close()

    return watch


def _work_left(engine: Engine) -> Verb:
    enqueue_one(engine)
    return lambda engine: engine.work_left(worker_id=1, queues=None, tasks=("task",), until=LATER, now=NOW)


def _facts(engine: Engine) -> Verb:
    _finished(engine, 1)
    return lambda engine: (engine.file_facts().last_job_id, engine.check(full=False))


SCENES: dict[str, Scene] = {
    "enqueue": Scene(_enqueue),
    "transaction": Scene(_transaction),
    "claim": Scene(_claim, synced=False),
    "complete": Scene(_claimed(complete)),
    "complete_many": Scene(_complete_many),
    "retry": Scene(_claimed(retry)),
    "dead_letter": Scene(_claimed(bury)),
    "snooze": Scene(_claimed(snooze)),
    "release": Scene(_claimed(lambda engine, claim: engine.release([claim], reason="shutdown", now=NOW)), synced=False),
    "note": Scene(
        _claimed(lambda engine, claim: engine.note([remark(claim, BIG, BIG, done=1)], now=NOW)), synced=False
    ),
    "save_checkpoint": Scene(_claimed(lambda engine, claim: engine.save_checkpoint(claim, value=BIG, now=NOW))),
    "finish_step": Scene(_claimed(lambda engine, claim: engine.finish_step(claim, name="a", result=BIG, now=NOW))),
    "abort": Scene(_abort),
    "cancel": Scene(_cancel),
    "requeue": Scene(_requeue),
    "reschedule": Scene(_reschedule),
    "delete": Scene(_delete),
    "pause_queue": Scene(_pause),
    "resume_queue": Scene(_resume),
    "put_limit": Scene(_limit),
    "remove_limit": Scene(_unlimit),
    "declare_limits": Scene(_declare_limits),
    "turns": Scene(_turns),
    "register_worker": Scene(_register),
    "retire_worker": Scene(_retire, synced=False),
    "expire": Scene(_expire),
    "prune": Scene(_prune, synced=False),
    "prune_metrics": Scene(_prune_metrics, synced=False),
    "tend": Scene(_tend, synced=False),
    "settle": Scene(_settle, synced=False),
    "questions": Scene(_questions, synced=False),
    "work_left": Scene(_work_left, synced=False),
    "watch": Scene(_watch, synced=False),
    "facts_and_check": Scene(_facts, synced=False),
}
