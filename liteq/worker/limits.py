"""Time limits of what cannot be interrupted: a task that is still there after its time and a grace.

No thread can be ended from outside. So the verdict is written while the task still runs, nothing more is claimed, the
others may finish, and the process ends; only then, its lock free, does the verdict become the job's outcome.
"""

import logging
import os
from collections.abc import Callable

from liteq.errors import LeaseLost
from liteq.job import Run
from liteq.worker.bench import Bench
from liteq.worker.desk import Desk
from liteq.worker.runner import Runner

EXIT_OVERDUE = 124
"""As timeout(1) ends."""

log = logging.getLogger("liteq.worker")


class Limits:
    """The end of patience. Lives in the worker's side thread."""

    def __init__(
        self,
        desk: Desk,
        runner: Runner,
        bench: Bench,
        *,
        grace_ms: int,
        owned: bool,
        unreported: Callable[[], bool],
    ) -> None:
        self._desk = desk
        self._runner = runner
        self._bench = bench
        self._grace_ms = grace_ms
        self._owned = owned
        self._unreported = unreported
        self._ends_at: int | None = None

    def enforce(self) -> None:
        """Tell tasks that their time is over, write the verdict on those that stay, end the process if it is ours."""
        now = self._desk.clock.monotonic_ms()
        for run in list(self._runner.runs.values()):
            if run.over_at is not None and now >= run.over_at:
                run.timed_out = True
            if run.hard_at is not None and now >= run.hard_at and not run.overdue:
                self._condemn(run, now)
        if self._ends_at is not None and (now >= self._ends_at or self._alone()):
            self._end()

    def harden(self, run: Run) -> None:
        """Have a run that was asked to stop end with its process, if it does not stop soon."""
        if not run.hardened:
            run.hardened = True
            hard_at = self._desk.clock.monotonic_ms() + self._runner.kill_after_ms + self._runner.extra_ms(run.claim)
            run.hard_at = hard_at if run.hard_at is None else min(run.hard_at, hard_at)

    def _condemn(self, run: Run, now: int) -> None:
        claim = run.claim
        # Set first: should the task return while this is written, its value comes too late.
        run.overdue = True
        try:
            self._desk.engine.time_out(job_id=claim.job_id, attempt=claim.attempt, worker_id=claim.worker_id)
        except LeaseLost:
            run.lost = True
        except BaseException:
            run.overdue = False
            raise
        facts = {"job_id": claim.job_id, "attempt": claim.attempt, "task": claim.task}
        if not self._owned:
            words = "job %d (%s) should have ended and does not stop; its slot is lost until it does"
            log.error(words, claim.job_id, claim.task, extra=facts)
            return
        words = "job %d (%s) should have ended and does not stop; this process ends, its other jobs may finish"
        log.error(words, claim.job_id, claim.task, extra=facts)
        if self._ends_at is None:
            self._ends_at = now + self._grace_ms
        self._desk.stopping = True
        self._bench.end()

    def _alone(self) -> bool:
        return all(run.overdue for run in list(self._runner.runs.values())) and not self._unreported()

    def _end(self) -> None:
        # What still runs stays this worker's until the kernel frees its lock: no job has two attempts at once.
        self._bench.close()
        os._exit(EXIT_OVERDUE)
