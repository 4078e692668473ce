"""Room in a full queue: whoever enqueues may wait for it, outside every lock."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from liteq.clock import Clock
from liteq.errors import QueueFull, WaitTimeout
from liteq.store.engine import Engine
from liteq.task import Call
from liteq.waiting import wait_until

T = TypeVar("T")


def when_room(
    full: QueueFull, store: Callable[[], T], *, engine: Engine, clock: Clock, calls: Iterable[Call[Any]]
) -> T:
    """Give what ``store`` gives once it finds room, tried for as long as the most patient of the calls wants to wait.

    ``full`` is what a first try has raised. It is raised again where there is no room by then, at once for more jobs
    than a queue may ever hold and inside a transaction, which would keep everybody out who could make room.
    """
    wait_ms = max((call.options.room_ms for call in calls), default=0)
    if not wait_ms or full.wanted > full.max_pending or engine.in_transaction():
        raise full
    return _wait(store, engine, clock, full, wait_ms)


def _wait(store: Callable[[], T], engine: Engine, clock: Clock, full: QueueFull, wait_ms: int) -> T:
    made: list[T] = []
    last = full

    def stored() -> bool:
        nonlocal last
        # Asked without a lock first: many who wait would else queue at the lock for nothing.
        if not _has_room(engine, last):
            return False
        try:
            made.append(store())
        except QueueFull as again:
            last = again
        return bool(made)

    try:
        wait_until(stored, engine=engine, clock=clock, timeout=wait_ms / 1000, what=lambda: str(last))
    except WaitTimeout:
        raise last from None
    return made[0]


def _has_room(engine: Engine, full: QueueFull) -> bool:
    found = next((queue for queue in engine.queues() if queue.name == full.queue), None)
    if found is None or found.max_pending is None or found.pending is None:
        return True
    return found.pending + full.wanted <= found.max_pending
