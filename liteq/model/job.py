"""The values that cross the engine's wall: jobs wanted, claimed, reported and remembered."""

from typing import Literal

import msgspec

from liteq.model.transitions import Outcome, State

OnConflict = Literal["raise", "return", "replace", "skip"]
Answer = Literal["new", "returned", "replaced", "skipped", "debounced", "full"]
WhenFull = Literal["raise", "skip"]
Scope = Literal["started", "finished", "period", "always"]

OnParentFailure = Literal["cancel", "run"]

POLICY_CODES: dict[OnParentFailure, int] = {"cancel": 1, "run": 2}
SCOPE_CODES: dict[Scope, int] = {"started": 1, "finished": 2, "period": 3, "always": 4}


class Debounce(msgspec.Struct, frozen=True, kw_only=True):
    """Each call moves the job that holds the key, not beyond ``max_wait_ms`` after the first call; None: for ever."""

    max_wait_ms: int | None = None


class Unique(msgspec.Struct, frozen=True, kw_only=True):
    """A key that at most one job holds, and for how long it holds it.

    ``started``: until it is claimed. ``finished``: until it is completed, dead or cancelled. ``period``: until
    ``held_until``. ``always``: as long as the row is kept, which makes the key an idempotency key. With ``debounce``
    a holder that has not started takes the newcomer's arguments and time; ``on_conflict`` is for one that has.
    """

    key: str
    scope: Scope = "finished"
    held_until: int | None = None
    on_conflict: OnConflict = "return"
    debounce: Debounce | None = None


class NewJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job that is wanted and not yet stored. Instants and durations are in milliseconds.

    It waits for ``parents``, which are ids, and for ``siblings``, which are places of earlier jobs in the same call. It
    joins the batch of ``batch_id``. ``when_full``: what to do where the queue holds as many as it may; ``skip`` leaves
    this job out.
    """

    task: str
    queue: str
    args: bytes
    args_crc: int
    run_at: int
    priority: int
    max_failures: int
    max_crashes: int
    backoff: bytes | None = None
    timeout_ms: int | None = None
    unique: Unique | None = None
    tags: tuple[str, ...] = ()
    metadata: bytes | None = None
    schedule_id: int | None = None
    fire_at: int | None = None
    parents: tuple[int, ...] = ()
    siblings: tuple[int, ...] = ()
    on_parent_failure: OnParentFailure = "cancel"
    concurrency_key: str | None = None
    """Of the jobs with the same key at most ``key_max_running`` run at once, started at ``key_rate``, a rate's text."""
    key_max_running: int = 1
    key_rate: str | None = None
    batch_id: int | None = None
    on_dead: bytes | None = None
    """The template of a job that is made should this one end dead."""
    when_full: WhenFull = "raise"


class Enqueued(msgspec.Struct, frozen=True, gc=False):
    """What became of a wanted job: the id that stands for it, and whether that is a new row. Left out: ``full``, 0."""

    job_id: int
    answer: Answer = "new"


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A job taken for one worker. ``(job_id, attempt)`` is the fence that every report about it carries."""

    job_id: int
    attempt: int
    worker_id: int
    queue: str
    task: str
    args: bytes
    args_crc: int
    priority: int
    run_at: int
    enqueued_at: int
    claimed_at: int
    failures: int
    max_failures: int
    crashes: int
    max_crashes: int
    backoff: bytes | None
    timeout_ms: int | None
    fire_at: int | None
    batch_id: int | None
    concurrency_key: str | None
    key_rate: str | None
    aftermath: int = 0
    """What follows from the job's end, as far as the engine knew when it was claimed: a note of its own."""

    @property
    def last_chance(self) -> bool:
        """Whether one more failure spends the budget."""
        return self.failures + 1 >= self.max_failures


class Report(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one attempt leaves behind. ``output`` is a command's, ``log`` the logging records of the run."""

    outcome: Outcome
    started_at: int
    finished_at: int
    error: str | None = None
    traceback: str | None = None
    log: str | None = None
    output: bytes | None = None
    exit_code: int | None = None

    @property
    def has_words(self) -> bool:
        """Whether the attempt has said anything that is worth a row of its own."""
        return self.log is not None or self.output is not None


class Completion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A claim that was carried out, with its result as JSON or the reason why that could not be stored."""

    claim: Claim
    report: Report
    result: bytes | None = None
    result_error: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One remembered attempt of a job."""

    job_id: int
    attempt: int
    outcome: Outcome
    worker: str
    claimed_at: int | None
    started_at: int | None
    finished_at: int
    error: str | None
    traceback: str | None
    log: str | None
    output: bytes | None
    exit_code: int | None


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the job table, as stored."""

    id: int
    state: State
    queue: str
    task: str
    priority: int
    run_at: int
    attempt: int
    failures: int
    crashes: int
    max_failures: int
    max_crashes: int
    timeout_ms: int | None
    owner: int | None
    enqueued_at: int
    claimed_at: int | None
    started_at: int | None
    finished_at: int | None
    cancel_asked_at: int | None
    overdue_attempt: int | None
    """The attempt about which was written that it is past its time and would not stop."""
    schedule_id: int | None
    fire_at: int | None
    batch_id: int | None
    unique_key: str | None
    concurrency_key: str | None
    key_max_running: int | None
    key_rate: str | None
    reason: str | None
    result_error: str | None
    backoff: bytes | None
    metadata: bytes | None
    args: bytes
    result: bytes | None


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are meant. Every field that is given must match; ``since`` and ``until`` bound ``enqueued_at``."""

    states: tuple[State, ...] = ()
    queue: str | None = None
    task: str | None = None
    tag: str | None = None
    batch_id: int | None = None
    since: int | None = None
    until: int | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What ``reschedule`` alters; None leaves a thing as it is."""

    run_at: int | None = None
    priority: int | None = None
    queue: str | None = None


class Expired(msgspec.Struct, frozen=True):
    """A job that was taken from a dead worker, and where it went."""

    job_id: int
    attempt: int
    state: State
    charged: bool
    cause: str
