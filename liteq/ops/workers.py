"""The workers as an operator sees them: what each is at, and how it is."""

import msgspec

from liteq.model.fleet import WorkerRecord
from liteq.store.engine import Engine
from liteq.worker.machine import resident_bytes


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """One worker. ``state`` is idle, working, stopping, hung or gone; ``rss`` in bytes, None where its pid means
    nothing; ``silent_ms`` since its last beat; ``jobs`` are those it runs now, ``done`` the attempts it has ended.
    """

    id: int
    name: str
    pid: int
    state: str
    started_at: int
    jobs: tuple[int, ...]
    rss: int | None
    silent_ms: int | None
    done: int
    slots: int
    queues: tuple[str, ...] | None
    supervisor_pid: int | None


def worker_views(engine: Engine, *, monotonic: int) -> list[WorkerView]:
    """Give the workers in the order in which they came."""
    return [_view(record, monotonic) for record in engine.workers()]


def _view(record: WorkerRecord, monotonic: int) -> WorkerView:
    return WorkerView(
        id=record.id,
        name=record.name,
        pid=record.pid,
        state=_state(record, monotonic),
        started_at=record.started_at,
        jobs=tuple(job.job_id for job in record.started),
        rss=resident_bytes(record.pid) if record.alive and record.here else None,
        silent_ms=record.silent_for(monotonic) if record.here else None,
        done=record.done,
        slots=record.slots,
        queues=record.queues,
        supervisor_pid=record.supervisor_pid,
    )


def _state(record: WorkerRecord, monotonic: int) -> str:
    if not record.alive:
        return "gone"
    if record.is_hung(monotonic):
        return "hung"
    if record.stopping:
        return "stopping"
    return "working" if record.started else "idle"
