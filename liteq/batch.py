"""Jobs that are counted together: put together in a block, stored in one commit, and held by a handle afterwards."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Self, overload

import msgspec

from liteq.clock import Clock, to_datetime
from liteq.errors import BatchNotFound, InvalidOption, WrongState
from liteq.flow import Chain, Group, unfold
from liteq.job import Job, refuse_inside_task
from liteq.model.batch import BatchRecord, BatchState, NewBatch
from liteq.model.dag import Dag, DagNode, in_order
from liteq.model.job import JobFilter, JobRecord
from liteq.selection import job_filter, matching_ids
from liteq.store.engine import Engine
from liteq.task import Call, Payload
from liteq.waiting import wait_until

MOST_DRAWN = 100_000
"""So many jobs of a batch are read for its graph."""


class Planned(msgspec.Struct, frozen=True):
    """A job that is to be stored, and the places of those before it that it waits for."""

    wanted: Call[Any] | Payload
    siblings: tuple[int, ...]


Store = Callable[[NewBatch | int, Sequence[Planned]], tuple[int, list[Job[Any]]]]


class BatchProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of a batch have ended in which way; ``left`` have not, ``fraction`` of all have."""

    jobs: int
    completed: int
    dead: int
    cancelled: int
    left: int
    fraction: float


class Node:
    """A job of a batch, which others of the same batch can wait for before it is stored."""

    __slots__ = ("after_ids", "after_nodes", "stored", "wanted")

    def __init__(self, wanted: Call[Any] | Payload) -> None:
        self.wanted = wanted
        self.after_nodes: list[Node] = []
        self.after_ids: list[int] = []
        self.stored: Job[Any] | None = None

    def __repr__(self) -> str:
        return f"<Node {self.task}>"

    @property
    def task(self) -> str:
        return self.wanted.definition.name if isinstance(self.wanted, Call) else type(self.wanted).__name__

    @property
    def job(self) -> Job[Any]:
        """The handle of the stored job. Raises InvalidOption before the block of its batch has ended."""
        if self.stored is None:
            raise InvalidOption("a job of a batch is stored when the batch's block ends, not before")
        return self.stored

    def after(self, *others: "Node | Job[Any] | int") -> "Node":
        """Have it wait for other jobs, of the same batch or stored already; gives itself. Order does not matter."""
        if self.stored is not None:
            raise InvalidOption("what a job waits for is fixed once it is stored")
        for other in others:
            if isinstance(other, Node) and other.stored is None:
                self.after_nodes.append(other)
            elif isinstance(other, int):
                self.after_ids.append(other)
            else:
                self.after_ids.append(other.job.id if isinstance(other, Node) else other.id)
        return self


