"""Room in a full queue: whoever enqueues may wait for it, outside every lock."""

from collections.abc import Sequence

from liteq.clock import Clock
from liteq.errors import QueueFull
from liteq.model.job import Enqueued, NewJob
from liteq.store.engine import Engine

LONGEST_LOOK_AWAY_MS = 1_000


def enqueue_into_room(
    engine: Engine, clock: Clock, jobs: Sequence[NewJob], *, now: int, wait_ms: int
) -> list[Enqueued]:
    """Store the jobs, all or none, once their queues have room; give the answers in order.

    Raises QueueFull where there is none after ``wait_ms``, at once for more jobs than a queue may ever hold and inside
    a transaction, which would keep everybody out who could make room.
    """
    try:
        return engine.enqueue(jobs, now=now)
    except QueueFull as full:
        if not wait_ms or full.wanted > full.max_pending or engine.busy_here():
            raise
        return _wait(engine, clock, jobs, full, now=now, wait_ms=wait_ms)


def _wait(
    engine: Engine, clock: Clock, jobs: Sequence[NewJob], full: QueueFull, *, now: int, wait_ms: int
) -> list[Enqueued]:
    begun = clock.monotonic_ms()
    watch = engine.watch()
    try:
        while True:
            waited = clock.monotonic_ms() - begun
            if waited >= wait_ms:
                raise full
            # Asked without a lock first: many who wait would else queue at the lock for nothing.
            if _has_room(engine, full):
                try:
                    # Its time counts from the call, not from when it found room.
                    return engine.enqueue(jobs, now=now)
                except QueueFull as again:
                    full = again
            watch.wait(min(LONGEST_LOOK_AWAY_MS, wait_ms - waited))
    finally:
        watch.close()


def _has_room(engine: Engine, full: QueueFull) -> bool:
    found = next((queue for queue in engine.queues() if queue.name == full.queue), None)
    if found is None or found.max_pending is None or found.pending is None:
        return True
    return found.pending + full.wanted <= found.max_pending
