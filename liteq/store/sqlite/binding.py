"""Values as statements want them: a list is one JSON parameter, a row is a dict of named bindings.

Where a statement runs once for each of many rows, a row is a tuple in the order in which the statement names its
bindings: looking up each name costs as much as the insert itself.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from liteq.model.job import SCOPE_CODES, Completion, NewJob

CHILDREN, IN_BATCH, ON_DEAD, KEYED, UNIQUE = 1, 2, 4, 8, 16
"""The bits of a job's column ``aftermath``: what follows from its end. Most jobs have none, and cost nothing."""

ENQUEUE = (
    "run_at",
    "now",
    "priority",
    "max_failures",
    "max_crashes",
    "timeout_ms",
    "unique_scope",
    "held_until",
    "schedule_id",
    "fire_at",
    "args_crc",
    "queue",
    "task",
    "unique_key",
    "backoff",
    "metadata",
    "args",
    "aftermath",
    "batch_id",
    "on_dead",
)
"""What the statement ``enqueue`` is given, in its order."""

COMPLETE_PLAIN = ("result", "started_at", "finished_at", "job_id", "attempt", "worker_id")
"""What the statement ``complete_plain`` is given, in its order."""


def enqueue_row(job: NewJob, now: int) -> tuple[Any, ...]:
    """Give the columns of a job that is to be inserted, in the order of ``ENQUEUE``."""
    aftermath = 0 if job.batch_id is None else IN_BATCH
    if job.on_dead is not None:
        aftermath |= ON_DEAD
    scope, held_until, key = None, None, None
    if job.unique is not None:
        aftermath |= UNIQUE
        scope, held_until, key = SCOPE_CODES[job.unique.scope], job.unique.held_until, job.unique.key
    return (
        job.run_at,
        now,
        job.priority,
        job.max_failures,
        job.max_crashes,
        job.timeout_ms,
        scope,
        held_until,
        job.schedule_id,
        job.fire_at,
        job.args_crc,
        job.queue,
        job.task,
        key,
        job.backoff,
        job.metadata,
        job.args,
        aftermath,
        job.batch_id,
        job.on_dead,
    )


def job_bindings(job: NewJob, now: int) -> dict[str, Any]:
    """Give the columns of a job that is to be inserted, by name."""
    return dict(zip(ENQUEUE, enqueue_row(job, now), strict=True))


def complete_plain_row(one: Completion) -> tuple[Any, ...]:
    """Give the outcome of a completed claim, in the order of ``COMPLETE_PLAIN``."""
    claim, report = one.claim, one.report
    return (one.result, report.started_at, report.finished_at, claim.job_id, claim.attempt, claim.worker_id)


def key_bindings(job: NewJob) -> dict[str, Any]:
    """Give the columns of a job's concurrency key, empty without one."""
    keyed = job.concurrency_key is not None
    return {
        "concurrency_key": job.concurrency_key,
        "key_max_running": job.key_max_running if keyed else None,
        "key_rate": job.key_rate if keyed else None,
        "aftermath": KEYED if keyed else 0,
    }


def id_list(job_ids: Iterable[int]) -> str:
    """Give ids as the one parameter that a statement reads with json_each."""
    return msgspec.json.encode(list(job_ids)).decode()


def name_list(names: Iterable[str]) -> str:
    """Give names as the one parameter that a statement reads with json_each."""
    return msgspec.json.encode(list(names)).decode()
