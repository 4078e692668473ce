"""How many jobs wait in each limited queue: counted in the transaction in which they come and leave.

A queue without ``max_pending`` has no count, and its jobs cost one look for the row that is not there, and none while
nobody else has written since. With one, the
count is what the job table says at every commit; to count the rows anew would take longer the fuller the queue is.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from liteq.errors import QueueFull
from liteq.model.job import NewJob
from liteq.model.transitions import AT_REST, State
from liteq.store.sqlite.connection import Connection
from liteq.store.sqlite.writer import Writer

_queue_of = attrgetter("queue")


class Unbounded:
    """The queues that were found without a limit, for as long as nobody can have set one."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._epoch = -1
        self._queues: set[str] = set()

    def __contains__(self, queue: str) -> bool:
        return self._epoch == self._writer.epoch and queue in self._queues

    def add(self, queue: str) -> None:
        if self._epoch != self._writer.epoch:
            self._epoch = self._writer.epoch
            self._queues.clear()
        self._queues.add(queue)


def admit(connection: Connection, jobs: Sequence[NewJob], unbounded: Unbounded) -> None:
    """Count jobs that are about to be stored, or raise QueueFull for the first queue without room, and count none."""
    if len(jobs) == 1 and jobs[0].queue in unbounded:
        # Which most calls come to, and there is nothing to be counted up.
        return
    counted: dict[str, int] = {}
    for queue, wanted in Counter(map(_queue_of, jobs)).items():
        if queue in unbounded:
            continue
        found = connection.rows("count_pending", {"queue": queue, "jobs": wanted})
        if not found:
            unbounded.add(queue)
            continue
        counted[queue] = wanted
        pending, most = found[0]
        if pending > most:
            # Not left to a rollback: the transaction may be a caller's, who goes on with it.
            _count(connection, counted, -1)
            raise QueueFull(queue, pending=pending - wanted, max_pending=most, wanted=wanted)


def came(connection: Connection, queues: Iterable[str]) -> None:
    """Count jobs that wait again, or in another queue, given by their queues. They are never refused."""
    _count(connection, Counter(queues), 1)


def left(connection: Connection, queues: Iterable[str]) -> None:
    """Count jobs that wait no more, given by their queues."""
    _count(connection, Counter(queues), -1)


def counted(connection: Connection, queue: str) -> int:
    """Count the jobs that wait in the queue by their rows."""
    values: dict[str, Any] = {state.word: state in AT_REST for state in State}
    values |= {"queue": queue, "task": None, "since": None, "until": None}
    return int(connection.rows("count_by_state", values)[0][0])


def _count(connection: Connection, jobs: Mapping[str, int], sign: int) -> None:
    if jobs:
        connection.many("count_pending", [{"queue": queue, "jobs": sign * many} for queue, many in jobs.items()])
