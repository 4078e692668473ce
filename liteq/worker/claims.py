"""Consumer style: the caller iterates over claims and reports each by itself."""

import os
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Self

from liteq.clock import Clock, to_datetime
from liteq.errors import Busy, DiskFull, FileMoved, InvalidOption, LeaseLost, LiteqError, WrongState
from liteq.model.fleet import WorkerCard
from liteq.model.instants import to_ms
from liteq.model.job import Claim, Report
from liteq.model.payload import decode, decoder, encode
from liteq.model.retry import decode_backoff
from liteq.model.transitions import Outcome
from liteq.store.engine import Engine, Slate
from liteq.worker.verdict import MAX_RESULT, describe, trace_of

LONGEST_IDLE_MS = 1_000
LOOK_FOR_DEAD_MS = 250


class ClaimedJob:
    """One job in the caller's hands. Exactly one of its verbs may be called; a late one raises LeaseLost.

    Nobody interrupts the caller when the job's time limit is over: ``deadline`` says when, ``overdue`` that it is. What
    is reported after that is a job that timed out.
    """

    def __init__(self, claim: Claim, engine: Engine, clock: Clock, slate: Slate) -> None:
        self._claim = claim
        self._slate = slate
        self._engine = engine
        self._clock = clock
        self._started_at = clock.now_ms()
        # A clock that is set must not end anybody's time.
        self._over_at = None if claim.timeout_ms is None else clock.monotonic_ms() + claim.timeout_ms
        self.reported = False

    @property
    def id(self) -> int:
        return self._claim.job_id

    @property
    def attempt(self) -> int:
        return self._claim.attempt

    @property
    def task(self) -> str:
        return self._claim.task

    @property
    def queue(self) -> str:
        return self._claim.queue

    @property
    def deadline(self) -> datetime | None:
        """When the time limit ends, UTC; None without one."""
        timeout_ms = self._claim.timeout_ms
        return None if timeout_ms is None else to_datetime(self._started_at + timeout_ms)

    @property
    def overdue(self) -> bool:
        """Whether the time limit is over."""
        return self._over_at is not None and self._clock.monotonic_ms() >= self._over_at

    @property
    def args(self) -> Any:
        """The arguments as plain JSON values. Raises Undecodable."""
        return decode(self._claim.args, decoder(Any), what="args")

    def beat(self) -> None:
        """Say that the work goes on: with a lease, whoever neither beats nor claims for so long loses the job."""
        self._slate.beat(self._clock.monotonic_ms())

    def complete(self, result: Any = None) -> None:
        """The work is done. After the time limit it is recorded as timed out instead, and LeaseLost raised."""
        if self.overdue and not self.reported:
            words = f"timed out after {(self._claim.timeout_ms or 0) / 1000:g} s"
            self.retry(words)
            raise LeaseLost(f"job {self.id} {words}, before it was reported as complete; that is what is recorded")
        data = None if result is None else encode(result, what="result", max_bytes=MAX_RESULT)
        report = self._report(Outcome.COMPLETED)
        self._engine.complete(self._claim, result=data, report=report, now=report.finished_at)
        self.reported = True

    def retry(self, error: BaseException | str, *, delay: timedelta | float | None = None) -> None:
        """It failed: try again after ``delay`` or the job's own backoff; with the budget spent it is dead."""
        report = self._report(Outcome.FAILED, error)
        if self._claim.last_chance:
            self._engine.dead_letter(
                self._claim, reason=f"failed: {report.error}", report=report, now=report.finished_at
            )
        else:
            wait = self._backoff() if delay is None else to_ms(delay, what="delay")
            self._engine.retry(self._claim, run_at=report.finished_at + wait, report=report, now=report.finished_at)
        self.reported = True

    def dead_letter(self, error: BaseException | str) -> None:
        """It failed and trying again cannot help."""
        report = self._report(Outcome.FAILED, error)
        self._engine.dead_letter(self._claim, reason=report.error or "", report=report, now=report.finished_at)
        self.reported = True

    def snooze(self, delay: timedelta | float) -> None:
        """Not now: again after ``delay``; this is no failure."""
        report = self._report(Outcome.SNOOZED, "snoozed")
        run_at = report.finished_at + to_ms(delay, what="delay")
        self._engine.snooze(self._claim, run_at=run_at, report=report, now=report.finished_at)
        self.reported = True

    def release(self) -> None:
        """Give it back unharmed."""
        self._engine.release([self._claim], reason="given back", now=self._clock.now_ms())
        self.reported = True

    def _backoff(self) -> int:
        return decode_backoff(self._claim.backoff).delay_ms(self._claim.failures + 1)

    def _report(self, outcome: Outcome, error: BaseException | str | None = None) -> Report:
        if self.reported:
            raise WrongState(f"job {self.id} was already reported in attempt {self.attempt}")
        words = describe(error) if isinstance(error, BaseException) else error
        if outcome is Outcome.FAILED and self.overdue:
            outcome = Outcome.TIMED_OUT
        return Report(
            outcome=outcome,
            started_at=self._started_at,
            finished_at=self._clock.now_ms(),
            error=words,
            traceback=trace_of(error) if isinstance(error, BaseException) else None,
        )


