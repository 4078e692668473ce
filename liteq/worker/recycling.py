"""When a worker process is replaced by a fresh one: too large, too old, or its code has changed."""

from collections.abc import Sequence

from liteq.model.fleet import WorkerRecord
from liteq.worker.child import Child
from liteq.worker.machine import resident_bytes

LOOK_EVERY_MS = 1_000
NEW_CODE = "its code has changed"


class Recycling:
    """Names the children whose time has come. For age and new code they go one by one, so that work goes on."""

    def __init__(self, *, max_memory: int | None, max_time_ms: int | None) -> None:
        self._max_memory = max_memory
        self._max_time_ms = max_time_ms
        self._worked: set[int] = set()
        self._look_at = 0
        self._outdated: list[Child] = []

    def reload(self, children: Sequence[Child]) -> None:
        """Have all the present children replaced: their code is of yesterday."""
        self._outdated = list(children)

    def note(self, workers: Sequence[WorkerRecord]) -> None:
        """Take in who has ended a job since it began: who is too large before that would be so again."""
        self._worked = {worker.pid for worker in workers if worker.done}

    def due(self, children: Sequence[Child], *, wanted: int, now: int) -> list[tuple[Child, str]]:
        """Give those that are to leave now, and why. ``wanted`` is how many children there should be."""
        staying = [child for child in children if child.leaving is None]
        due: list[tuple[Child, str]] = []
        if self._max_memory is not None and now >= self._look_at:
            self._look_at = now + LOOK_EVERY_MS
            used = [child for child in staying if child.pid in self._worked]
            due += [(child, why) for child in used if (why := self._too_large(child, self._max_memory))]
        # While one is away or still starting, the others are needed.
        if due or sum(child.hello is not None for child in staying) < wanted:
            return due
        self._outdated = [child for child in self._outdated if child in staying]
        if self._outdated:
            return [(self._outdated.pop(0), NEW_CODE)]
        old = [
            child for child in staying if self._max_time_ms is not None and now - child.started_at > self._max_time_ms
        ]
        return [(child, f"it has worked for {(now - child.started_at) / 1000:.0f} s") for child in old[:1]]

    def _too_large(self, child: Child, limit: int) -> str | None:
        held = resident_bytes(child.pid)
        if held is None or held <= limit:
            return None
        return f"it holds {held / 2**20:.0f} MiB, more than {limit / 2**20:.0f}"
