"""What keeps whole lanes out of a claim: paused queues, the limits of queues and tasks, and open breakers.

The one place that a claim asks. It is read before the write lock, to see whether there is anything to take, and again
under it, where it decides. Whatever else is to close lanes closes them here: ``Gates.shut``.
"""

from collections.abc import Sequence

import msgspec

from liteq.model.guard import is_open
from liteq.model.job import Claim
from liteq.model.limits import LIMITED_CODES
from liteq.model.rate import Rate, stored_rate
from liteq.store.sqlite.connection import Connection
from liteq.store.sqlite.file import JobFile

QUEUE, TASK = LIMITED_CODES["queue"], LIMITED_CODES["task"]
_PAUSED, _KEY, _COUNTED, _GUARDED = 0, 3, 4, 5
_OPEN = 2**31

Name = tuple[int, str]
"""A queue or a task: its kind, and what it is called."""


class _InForce(msgspec.Struct, frozen=True):
    """A limit as a claim meets it."""

    kind: int
    name: str
    max_running: int | None
    rate: Rate | None
    next_us: int | None


class Gates:
    """How many jobs of which lane may be claimed at this moment."""

    def __init__(self) -> None:
        self.paused: set[str] = set()
        self.due_keys: list[str] = []
        """Keys that have a token again, and are to be settled."""
        self.counted: set[str] = set()
        """Queues whose waiting jobs are counted."""
        self.guarded: set[str] = set()
        """Tasks with a breaker or a budget: what becomes of their attempts is to be noted."""
        self.on_trial: set[str] = set()
        """Tasks of which one job may be claimed, to see whether the breaker can be closed."""
        self._opens_at: dict[str, int] = {}
        self._limits: list[_InForce] = []
        self._room: dict[Name, int] = {}

    @property
    def limited(self) -> bool:
        """Whether anything but a pause, which the claim itself knows of, closes or narrows a lane.

        Then what was read before the lock is read again under it.
        """
        return len(self._room) > len(self.paused)

    def shut(self, kind: int, name: str) -> None:
        """Let no job of the queue or task out."""
        self._room[kind, name] = 0

    def guard(self, task: str, open_until: int | None, open_ms: int, *, trial_runs: bool, now: int) -> None:
        """Mind a guarded task: shut while its breaker is open or its trial runs, with room for one trial after that."""
        self.guarded.add(task)
        if open_until is None:
            return
        if is_open(open_until, open_ms, now):
            self._opens_at[task] = open_until
            self.shut(TASK, task)
        elif trial_runs:
            self.shut(TASK, task)
        else:
            self.on_trial.add(task)
            self._room[TASK, task] = 1

    def room(self, queue: str, task: str) -> int:
        """Give how many jobs of the lane may be claimed."""
        return min(self._room.get((QUEUE, queue), _OPEN), self._room.get((TASK, task), _OPEN))

    def take(self, queue: str, task: str) -> bool:
        """Take the room of one job, if there is any."""
        if not self.room(queue, task):
            return False
        for name in ((QUEUE, queue), (TASK, task)):
            if name in self._room:
                self._room[name] -= 1
        return True

    def opens_by(self, queue: str, task: str, *, now: int, until: int) -> bool:
        """Tell whether the lane can have room until then: jobs that run end one day, but tokens have an instant."""
        if queue in self.paused or self._opens_at.get(task, now) > until:
            return False
        names = {(QUEUE, queue), (TASK, task)}
        rates = ((one.rate, one.next_us) for one in self._limits if (one.kind, one.name) in names)
        return all(rate is None or rate.next_at(next_us, now) <= until for rate, next_us in rates)

    def spend(self, connection: Connection, claims: Sequence[Claim], *, now: int, tokens: int = 1) -> None:
        """Take ``tokens`` for each of the claims from the rates of its queue and task; -1 gives one back."""
        for one in self._limits:
            if one.rate is None:
                continue
            taken = sum((claim.queue if one.kind == QUEUE else claim.task) == one.name for claim in claims)
            if taken:
                next_us = one.rate.spend(one.next_us, now, tokens=tokens * taken)
                connection.rows("keep_limit_token", {"kind": one.kind, "name": one.name, "next_us": next_us})

    def hold_to(self, one: _InForce, running: int, now: int) -> None:
        """Let no more out than the limit allows, of which so many run already."""
        self._limits.append(one)
        room = _OPEN if one.max_running is None else max(0, one.max_running - running)
        if one.rate is not None:
            room = min(room, one.rate.tokens(one.next_us, now))
        self._room[one.kind, one.name] = min(room, self._room.get((one.kind, one.name), _OPEN))


def look(file: JobFile, *, now: int) -> Gates:
    """Give the gates as they stand. Without limits this is one small question."""
    gates = Gates()
    limits: list[_InForce] = []
    for kind, name, max_running, rate, next_us in file.read("gates", {"now": now}):
        if kind == _PAUSED:
            gates.paused.add(name)
            gates.shut(QUEUE, name)
        elif kind == _KEY:
            gates.due_keys.append(name)
        elif kind == _COUNTED:
            gates.counted.add(name)
        elif kind == _GUARDED:
            gates.guard(name, next_us, max_running, trial_runs=bool(rate), now=now)
        else:
            limits.append(_InForce(kind, name, max_running, None if rate is None else stored_rate(rate), next_us))
    running = running_by_name(file) if any(one.max_running is not None for one in limits) else {}
    for one in limits:
        gates.hold_to(one, running.get((one.kind, one.name), 0), now)
    return gates


def running_by_name(file: JobFile) -> dict[Name, int]:
    """Count the jobs that run, by queue and by task."""
    found: dict[Name, int] = {}
    for queue, task, jobs in file.read("running_lanes"):
        for name in ((QUEUE, queue), (TASK, task)):
            found[name] = found.get(name, 0) + jobs
    return found
