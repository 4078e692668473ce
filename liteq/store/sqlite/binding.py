"""Values as statements want them: a list is one JSON parameter, a job is a dict of named bindings."""

from collections.abc import Iterable
from typing import Any

import msgspec

from liteq.model.job import SCOPE_CODES, NewJob

CHILDREN, IN_BATCH, ON_DEAD, KEYED = 1, 2, 4, 8
"""The bits of a job's column ``aftermath``: what follows from its end. Most jobs have none, and cost nothing."""


def job_bindings(job: NewJob, now: int) -> dict[str, Any]:
    """Give the columns of a job that is to be inserted."""
    unique = job.unique
    return {
        "now": now,
        "run_at": job.run_at,
        "priority": job.priority,
        "max_failures": job.max_failures,
        "max_crashes": job.max_crashes,
        "timeout_ms": job.timeout_ms,
        "unique_scope": None if unique is None else SCOPE_CODES[unique.scope],
        "held_until": None if unique is None else unique.held_until,
        "schedule_id": job.schedule_id,
        "fire_at": job.fire_at,
        "args_crc": job.args_crc,
        "queue": job.queue,
        "task": job.task,
        "unique_key": None if unique is None else unique.key,
        "backoff": job.backoff,
        "metadata": job.metadata,
        "args": job.args,
        "aftermath": (0 if job.batch_id is None else IN_BATCH) | (0 if job.on_dead is None else ON_DEAD),
        "batch_id": job.batch_id,
        "on_dead": job.on_dead,
    }


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
