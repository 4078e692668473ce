"""What is expected of jobs, in plain Python: how each moves, and what follows for the others."""

from dataclasses import dataclass, field

from liteq.model.job import Claim
from liteq.model.transitions import AT_REST, FINISHED, State
from tests.engine.steps import NOW

MAX_FAILURES = 3
MAX_CRASHES = 2
MAX_PENDING = 8
KEYS = {"alone": 1, "pair": 2}
"""Concurrency keys, and how many of their jobs may run at once."""
FAILED = {State.DEAD, State.CANCELLED}


@dataclass
class Model:
    """What is expected of one job."""

    state: State
    run_at: int
    priority: int
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    owner: int | None = None
    asked: bool = False
    key: str | None = None
    finished_at: int | None = None
    started: bool = False
    outcomes: list[int] = field(default_factory=list)
    progress: int | None = None
    checkpoint: bytes | None = None
    steps: dict[str, bytes] = field(default_factory=dict)
    parts: list[tuple[int, bytes]] = field(default_factory=list)
    parents: tuple[int, ...] = ()
    waits_for: set[int] = field(default_factory=set)
    runs_anyway: bool = False
    in_batch: bool = False

    def holds(self, claim: Claim) -> bool:
        fence = (claim.attempt, claim.worker_id)
        return self.state is State.RUNNING and fence == (self.attempt, self.owner)

    @property
    def place(self) -> tuple[int, int]:
        return (-self.priority, self.run_at)

    def make_ready(self) -> None:
        """Be ready or, with a key, get in line."""
        self.state = State.READY if self.key is None else State.BLOCKED

    def wait_or_get_in_line(self, now: int) -> None:
        """Be scheduled as long as it is not due."""
        if self.run_at > now:
            self.state = State.SCHEDULED
        else:
            self.make_ready()

    def rest(self, state: State, now: int) -> None:
        """Leave the worker; a cancel that was asked is carried out where the job would come back."""
        if self.asked and state not in FINISHED:
            state = State.CANCELLED
        self.state, self.owner, self.started = state, None, False
        if state is State.READY:
            self.make_ready()
        self.finished_at = now if state in FINISHED else None
        if state is not State.CANCELLED:
            self.asked = self.asked and state not in FINISHED


class ExpectedJobs:
    """All the jobs of a life. One of its batches is followed, which counts how its members end."""

    def __init__(self) -> None:
        self.now = NOW
        self.model: dict[int, Model] = {}
        self.jobs = 0
        self.counts = {"jobs": 0, "completed": 0, "dead": 0, "cancelled": 0}

    def finished(self) -> bool:
        return self.counts["jobs"] == self.counts["completed"] + self.counts["dead"] + self.counts["cancelled"]

    def _note(self, job_id: int, job: Model) -> None:
        assert job_id not in self.model
        self.model[job_id] = job
        self.jobs = max(self.jobs, job_id)
        self.counts["jobs"] += job.in_batch

    def _rest(self, job_id: int, state: State) -> None:
        """Let the job leave its worker, and where that is its end, let follow what does."""
        job = self.model[job_id]
        job.rest(state, self.now)
        if job.state in FINISHED:
            self.counts[job.state.word] += job.in_batch
            self._tell_children(job_id, failed=job.state in FAILED)

    def _tell_children(self, job_id: int, *, failed: bool) -> None:
        for child_id, child in self.model.items():
            if child.state is not State.WAITING or job_id not in child.waits_for:
                continue
            child.waits_for.discard(job_id)
            if failed and not child.runs_anyway:
                self._rest(child_id, State.CANCELLED)
            elif not child.waits_for:
                child.wait_or_get_in_line(self.now)

    def _settle(self) -> None:
        """Let in, key by key, the best of those who are not running: what every verb must leave behind."""
        for key, most in KEYS.items():
            mine = {n: job for n, job in self.model.items() if job.key == key}
            line = [n for n, job in mine.items() if job.state in {State.READY, State.BLOCKED}]
            line.sort(key=lambda n: (*self.model[n].place, n))
            free = most - sum(job.state is State.RUNNING for job in mine.values())
            for place, n in enumerate(line):
                mine[n].state = State.READY if place < free else State.BLOCKED

    def _waiting(self) -> int:
        return sum(job.state in AT_REST for job in self.model.values())
