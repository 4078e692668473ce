"""The wall between liteq and its database: one verb for each transition, in the words of the domain.

Structs, bytes and integers cross it, never a connection or a row of ours; ``now`` is always an argument, in
milliseconds. An application's own statements and rows have a door of their own, in ``transacting``.
Whoever implements it owes what the docstrings promise, and ``tests/engine`` holds every implementation to it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from liteq.model.batch import BatchRecord, NewBatch
from liteq.model.fleet import Death, FileFacts, LaneCount, MetricRow, QueueRecord, WorkerCard, WorkerRecord
from liteq.model.job import (
    Attempt,
    Change,
    Claim,
    Completion,
    Enqueued,
    Expired,
    JobFilter,
    JobRecord,
    NewJob,
    Report,
)
from liteq.store.guarding import GuardVerbs
from liteq.store.handles import DeathWatch, Slate, Watch
from liteq.store.keeping import Keeping
from liteq.store.limiting import Limiting
from liteq.store.locking import LockVerbs
from liteq.store.scheduling import Scheduling
from liteq.store.transacting import Transacting

__all__ = ["DeathWatch", "Engine", "Slate", "Watch"]


class Engine(GuardVerbs, Keeping, LockVerbs, Limiting, Scheduling, Transacting, Protocol):
    """What keeps jobs. Every verb is its own commit, unless ``transaction`` is open in the calling thread."""

    def intact(self) -> bool:
        """Tell whether the file is still where it was opened; if not, nothing is written any more."""
        ...

    def close(self) -> None:
        """Let go of the database. Harmless when repeated."""
        ...

    # ---- into the queue

    def enqueue(self, jobs: Sequence[NewJob], *, now: int) -> list[Enqueued]:
        """Store the jobs, ready or scheduled by their ``run_at``, all or none, answers in the given order.

        Those with parents wait until the last has completed; one whose parent is dead or cancelled already is cancelled
        at once unless it said ``run``. Those whose concurrency key is in use are blocked until their turn comes.
        Raises UniqueKeyTaken where a key is held and the job said ``raise``, DependencyError where a parent does not
        exist or does not stand before its child, and QueueFull where a queue would hold more waiting jobs than it may;
        a job that says ``skip`` is left out instead.
        """
        ...

    def enqueue_batch(self, batch: NewBatch, jobs: Sequence[NewJob], *, now: int) -> tuple[int, list[Enqueued]]:
        """Store a batch with its first jobs, all or none; give its id and the answers. One without jobs has finished.

        More join it by their ``batch_id`` while it has not; then ``enqueue`` raises WrongState, and BatchNotFound.
        """
        ...

    # ---- claims and their reports

    def claim(
        self, *, worker_id: int, queues: Sequence[str] | None, tasks: Sequence[str], limit: int, now: int
    ) -> list[Claim]:
        """Take at most ``limit`` ready jobs for the worker: priority, then ``run_at``, then id. None means all queues.

        Due scheduled jobs are promoted first. No more of a queue or task than its limit lets run at once or start now;
        the jobs of a key take turns by themselves. Of a task whose breaker is open none is taken; once it is half-open,
        one is, on trial, until that has ended or is lost. Takes no write lock when there is nothing to take.
        """
        ...

    def complete(self, claim: Claim, *, result: bytes | None, report: Report, now: int) -> None:
        """running -> completed. LeaseLost when late."""
        ...

    def complete_many(self, completions: Sequence[Completion], *, now: int) -> list[Claim]:
        """running -> completed for each; give back the claims that were refused because they were lost."""
        ...

    def retry(self, claim: Claim, *, run_at: int, report: Report, now: int) -> None:
        """running -> scheduled with one more failure. LeaseLost when late, WrongState when the budget is spent.

        Where the task's own budget of retries has no room, it waits for longer than ``run_at`` says, and its attempt
        tells so.
        """
        ...

    def dead_letter(self, claim: Claim, *, reason: str, report: Report, now: int) -> None:
        """running -> dead with one more failure, to wait for a person. LeaseLost when late."""
        ...

    def snooze(self, claim: Claim, *, run_at: int, report: Report, now: int) -> None:
        """running -> scheduled, no failure. LeaseLost when late."""
        ...

    def release(self, claims: Sequence[Claim], *, reason: str, now: int, unstarted: bool = False) -> list[Claim]:
        """running -> ready, or blocked behind its key, unharmed, for each; give back those that were lost.

        ``unstarted``: none of them had begun, so their rates get the tokens back.
        """
        ...

    def abort(self, claim: Claim, *, report: Report, now: int) -> None:
        """running -> cancelled, because a cancel was asked. LeaseLost when late, WrongState when none was."""
        ...

    def time_out(self, *, job_id: int, attempt: int, worker_id: int) -> None:
        """running -> running, with the verdict that this attempt is past its time and would not stop.

        LeaseLost when late. It is applied when the job is taken from its worker, so that no second attempt runs beside
        the first.
        """
        ...

    def lost_claims(self, claims: Sequence[Claim]) -> list[Claim]:
        """Give those of the claims that are no longer their worker's."""
        ...

    # ---- by an application or a person

    def cancel(self, job_ids: Sequence[int], *, reason: str, now: int, hard: bool = False) -> list[int]:
        """Cancel those at rest, ask those that run; give the ids that either happened to.

        ``hard``: one that does not stop is to be stopped with its process. May follow a cancel that was not.
        """
        ...

    def cancels_asked(self, *, worker_id: int) -> dict[int, bool]:
        """Give the ids of the worker's running jobs that were asked to stop, and whether hard."""
        ...

    def requeue(self, job_ids: Sequence[int], *, now: int) -> list[int]:
        """finished -> ready with a fresh budget; give the ids moved. UniqueKeyTaken if a key has a new holder."""
        ...

    def reschedule(self, job_ids: Sequence[int], change: Change, *, now: int) -> list[int]:
        """Alter jobs at rest; ready or scheduled follows from ``run_at``. Give the ids altered."""
        ...

    def delete(self, job_ids: Sequence[int], *, now: int) -> list[int]:
        """Remove jobs that do not run, with their attempts; give the ids removed. Their children are told."""
        ...

    def pause_queue(self, queue: str, *, reason: str | None, now: int) -> None:
        """Let no job of the queue be claimed until it is resumed."""
        ...

    def resume_queue(self, queue: str) -> bool:
        """Let the queue's jobs be claimed again; false when it was not paused."""
        ...

    def limit_pending(self, queue: str, most: int | None) -> bool:
        """Let no more than ``most`` jobs wait in the queue, any number with None; tell whether there was a limit.

        Waiting are all live jobs that do not run. Those there are stay, even if they are more.
        """
        ...

    # ---- batches

    def cancel_batch(self, batch_id: int, *, now: int) -> bool:
        """Let no job join it any more; false when it has finished or was cancelled. Its jobs are cancelled by id."""
        ...

    def get_batch(self, batch_id: int) -> BatchRecord | None: ...

    def list_batches(self, *, limit: int, live: bool = False, before_id: int | None = None) -> list[BatchRecord]:
        """Give the newest batches first, with ``live`` only those that have not finished."""
        ...

    def batch_links(self, batch_id: int) -> list[tuple[int, int]]:
        """Give (parent, child) for each time that a member waits or waited for another job."""
        ...

    # ---- questions

    def get_job(self, job_id: int) -> JobRecord | None: ...

    def list_jobs(self, wanted: JobFilter, *, limit: int, before_id: int | None = None) -> list[JobRecord]:
        """Give the newest matching jobs first, at most ``limit``, only ids below ``before_id`` when given."""
        ...

    def count_jobs(self, wanted: JobFilter) -> int: ...

    def parents(self, job_id: int) -> list[JobRecord]:
        """Give the jobs that the job waited for, in the order in which they were given; pruned ones are left out."""
        ...

    def children(self, job_id: int, *, limit: int, after: int = 0) -> list[JobRecord]:
        """Give jobs that wait or waited for the job, by id, at most ``limit``, only ids above ``after``."""
        ...

    def attempts(self, job_id: int) -> list[Attempt]:
        """Give what is remembered of the job's attempts, oldest first. A plain first success leaves none."""
        ...

    def tags(self, job_id: int) -> tuple[str, ...]: ...

    def lane_counts(self) -> list[LaneCount]:
        """Count the live and dead jobs by queue, task, state and priority."""
        ...

    def queues(self) -> list[QueueRecord]:
        """Give the queues that have settings."""
        ...

    def metrics(self, *, since_minute: int) -> list[MetricRow]: ...

    def next_due(self, *, now: int) -> int | None:
        """Give the earliest instant at which time alone makes a job claimable, None when there is none.

        That is the ``run_at`` of a scheduled job, the next token of a spent rate, or when a breaker is half-open.
        """
        ...

    def work_left(
        self, *, worker_id: int, queues: Sequence[str] | None, tasks: Sequence[str], until: int, now: int
    ) -> bool:
        """Tell whether the worker has anything to run or report, or to try again before ``until``.

        Jobs that were delayed and never begun do not count. Those that a limit or a key holds up do, while that is a
        running job or the wait for a token that comes before ``until``; in a paused queue they do not.
        """
        ...

    def file_facts(self) -> FileFacts: ...

    # ---- workers

    def register_worker(self, card: WorkerCard, *, now: int) -> Slate:
        """Make the worker known, its life provable from the commit on."""
        ...

    def retire_worker(self, slate: Slate) -> None:
        """Strike a worker that has given everything back."""
        ...

    def expire(
        self, *, now: int, monotonic: int | None = None, causes: Mapping[int, Death] | None = None
    ) -> list[Expired]:
        """Take the jobs of every worker that is proved dead, and with ``monotonic`` of those whose lease ran out.

        Jobs that had started are charged a crash: ready at the first, with backoff after, dead at ``max_crashes``.
        The others go back unharmed, and so do all where the death charges nobody. A verdict of ``time_out`` is applied
        instead. ``causes`` says, by worker id, how it died, where somebody saw it end. A dead worker whose supervisor
        lives is left to it for half a second, and a living one that has a supervisor is never taken from; one whose
        supervisor is dead is killed when its lease has run out, and taken from once that is done. Commands that a dead
        worker of this machine has left running are killed before its jobs are taken.
        """
        ...

    def watch_deaths(self) -> DeathWatch:
        """Give a new watch on those workers that ``expire`` last found alive."""
        ...

    def workers(self) -> list[WorkerRecord]: ...

    # ---- upkeep

    def watch(self) -> Watch:
        """Give a new watch on other people's commits."""
        ...

    def prune(self, *, finished_before: int, limit: int) -> int:
        """Remove at most ``limit`` completed and cancelled jobs that finished earlier; give how many."""
        ...

    def prune_ticks(self, *, decided_before: int, limit: int) -> int:
        """Remove at most ``limit`` of the oldest traces of ticks; give how many."""
        ...

    def prune_metrics(self, *, before_minute: int) -> int:
        """Remove the metrics of earlier minutes; give how many rows."""
        ...

    def tend(self) -> None:
        """Keep the file small: checkpoint when the log has grown, give free pages back in small steps."""
        ...

    def settle(self) -> None:
        """Checkpoint everything, so that the file alone is whole."""
        ...

    def backup(self, destination: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Write a verified copy of the file, mode 0600, in place only when complete.

        ``progress`` hears pages done and in all.
        """
        ...

    def check(self, *, full: bool) -> list[str]:
        """Give the database's complaints about its own file; an empty list is good."""
        ...
