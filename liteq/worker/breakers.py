"""Tells the log when breakers of the worker's own tasks open and close, whoever it was that opened or closed them."""

import logging

from liteq.clock import Clock, to_datetime
from liteq.model.guard import GuardRecord
from liteq.registry import Registry
from liteq.store.engine import Engine

log = logging.getLogger("liteq.worker")


class BreakerLog:
    """What this worker has told of breakers so far. Reads the file only where one of its tasks has one."""

    def __init__(self, engine: Engine, clock: Clock, tasks: Registry) -> None:
        self._engine = engine
        self._clock = clock
        self._tasks = frozenset(one.name for one in tasks if one.guard is not None and one.guard.breaker is not None)
        self._known = self._read()

    def look(self) -> None:
        """Tell what has changed since the last look."""
        found = self._read()
        for task, record in found.items():
            self._tell(self._known.get(task), record)
        self._known = found

    def _read(self) -> dict[str, GuardRecord]:
        if not self._tasks:
            return {}
        return {record.task: record for record in self._engine.guards() if record.task in self._tasks}

    def _tell(self, before: GuardRecord | None, now: GuardRecord) -> None:
        facts = {"task": now.task, "openings": now.openings}
        if now.openings > (0 if before is None else before.openings):
            until = "soon" if now.open_until is None else f"at {to_datetime(now.open_until).isoformat()}"
            again = before is not None and before.opened_at is not None
            why = "opened again: the attempt on trial failed" if again else "opened: too many attempts failed"
            log.warning("the breaker of %s %s; the next is made on trial %s", now.task, why, until, extra=facts)
        if now.opened_at is None and before is not None and (before.opened_at or now.openings > before.openings):
            log.info("the breaker of %s closed", now.task, extra=facts)
