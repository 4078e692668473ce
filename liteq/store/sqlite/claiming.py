"""Jobs go out: the heads of the lanes that a worker may take, merged, and taken in one write.

A lane is a (queue, task). Everything that excludes jobs from a claim excludes whole lanes, so jobs that nobody can take
cost a claim nothing, however many they are.
"""

from collections.abc import Sequence
from heapq import merge
from itertools import islice

from liteq.model.job import Claim
from liteq.store.sqlite import pending
from liteq.store.sqlite.aftermath import work_off
from liteq.store.sqlite.binding import UNIQUE, id_list, name_list
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.guarding import begin_trials
from liteq.store.sqlite.lanes import Gates, look
from liteq.store.sqlite.turns import settle_keys, spend_tokens, wake_keys

Head = tuple[int, int, int]
"""Minus priority, ``run_at``, id: sorts as jobs are claimed."""


class Claiming:
    """The verb by which workers take jobs."""

    file: JobFile
    guarded: frozenset[str]
    """The tasks with a breaker or a budget, as of the latest claim: attempts of others are looked at no further."""

    def claim(
        self, *, worker_id: int, queues: Sequence[str] | None, tasks: Sequence[str], limit: int, now: int
    ) -> list[Claim]:
        wanted = (None if queues is None else frozenset(queues), frozenset(tasks))
        gates = look(self.file, now=now)
        heads = self._heads(*wanted, limit, gates)
        telling = bool(self.file.read("fanout"))
        if not heads and not telling and not self._due(now):
            return []
        held = self.file.writer.holds()
        with self.file.writer.transaction(durable=False):
            # Under the lock it decides: a queue that was paused before gives no job any more, nor does a full limit.
            # Where limits stand, the look before has taken their room already.
            gates = gates if held and not gates.limited else look(self.file, now=now)
            self.guarded = frozenset(gates.guarded)
            if self._bring_up(gates, now, telling=telling) or gates.limited:
                heads = self._heads(*wanted, limit, gates)
            claims = self._take(heads, worker_id, queues, gates, now)
            if len(claims) < len(heads):
                # Rivals took some between our look and the lock; nobody can now.
                heads = self._heads(*wanted, limit - len(claims), gates)
                claims += self._take(heads, worker_id, queues, gates, now)
            self._spend(gates, claims, now)
        return sorted(claims, key=_claim_order) if len(claims) > 1 else claims

    def next_due(self, *, now: int) -> int | None:
        due: int | None = self.file.read("next_due", {"now": now})[0][0]
        return due

    def work_left(
        self, *, worker_id: int, queues: Sequence[str] | None, tasks: Sequence[str], until: int, now: int
    ) -> bool:
        queues_wanted, tasks_wanted = (None if queues is None else frozenset(queues), frozenset(tasks))

        def wanted(lane: Sequence[str]) -> bool:
            return lane[1] in tasks_wanted and (queues_wanted is None or lane[0] in queues_wanted)

        # One snapshot: between two looks a job could pass from the one to the other and be seen in neither.
        with self.file.writer.transaction(durable=False):
            if self.file.read("running_of", {"worker_id": worker_id, "limit": 1}):
                return True
            if self.file.read("fanout"):
                return True
            if any(wanted(lane) for lane in self.file.read("begun_lanes", {"until": until})):
                return True
            gates = look(self.file, now=now)
            # Jobs that are held up by a limit or a key count while what holds them up comes to an end by itself.
            held = [*self.file.read("ready_lanes"), *self.file.read("next_lanes", {"until": until})]
            return any(wanted(lane) and gates.opens_by(lane[0], lane[1], now=now, until=until) for lane in held)

    def _due(self, now: int) -> bool:
        due = self.next_due(now=now)
        return due is not None and due <= now

    def _bring_up(self, gates: Gates, now: int, *, telling: bool) -> bool:
        """Make ready what has become due, and tell whether anything may have."""
        connection = self.file.writer.connection
        if telling:
            work_off(connection, now=now)
        if gates.due_keys:
            wake_keys(connection, gates.due_keys, now=now)
        promoted = connection.rows("promote", {"now": now})
        settle_keys(connection, (row[0] for row in promoted), now=now)
        return telling or bool(gates.due_keys or promoted)

    def _heads(self, queues: frozenset[str] | None, tasks: frozenset[str], limit: int, gates: Gates) -> list[Head]:
        lanes = [
            (queue, task)
            for queue, task in self.file.read("ready_lanes")
            if task in tasks and (queues is None or queue in queues) and gates.room(queue, task)
        ]
        if gates.limited:
            return self._heads_within(lanes, limit, gates)
        heads = [self._lane(queue, task, limit) for queue, task in lanes]
        return heads[0] if len(heads) == 1 else list(islice(merge(*heads), limit))

    def _heads_within(self, lanes: Sequence[tuple[str, str]], limit: int, gates: Gates) -> list[Head]:
        """Merge as ever, and leave out what its queue or task has no room for."""
        marked = ([(head, lane) for head in self._lane(*lane, min(limit, gates.room(*lane)))] for lane in lanes)
        return list(islice((head for head, lane in merge(*marked) if gates.take(*lane)), limit))

    def _lane(self, queue: str, task: str, limit: int) -> list[Head]:
        rows = self.file.read("lane_heads", {"queue": queue, "task": task, "limit": limit})
        return [(-priority, run_at, job_id) for priority, run_at, job_id in rows]

    def _take(
        self, heads: Sequence[Head], worker_id: int, queues: Sequence[str] | None, gates: Gates, now: int
    ) -> list[Claim]:
        if not heads:
            return []
        values = {
            "job_ids": id_list([head[2] for head in heads]),
            "queues": None if queues is None else name_list(queues),
            "paused": name_list(gates.paused) if gates.paused else None,
            "worker_id": worker_id,
            "now": now,
        }
        connection = self.file.writer.connection
        claims = [Claim(*row) for row in connection.rows("claim", values)]
        unique = [claim.job_id for claim in claims if claim.aftermath & UNIQUE]
        if unique:
            connection.rows("free_started_keys", {"job_ids": id_list(unique)})
        if gates.counted:
            pending.left(connection, [claim.queue for claim in claims])
        if gates.on_trial:
            begin_trials(connection, gates.on_trial, claims)
        return claims

    def _spend(self, gates: Gates, claims: Sequence[Claim], now: int) -> None:
        connection = self.file.writer.connection
        gates.spend(connection, claims, now=now)
        paced = [claim for claim in claims if claim.key_rate is not None]
        if paced:
            spend_tokens(connection, paced, now=now)


def _claim_order(claim: Claim) -> Head:
    return (-claim.priority, claim.run_at, claim.job_id)
