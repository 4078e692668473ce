"""Waits for workers and their jobs, and tells how long jobs took together: by their own records, no start in it."""

import time

from liteq import Liteq, State

PATIENCE_S = 120.0
LOOK_EVERY_S = 0.02
PAGE = 200


def wait_for_workers(app: Liteq, workers: int) -> None:
    """Return when so many workers are alive. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE_S
    while sum(worker.alive for worker in app.engine.workers()) < workers:
        if time.monotonic() > end:
            raise TimeoutError(f"no {workers} workers after {PATIENCE_S:g} s")
        time.sleep(LOOK_EVERY_S)


def wait_until_left(app: Liteq, jobs: int) -> None:
    """Return when no more than so many jobs wait or run. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE_S
    while app.count_jobs(state=["ready", "running"]) > jobs:
        if time.monotonic() > end:
            raise TimeoutError(f"more than {jobs} jobs are left after {PATIENCE_S:g} s")
        time.sleep(LOOK_EVERY_S)


def span_s(app: Liteq, first_id: int) -> float:
    """Give the seconds from the first start to the last end among the completed jobs from this id on."""
    begun: list[int] = []
    ended: list[int] = []
    before: int | None = None
    while jobs := [one for one in app.list_jobs(limit=PAGE, before_id=before) if one.id >= first_id]:
        before = jobs[-1].id
        for job in jobs:
            assert job.record.state is State.COMPLETED
            begun.append(job.record.started_at or 0)
            ended.append(job.record.finished_at or 0)
    return (max(ended) - min(begun)) / 1000
