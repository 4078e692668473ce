"""When a worker process is replaced by a fresh one: too large, too old, or its code has changed."""

from collections.abc import Sequence

from liteq.worker.child import Child
from liteq.worker.machine import resident_bytes

LOOK_EVERY_MS = 1_000


class Recycling:
    """Names the children whose time has come. For age and new code they go one by one, so that work goes on."""

    def __init__(self, *, max_memory: int | None, max_time_ms: int | None) -> None:
        self._max_memory = max_memory
        self._max_time_ms = max_time_ms
        self._look_at = 0
        self._outdated: list[Child] = []

    def reload(self, children: Sequence[Child]) -> None:
        """Have all the present children replaced: their code is of yesterday."""
        self._outdated = list(children)

    def due(self, children: Sequence[Child], *, now: int) -> list[tuple[Child, str]]:
        """Give those that are to leave now, and why."""
        staying = [child for child in children if child.leaving is None]
        due: list[tuple[Child, str]] = []
        if self._max_memory is not None and now >= self._look_at:
            self._look_at = now + LOOK_EVERY_MS
            due += [(child, why) for child in staying if (why := self._too_large(child, self._max_memory))]
        # A child that has not said hello is still starting: with it and one more away, too few would work.
        if due or len(staying) < len(children) or any(child.hello is None for child in children):
            return due
        self._outdated = [child for child in self._outdated if child in staying]
        if self._outdated:
            return [(self._outdated.pop(0), "its code has changed")]
        old = [
            child for child in staying if self._max_time_ms is not None and now - child.started_at > self._max_time_ms
        ]
        return [(child, f"it has worked for {(now - child.started_at) / 1000:.0f} s") for child in old[:1]]

    def _too_large(self, child: Child, limit: int) -> str | None:
        held = resident_bytes(child.pid)
        if held is None or held <= limit:
            return None
        return f"it holds {held / 2**20:.0f} MiB, more than {limit / 2**20:.0f}"