class Claims:
    """An iterator over claimed jobs, a worker while it lives. ``close`` gives back what was not reported."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        queues: Sequence[str] | None,
        tasks: Sequence[str],
        limit: int,
        wait: bool,
        lease_ms: int | None = None,
    ) -> None:
        self._closed = True
        if limit < 1:
            raise InvalidOption(f"limit must be at least 1, not {limit}")
        self._engine = engine
        self._clock = clock
        self._queues = None if queues is None else tuple(queues)
        self._tasks = tuple(tasks)
        self._limit = limit
        self._wait = wait
        name = f"{socket.gethostname()}:{os.getpid()} claims"
        card = WorkerCard(name=name, tasks=self._tasks, queues=self._queues, slots=limit, lease_ms=lease_ms)
        self._watch = engine.watch()
        try:
            self._slate = engine.register_worker(card, now=clock.now_ms())
        except BaseException:
            self._watch.close()
            raise
        self._closed = False
        self._waiting: deque[Claim] = deque()
        self._given: dict[int, tuple[ClaimedJob, Claim]] = {}
        self._free = list(range(limit))
        self._expire_at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A loop left by break or an error holds a worker's life and its jobs: they go back with the iterator.
        with suppress(LiteqError):
            self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ClaimedJob:
        while not self._closed:
            self._let_go()
            if self._waiting:
                return self._give(self._waiting.popleft())
            if not self._free:
                raise InvalidOption(f"{self._limit} claimed jobs are not reported yet; report one, or raise limit")
            self._claim()
            if not self._waiting and not self._wait:
                self.close()
        raise StopIteration

    def _give(self, claim: Claim) -> ClaimedJob:
        slot = self._free.pop()
        self._slate.start(slot, claim.job_id, claim.attempt, self._clock.now_ms())
        job = ClaimedJob(claim, self._engine, self._clock, self._slate)
        self._given[slot] = (job, claim)
        return job

    def _let_go(self) -> None:
        """Free the slots of the jobs that were reported."""
        for slot, (job, _claim) in list(self._given.items()):
            if job.reported:
                self._slate.clear(slot)
                del self._given[slot]
                self._free.append(slot)

    def _claim(self) -> None:
        now, monotonic = self._clock.now_ms(), self._clock.monotonic_ms()
        self._slate.beat(monotonic)
        if monotonic >= self._expire_at:
            if not self._given:
                self._refuse_lost()
            self._expire_at = monotonic + LOOK_FOR_DEAD_MS
            self._engine.expire(now=now, monotonic=monotonic)
        self._waiting += self._engine.claim(
            worker_id=self._slate.worker_id,
            queues=self._queues,
            tasks=self._tasks,
            limit=self._limit,
            now=now,
        )
        if not self._waiting and self._wait:
            due = self._engine.next_due(now=now)
            idle = LONGEST_IDLE_MS if due is None else max(1, min(LONGEST_IDLE_MS, due - now))
            self._watch.wait(idle)

    def _refuse_lost(self) -> None:
        """Raise FileMoved where the file, or the proof that this loop lives, is no longer where others look for it."""
        if not self._engine.intact():
            raise FileMoved("the file was deleted, renamed or replaced while open; nothing is claimed any more")
        if not self._slate.intact():
            self.close()
            raise FileMoved("the lock file of this loop was removed; close the app and begin a new loop")

    def close(self) -> None:
        """Give back what was claimed and not reported, and be a worker no more. After Busy it may be tried again."""
        if self._closed:
            return
        back = [claim for job, claim in self._given.values() if not job.reported] + list(self._waiting)
        try:
            if back:
                self._engine.release(back, reason="the loop ended", now=self._clock.now_ms())
            self._engine.retire_worker(self._slate)
        except (Busy, DiskFull):
            raise
        except LiteqError:
            self._let_all_go()
            raise
        self._let_all_go()

    def _let_all_go(self) -> None:
        self._closed = True
        # Whoever signed off has none; else it is found dead, and its jobs are taken.
        self._slate.release(remove=False)
        self._watch.close()
