"""Jobs go out: the heads of the lanes that a worker may take, merged, and taken in one write.

A lane is a (queue, task). Everything that excludes jobs from a claim excludes whole lanes, so jobs that nobody can take
cost a claim nothing, however many they are.
"""

from collections.abc import Sequence
from heapq import merge
from itertools import islice

from liteq.model.job import Claim
from liteq.store.sqlite.aftermath import work_off
from liteq.store.sqlite.binding import id_list, name_list
from liteq.store.sqlite.file import JobFile

Head = tuple[int, int, int]
"""Minus priority, ``run_at``, id: sorts as jobs are claimed."""


class Claiming:
    """The verb by which workers take jobs."""

    file: JobFile

    def claim(
        self, *, worker_id: int, queues: Sequence[str] | None, tasks: Sequence[str], limit: int, now: int
    ) -> list[Claim]:
        wanted = (None if queues is None else frozenset(queues), frozenset(tasks))
        heads = self._heads(*wanted, limit)
        telling = bool(self.file.read("fanout"))
        if not heads and not telling and not self._due(now):
            return []
        with self.file.writer.transaction(durable=False):
            connection = self.file.writer.connection
            if telling:
                work_off(connection, now=now)
            promoted = connection.rows("promote", {"now": now})
            if promoted or telling:
                heads = self._heads(*wanted, limit)
            claims = self._take(heads, worker_id, queues, now)
            if len(claims) < len(heads):
                # Rivals took some between our look and the lock; nobody can now.
                heads = self._heads(*wanted, limit - len(claims))
                claims += self._take(heads, worker_id, queues, now)
        claims.sort(key=_claim_order)
        return claims

    def next_due(self) -> int | None:
        found = self.file.read("next_due")
        return found[0][0] if found else None

    def work_left(self, *, worker_id: int, queues: Sequence[str] | None, tasks: Sequence[str], until: int) -> bool:
        wanted = (None if queues is None else frozenset(queues), frozenset(tasks))
        # One snapshot: between two looks a job could pass from the one to the other and be seen in neither.
        with self.file.writer.transaction(durable=False):
            if self.file.read("running_of", {"worker_id": worker_id, "limit": 1}):
                return True
            if self.file.read("fanout"):
                return True
            begun = self.file.read("begun_lanes", {"until": until})
            if any(task in wanted[1] and (wanted[0] is None or queue in wanted[0]) for queue, task in begun):
                return True
            return bool(self._heads(*wanted, 1))

    def _due(self, now: int) -> bool:
        due = self.next_due()
        return due is not None and due <= now

    def _heads(self, queues: frozenset[str] | None, tasks: frozenset[str], limit: int) -> list[Head]:
        paused = self._paused()
        lanes = [
            self._lane(queue, task, limit)
            for queue, task in self.file.read("ready_lanes")
            if task in tasks and queue not in paused and (queues is None or queue in queues)
        ]
        if len(lanes) == 1:
            return lanes[0]
        return list(islice(merge(*lanes), limit))

    def _paused(self) -> set[str]:
        return {row[0] for row in self.file.read("paused_queues")}

    def _lane(self, queue: str, task: str, limit: int) -> list[Head]:
        rows = self.file.read("lane_heads", {"queue": queue, "task": task, "limit": limit})
        return [(-priority, run_at, job_id) for priority, run_at, job_id in rows]

    def _take(self, heads: Sequence[Head], worker_id: int, queues: Sequence[str] | None, now: int) -> list[Claim]:
        if not heads:
            return []
        values = {
            "job_ids": id_list([head[2] for head in heads]),
            "queues": None if queues is None else name_list(queues),
            # Read under the lock: a queue that was paused before it gives no job any more.
            "paused": name_list(paused) if (paused := self._paused()) else None,
            "worker_id": worker_id,
            "now": now,
        }
        return [Claim(*row) for row in self.file.writer.connection.rows("claim", values)]


def _claim_order(claim: Claim) -> Head:
    return (-claim.priority, claim.run_at, claim.job_id)
