"""How many worker processes the backlog is worth, for ``--autoscale``. Nothing is started or stopped here."""

from collections.abc import Sequence

from liteq.model.fleet import LaneCount, WorkerRecord
from liteq.model.transitions import State
from liteq.store.engine import Engine

LOOK_EVERY_MS = 1_000
WAITED_MS = 1_000
"""Once the oldest ready job has waited for so long, and everybody is busy, one more is worth it."""
SPARE_AFTER_MS = 30_000
"""Who has had nothing to do for so long is spared, if nothing else was asked for."""


class Scaling:
    """Watches who is busy. One process more or less at a time, so that it never swings."""

    def __init__(self, *, fewest: int, most: int, spare_after_ms: int = SPARE_AFTER_MS) -> None:
        self.fewest = fewest
        self.most = most
        self._look_at = 0
        self._spare_after_ms = spare_after_ms
        self._idle_since: dict[int, int] = {}
        self._done: dict[int, int] = {}

    def more(self, engine: Engine, workers: Sequence[WorkerRecord], *, now: int, monotonic: int) -> bool:
        """Tell whether one more process is wanted. ``workers`` are all that there are to count on."""
        if monotonic < self._look_at or len(workers) >= self.most:
            return False
        self._look_at = monotonic + LOOK_EVERY_MS
        if not workers or any(len(worker.started) < worker.slots for worker in workers):
            return False
        paused = {queue.name for queue in engine.queues() if queue.paused_at is not None}
        lanes = [lane for lane in engine.lane_counts() if lane.state is State.READY and lane.queue not in paused]
        return any(now - lane.oldest_at > WAITED_MS and _can_run(workers[0], lane) for lane in lanes)

    def spare(self, workers: Sequence[WorkerRecord], *, monotonic: int) -> int | None:
        """Give the id of a worker that is not needed, None when all are."""
        for worker in workers:
            # Short jobs may lie between two looks.
            if worker.started or worker.done != self._done.get(worker.id, worker.done):
                self._idle_since.pop(worker.id, None)
            else:
                self._idle_since.setdefault(worker.id, monotonic)
        self._done = {worker.id: worker.done for worker in workers}
        idle = {worker.id for worker in workers} & set(self._idle_since)
        self._idle_since = {worker_id: self._idle_since[worker_id] for worker_id in idle}
        bored = [worker_id for worker_id in idle if monotonic - self._idle_since[worker_id] > self._spare_after_ms]
        return max(bored) if bored and len(workers) > self.fewest else None


def _can_run(worker: WorkerRecord, lane: LaneCount) -> bool:
    return lane.task in worker.tasks and (worker.queues is None or lane.queue in worker.queues)
