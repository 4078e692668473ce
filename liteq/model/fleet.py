"""The values about queues, workers and totals that cross the engine's wall."""

import msgspec

from liteq.model.transitions import State


class WorkerCard(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker introduces itself: what it is called and what it can run. None for ``queues`` means all."""

    name: str
    tasks: tuple[str, ...]
    queues: tuple[str, ...] | None
    slots: int


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that has registered and neither retired nor been proved dead."""

    id: int
    name: str
    pid: int
    started_at: int
    tasks: tuple[str, ...]
    queues: tuple[str, ...] | None
    slots: int
    running: int
    alive: bool
    beat: int | None
    """CLOCK_MONOTONIC milliseconds of its last beat on this boot, None when its slate cannot be read."""


class QueueRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A queue's settings; queues without a row have none."""

    name: str
    paused_at: int | None
    paused_reason: str | None


class LaneCount(msgspec.Struct, frozen=True):
    """How many jobs of one queue and task stand in one state, at what priority, and since when the oldest waits.

    ``oldest_at`` is the earliest ``run_at``, and for running jobs the earliest ``claimed_at``.
    """

    queue: str
    task: str
    state: State
    priority: int
    jobs: int
    oldest_at: int


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one queue and task in one minute (``minute`` counts minutes since 1970)."""

    minute: int
    queue: str
    task: str
    completed: int
    failed: int
    dead: int
    crashed: int
    cancelled: int
    run_ms: int
    wait_ms: int


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The file itself: bytes on disk, its write-ahead log, the reserve, and what it was made with."""

    path: str
    bytes: int
    wal_bytes: int
    free_bytes: int
    schema: int
    sqlite: str
    last_job_id: int
