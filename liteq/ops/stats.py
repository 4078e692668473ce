"""Sizes, ages and rates of a whole file, in one struct."""

from typing import Any

import msgspec

from liteq.model.fleet import FileFacts, LaneCount, MetricRow, QueueRecord, WorkerRecord
from liteq.model.limits import NO_LIMIT, LimitRecord
from liteq.model.transitions import LIVE, State
from liteq.ops.guards import GuardStats, guard_stats
from liteq.store.engine import Engine

RATE_MINUTES = 60


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """One queue. ``oldest_ready_ms`` is how long its longest waiting ready job could have run already.

    ``max_pending`` bounds the scheduled, waiting, blocked and ready together, None does not.
    """

    name: str
    paused: bool
    max_pending: int | None = None
    scheduled: int = 0
    waiting: int = 0
    blocked: int = 0
    ready: int = 0
    running: int = 0
    dead: int = 0
    completed_last_hour: int = 0
    failed_last_hour: int = 0
    oldest_ready_ms: int | None = None
    by_priority: dict[int, int] = {}
    max_running: int | None = None
    rate: str | None = None
    """The limits of the queue: how many of its jobs may run at once, and start in a time."""

    @property
    def pending(self) -> int:
        """How many jobs wait, whatever for."""
        return self.scheduled + self.waiting + self.blocked + self.ready

    @property
    def full(self) -> bool:
        """Whether enqueueing is refused."""
        return self.max_pending is not None and self.pending >= self.max_pending


class LimitStats(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of a queue or task as it holds; ``given`` tells whether an operator has set any of it."""

    of: str
    name: str
    max_running: int | None
    rate: str | None
    running: int
    given: bool


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file at one moment. Rates are per minute over the last hour; durations are in milliseconds."""

    at: int
    queues: list[QueueStats]
    live: int
    dead: int
    completed_per_minute: float
    failed_per_minute: float
    mean_run_ms: float | None
    mean_wait_ms: float | None
    workers: list[WorkerRecord]
    guards: list[GuardStats]
    """The breakers and retry budgets of tasks that have any."""
    orphaned_tasks: list[str]
    """Tasks with ready jobs that no living worker can run."""
    limits: list[LimitStats]
    file: FileFacts


def collect_stats(engine: Engine, *, now: int) -> Stats:
    """Give the sizes, ages and rates of a file."""
    lanes = engine.lane_counts()
    metrics = engine.metrics(since_minute=now // 60_000 - RATE_MINUTES + 1)
    workers = engine.workers()
    completed = sum(row.completed for row in metrics)
    limits = [_limit(one) for one in engine.limits()]
    return Stats(
        at=now,
        queues=_queues(lanes, metrics, engine.queues(), limits, now),
        limits=limits,
        live=sum(lane.jobs for lane in lanes if lane.state in LIVE),
        dead=sum(lane.jobs for lane in lanes if lane.state is State.DEAD),
        completed_per_minute=completed / RATE_MINUTES,
        failed_per_minute=sum(row.failed for row in metrics) / RATE_MINUTES,
        mean_run_ms=sum(row.run_ms for row in metrics) / completed if completed else None,
        mean_wait_ms=sum(row.wait_ms for row in metrics) / completed if completed else None,
        workers=workers,
        guards=guard_stats(engine, now=now),
        orphaned_tasks=_orphans(lanes, workers),
        file=engine.file_facts(),
    )


def _queues(
    lanes: list[LaneCount], metrics: list[MetricRow], settings: list[QueueRecord], limits: list[LimitStats], now: int
) -> list[QueueStats]:
    known = {record.name: record for record in settings}
    limited = {limit.name: limit for limit in limits if limit.of == "queue"}
    names = known.keys() | limited.keys() | {lane.queue for lane in lanes} | {row.queue for row in metrics}
    found = [_queue(name, lanes, metrics, known.get(name), now=now) for name in sorted(names)]
    return [_with_limit(queue, limited.get(queue.name)) for queue in found]


def _with_limit(queue: QueueStats, limit: LimitStats | None) -> QueueStats:
    if limit is None:
        return queue
    return msgspec.structs.replace(queue, max_running=limit.max_running, rate=limit.rate)


def _limit(one: LimitRecord) -> LimitStats:
    limit = one.in_force
    return LimitStats(
        of=one.of,
        name=one.name,
        max_running=limit.max_running,
        rate=None if limit.rate is None else str(limit.rate),
        running=one.running,
        given=one.given != NO_LIMIT,
    )


def _queue(
    name: str, lanes: list[LaneCount], metrics: list[MetricRow], settings: QueueRecord | None, *, now: int
) -> QueueStats:
    mine = [lane for lane in lanes if lane.queue == name]
    ready = [lane for lane in mine if lane.state is State.READY]
    priorities: dict[int, int] = {}
    for lane in ready:
        priorities[lane.priority] = priorities.get(lane.priority, 0) + lane.jobs
    counts: dict[str, Any] = {
        state.word: sum(lane.jobs for lane in mine if lane.state is state) for state in (*LIVE, State.DEAD)
    }
    hour = [row for row in metrics if row.queue == name]
    return QueueStats(
        name=name,
        paused=settings is not None and settings.paused_at is not None,
        max_pending=None if settings is None else settings.max_pending,
        **counts,
        completed_last_hour=sum(row.completed for row in hour),
        failed_last_hour=sum(row.failed for row in hour),
        oldest_ready_ms=max((max(0, now - lane.oldest_at) for lane in ready), default=None),
        by_priority=dict(sorted(priorities.items(), reverse=True)),
    )


def _orphans(lanes: list[LaneCount], workers: list[WorkerRecord]) -> list[str]:
    known = {task for worker in workers if worker.alive for task in worker.tasks}
    if not any(worker.alive for worker in workers):
        return []
    return sorted({lane.task for lane in lanes if lane.state is State.READY} - known)