class Batch:
    """A batch: within its ``with`` block a plan, stored as a whole at the block's end, then the handle of it.

    A block that raises stores nothing. Jobs added after the block join at once, while the batch has not finished.
    """

    def __init__(
        self,
        wanted: NewBatch,
        *,
        engine: Callable[[], Engine],
        clock: Clock,
        store: Store,
        record: BatchRecord | None = None,
    ) -> None:
        self._wanted = wanted
        self._engine = engine
        self._clock = clock
        self._store = store
        self._record = record
        self._id = None if record is None else record.id
        self._nodes: list[Node] = []

    def __repr__(self) -> str:
        return f"<Batch {self._wanted.name!r} {self._id or 'not stored'}>"

    def __enter__(self) -> Self:
        if self._id is not None:
            raise InvalidOption("this batch is stored already; add to it without a block")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._store_plan()

    @property
    def id(self) -> int:
        """Its id. Raises InvalidOption before its block has ended."""
        if self._id is None:
            raise InvalidOption("a batch is stored when its block ends; use `with app.batch(...) as batch:`")
        return self._id

    @property
    def name(self) -> str:
        return self._wanted.name

    # Putting it together

    @overload
    def add(self, wanted: Call[Any] | Payload, /, *, after: "After" = ()) -> Node: ...
    @overload
    def add(self, wanted: Chain | Group, /, *, after: "After" = ()) -> list[Node]: ...
    def add(self, wanted: Call[Any] | Payload | Chain | Group, /, *, after: "After" = ()) -> Node | list[Node]:
        """Add a job and give its node; of a chain or group, give the nodes with which it ends.

        ``after``: what it waits for, beside what its own options say. A stored batch takes the job at once: WrongState
        when it has finished or was cancelled.
        """
        first: list[Any] = list(after) if isinstance(after, (list, tuple)) else [after]
        nodes: list[Node] = []

        def plan(one: Call[Any] | Payload, before: list[Any]) -> Any:
            nodes.append(Node(one).after(*before))
            return nodes[-1]

        ends: list[Node] = unfold(wanted, plan, first)
        if self._id is None:
            self._nodes += nodes
        else:
            self._put(self._id, nodes)
        return ends if isinstance(wanted, (Chain, Group)) else ends[0]

    def add_many(self, wanted: Iterable[Call[Any] | Payload], /) -> list[Node]:
        """Add any number of jobs, to a stored batch in one commit. The iterable is read before the file is locked."""
        nodes = [Node(one) for one in wanted]
        if self._id is None:
            self._nodes += nodes
        else:
            self._put(self._id, nodes)
        return nodes

    def _store_plan(self) -> None:
        self._id = self._put(self._wanted, self._nodes)
        self._nodes = []

    def _put(self, batch: NewBatch | int, nodes: Sequence[Node]) -> int:
        places = {id(node): place for place, node in enumerate(nodes)}
        strangers = [other for node in nodes for other in node.after_nodes if id(other) not in places]
        if strangers:
            raise InvalidOption(f"{strangers[0]!r} is a job of another batch, which is not stored yet")
        parents = [[places[id(other)] for other in node.after_nodes] for node in nodes]
        order = in_order(parents, lambda place: nodes[place].task)
        rank = {place: new for new, place in enumerate(order)}
        planned = [_plan(nodes[place], tuple(rank[parent] for parent in parents[place])) for place in order]
        batch_id, jobs = self._store(batch, planned)
        for place, job in zip(order, jobs, strict=True):
            nodes[place].stored = job
        return batch_id

    # Looking at it

    @property
    def record(self) -> BatchRecord:
        """The row as it was last read. Raises BatchNotFound."""
        return self._record or self.refresh().record

    def refresh(self) -> "Batch":
        """Read the row again and give the handle. Raises BatchNotFound when it was pruned."""
        found = self._engine().get_batch(self.id)
        if found is None:
            raise BatchNotFound(f"there is no batch {self.id}")
        self._record = found
        return self

    @property
    def state(self) -> BatchState:
        return self.record.state

    @property
    def created_at(self) -> datetime:
        return to_datetime(self.record.created_at)

    @property
    def progress(self) -> BatchProgress:
        """How far it is, read now."""
        row = self.refresh().record
        return BatchProgress(
            jobs=row.jobs,
            completed=row.completed,
            dead=row.dead,
            cancelled=row.cancelled,
            left=row.left,
            fraction=1.0 if row.jobs == 0 else (row.jobs - row.left) / row.jobs,
        )

    def jobs(self, *, state: Any = None) -> Iterator[int]:
        """Give the ids of its jobs, newest first, all or those in a state (or several)."""
        for ids in matching_ids(self._engine(), job_filter(batch=self.id, state=state)):
            yield from ids

    def wait(self, timeout: timedelta | float | None = None) -> "Batch":
        """Return the handle once the last of its jobs has ended. Raises WaitTimeout, and InvalidOption in a task."""
        refuse_inside_task()
        wait_until(
            lambda: self.refresh().record.finished_at is not None,
            engine=self._engine(),
            clock=self._clock,
            timeout=timeout,
            what=lambda: f"batch {self.id} still has {self.record.left} of {self.record.jobs} jobs to run",
        )
        return self

    def dag(self) -> Dag:
        """Give its jobs as a graph: a drawing by ``mermaid()``, the longest way by ``critical_path()``."""
        engine, now = self._engine(), self._clock.now_ms()
        wanted = JobFilter(batch_id=self.id)
        nodes: dict[int, DagNode] = {}
        before: int | None = None
        while len(nodes) < MOST_DRAWN and (records := engine.list_jobs(wanted, limit=500, before_id=before)):
            before = records[-1].id
            nodes |= {record.id: _node(record, now) for record in records}
        return Dag(nodes=nodes, links=engine.batch_links(self.id))

    # Ending it

    def cancel(self, *, reason: str | None = None, hard: bool = False) -> list[int]:
        """Cancel all of its jobs that have not ended, and let no more join; gives their ids. Safe to repeat.

        Raises WrongState when it has finished.
        """
        engine, now = self._engine(), self._clock.now_ms()
        if not engine.cancel_batch(self.id, now=now) and self.refresh().state is not BatchState.CANCELLED:
            raise WrongState(f"batch {self.id} has finished; there is nothing to cancel")
        why = reason or f"its batch, {self.name}, was cancelled"
        cancelled: list[int] = []
        for ids in matching_ids(engine, job_filter(batch=self.id)):
            cancelled += engine.cancel(ids, reason=why, now=now, hard=hard)
        return sorted(cancelled)


After = Node | Job[Any] | int | Sequence[Node | Job[Any] | int]


def _plan(node: Node, siblings: tuple[int, ...]) -> Planned:
    wanted = node.wanted
    if node.after_ids:
        if isinstance(wanted, Payload):
            raise InvalidOption("give a job class to app.call() first, so that it can wait for a stored job")
        wanted = wanted.using(after=[*wanted.options.parents, *node.after_ids])
    return Planned(wanted, siblings)


def _node(record: JobRecord, now: int) -> DagNode:
    begun = record.started_at or record.claimed_at
    ended = record.finished_at or now
    ran = 0 if begun is None else max(0, ended - begun)
    return DagNode(id=record.id, task=record.task, state=record.state, run_ms=ran)
