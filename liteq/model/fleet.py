"""The values about queues, workers and totals that cross the engine's wall."""

import msgspec

from liteq.model.transitions import Outcome, State


class WorkerCard(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker introduces itself: what it is called and what it can run. None for ``queues`` means all.

    ``lease_ms``: without a beat for so long it counts as hung. ``supervisor_pid`` is the process that judges it then,
    by killing it; without one, others take its jobs while it may still live. ``hears_stop``: SIGTERM ends it in order,
    and not a program of somebody's that it is a part of.
    """

    name: str
    tasks: tuple[str, ...]
    queues: tuple[str, ...] | None
    slots: int
    lease_ms: int | None = None
    supervisor_pid: int | None = None
    hears_stop: bool = False


class StartedJob(msgspec.Struct, frozen=True):
    """A job that a worker has begun; after ``deadline``, in monotonic milliseconds, its process may be ended for it.

    A command has a process ``group``, whose leader began at ``group_start``; -1 while it is being started. 0 for none.
    """

    job_id: int
    attempt: int
    started_at: int
    deadline: int
    group: int = 0
    group_start: int = 0


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker died, told by who saw it. Crashed and hung are charged to what it had started, released is not.

    ``pid`` is the process that was seen to end, lest its death be taken for that of a namesake in another file.
    ``unsure``: should one of its jobs have the verdict that it is past its time, that was the cause.
    """

    cause: str
    outcome: Outcome = Outcome.CRASHED
    exit_code: int | None = None
    pid: int | None = None
    unsure: bool = False

    @property
    def charges(self) -> bool:
        """Whether the jobs that had started may have been what ended it."""
        return self.outcome in {Outcome.CRASHED, Outcome.HUNG}


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
    lease_ms: int | None = None
    supervisor_pid: int | None = None
    here: bool = True
    """Whether its pid means that process here too: same boot, same namespace of pids."""
    done: int = 0
    stopping: bool = False
    hears_stop: bool = False
    started: tuple[StartedJob, ...] = ()

    def silent_for(self, monotonic: int) -> int | None:
        """Give how long ago the last beat was, None when nobody knows."""
        return None if self.beat is None else monotonic - self.beat

    def is_hung(self, monotonic: int) -> bool:
        """Tell whether it lives and has a lease that ran out."""
        silent = self.silent_for(monotonic)
        return self.alive and silent is not None and self.lease_ms is not None and silent > self.lease_ms


class QueueRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A queue's settings; queues without a row have none. ``pending`` counts the waiting jobs of a limited one."""

    name: str
    paused_at: int | None
    paused_reason: str | None
    max_pending: int | None = None
    pending: int | None = None


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
