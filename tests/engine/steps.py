"""Small steps that tests of any engine are made of. Nothing here knows which engine it talks to."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from liteq.model.fleet import WorkerCard
from liteq.model.guard import GuardRecord
from liteq.model.job import Attempt, Change, Claim, JobFilter, JobRecord, NewJob, Report, Unique
from liteq.model.keeping import NewPart, PartRecord, ProgressNote, ProgressRecord, Remark, StepRecord, StreamRecord
from liteq.model.template import Template
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Engine, Slate

NOW = 1_800_000_000_000
NOBODY = 7_777
"""A worker id that never registered: claims do not ask."""


def new_job(
    *,
    task: str = "task",
    queue: str = "default",
    args: bytes = b"[]",
    run_at: int = NOW,
    priority: int = 0,
    max_failures: int = 5,
    max_crashes: int = 3,
    unique: Unique | None = None,
    tags: tuple[str, ...] = (),
    key: str | None = None,
    key_max: int = 1,
    key_rate: str | None = None,
    parents: tuple[int, ...] = (),
    metadata: bytes | None = None,
) -> NewJob:
    return NewJob(
        task=task,
        queue=queue,
        args=args,
        args_crc=len(args),
        run_at=run_at,
        priority=priority,
        max_failures=max_failures,
        max_crashes=max_crashes,
        unique=unique,
        tags=tags,
        concurrency_key=key,
        key_max_running=key_max,
        key_rate=key_rate,
        parents=parents,
        metadata=metadata,
    )


def template(task: str, **changes: object) -> bytes:
    """Give what a job of the task is made of later."""
    return Template(job=replace(new_job(task=task), **changes)).encode()


def enqueue_one(engine: Engine, job: NewJob | None = None, *, now: int = NOW) -> int:
    (answer,) = engine.enqueue([job or new_job()], now=now)
    return answer.job_id


def enqueue_some(engine: Engine, jobs: int, **options: object) -> list[int]:
    """Enqueue so many jobs of one key, k unless told."""
    job = new_job(**({"key": "k"} | options))  # type: ignore[arg-type]
    return [answer.job_id for answer in engine.enqueue([job] * jobs, now=NOW)]


def claim_some(
    engine: Engine,
    *,
    worker_id: int = NOBODY,
    queues: tuple[str, ...] | None = None,
    tasks: tuple[str, ...] = ("task",),
    limit: int = 10,
    now: int = NOW,
) -> list[Claim]:
    return engine.claim(worker_id=worker_id, queues=queues, tasks=tasks, limit=limit, now=now)


def claim_one(engine: Engine, *, worker_id: int = NOBODY, now: int = NOW) -> Claim:
    (claim,) = claim_some(engine, worker_id=worker_id, limit=1, now=now)
    return claim


def register(engine: Engine, name: str = "worker", *, slots: int = 4) -> Slate:
    card = WorkerCard(name=name, tasks=("task",), queues=None, slots=slots)
    return engine.register_worker(card, now=NOW)


def die(slate: Slate) -> None:
    """End a worker as ``kill -9`` does: the kernel drops its lock, its slate stays."""
    slate.release(remove=False)


def told(outcome: Outcome, *, at: int = NOW, took: int = 0) -> Report:
    return Report(outcome=outcome, started_at=at, finished_at=at + took)


def complete(engine: Engine, claim: Claim, *, now: int = NOW) -> None:
    engine.complete(claim, result=b"null", report=told(Outcome.COMPLETED, at=now), now=now)


def retry(engine: Engine, claim: Claim, *, run_at: int = NOW, now: int = NOW) -> None:
    engine.retry(claim, run_at=run_at, report=told(Outcome.FAILED, at=now), now=now)


def bury(engine: Engine, claim: Claim, *, now: int = NOW) -> None:
    engine.dead_letter(claim, reason="gave up", report=told(Outcome.FAILED, at=now), now=now)


def fail(engine: Engine, times: int, *, now: int = NOW) -> None:
    """Have so many new jobs fail for good."""
    for _ in range(times):
        enqueue_one(engine, new_job(run_at=now), now=now)
        bury(engine, claim_one(engine, now=now), now=now)


def snooze(engine: Engine, claim: Claim, *, run_at: int = NOW, now: int = NOW) -> None:
    engine.snooze(claim, run_at=run_at, report=told(Outcome.SNOOZED, at=now), now=now)


def abort(engine: Engine, claim: Claim, *, now: int = NOW) -> None:
    engine.abort(claim, report=told(Outcome.ABORTED, at=now), now=now)


def move(engine: Engine, job_id: int, *, run_at: int, now: int = NOW) -> list[int]:
    return engine.reschedule([job_id], Change(run_at=run_at), now=now)


def record(engine: Engine, job_id: int) -> JobRecord:
    found = engine.get_job(job_id)
    assert found is not None
    return found


def state_of(engine: Engine, job_id: int) -> State | None:
    found = engine.get_job(job_id)
    return None if found is None else found.state


def states(engine: Engine, ids: list[int]) -> list[str]:
    return [record(engine, job_id).state.word for job_id in ids]


def guard(engine: Engine, task: str = "task") -> GuardRecord:
    return next(one for one in engine.guards() if one.task == task)


def callbacks(engine: Engine) -> list[str]:
    """Give the tasks of the jobs that were made by themselves."""
    return sorted(job.task for job in engine.list_jobs(JobFilter(), limit=100) if job.task != "task")


def remark(claim: Claim, *parts: bytes, done: float | None = None, at: int = NOW) -> Remark:
    progress = None if done is None else ProgressNote(done)
    return Remark(claim=claim, progress=progress, parts=tuple(NewPart(part, at) for part in parts))


class Kept(msgspec.Struct, frozen=True):
    """What a job has said about itself, and kept for its next attempt."""

    progress: ProgressRecord | None
    checkpoint: bytes | None
    steps: list[StepRecord]
    stream: StreamRecord | None
    parts: list[PartRecord]


NOTHING_KEPT = Kept(None, None, [], None, [])


def kept(engine: Engine, job_id: int) -> Kept:
    return Kept(
        engine.progress([job_id]).get(job_id),
        engine.checkpoint(job_id),
        engine.steps(job_id),
        engine.stream(job_id),
        engine.parts(job_id, after=0, limit=100_000),
    )


Picture = tuple[JobRecord | None, list[Attempt], tuple[str, ...], Kept]


def picture(engine: Engine, job_id: int) -> Picture:
    """Give everything that is kept about one job, to compare before and after."""
    return engine.get_job(job_id), engine.attempts(job_id), engine.tags(job_id), kept(engine, job_id)


def _bury(engine: Engine) -> None:
    bury(engine, claim_one(engine))


def cancel_while_it_runs(engine: Engine) -> None:
    claim = claim_one(engine)
    engine.cancel([claim.job_id], reason="unwanted", now=NOW)
    abort(engine, claim)


def cancel_between_attempts(engine: Engine) -> None:
    claim = claim_one(engine)
    engine.cancel([claim.job_id], reason="unwanted", now=NOW)
    retry(engine, claim)


def crash_to_death(engine: Engine) -> None:
    while state_of(engine, 1) is not State.DEAD:
        slate = register(engine)
        claim = claim_one(engine, worker_id=slate.worker_id, now=NOW + 10**9)
        slate.start(0, claim.job_id, claim.attempt, NOW)
        die(slate)
        engine.expire(now=NOW)


ENDS: dict[str, tuple[Callable[[Engine], object], str]] = {
    "dead": (_bury, "dead"),
    "crashed to death": (crash_to_death, "dead"),
    "aborted": (cancel_while_it_runs, "cancelled"),
    "cancelled between attempts": (cancel_between_attempts, "cancelled"),
    "cancelled at rest": (lambda engine: engine.cancel([1], reason="unwanted", now=NOW), "cancelled"),
    "deleted": (lambda engine: engine.delete([1], now=NOW), "cancelled"),
}
"""Ways in which job 1 ends without completing, and the state that it ends in."""
