"""Between the slots and the engine: reports verdicts and claims more in one commit."""

import logging
import threading
from collections import Counter
from collections.abc import Sequence

from liteq.clock import Clock
from liteq.errors import InvalidOption, LeaseLost, LiteqError, StorageError, WrongState
from liteq.model.job import Claim, Expired
from liteq.model.transitions import State
from liteq.store.engine import Engine, Slate
from liteq.worker.scribe import Scribe
from liteq.worker.verdict import Verdict

RETRIES_WAITED_FOR_MS = 3_600_000
ENDINGS = ("complete", "retry", "dead_letter", "snooze", "abort", "late")

log = logging.getLogger("liteq.worker")


class Desk:
    """One worker's dealings with the engine. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        slate: Slate,
        *,
        queues: tuple[str, ...] | None,
        all_tasks: tuple[str, ...],
        max_jobs: int | None,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.slate = slate
        self.scribe = Scribe(engine, clock)
        self.stopping = False
        """Whether nothing more is to be claimed. A plain flag: signal handlers set it, and must take no lock."""
        self.counts: Counter[str] = Counter()
        """How many jobs were claimed, and how many verdicts of each verb were accepted, or were late."""
        self._queues = queues
        self._all_tasks = all_tasks
        self._max_jobs = max_jobs
        self._lock = threading.Lock()
        self._reserved = 0
        """How many are being claimed at this moment. They count against the limit, but it is not spent by them."""

    def exchange(self, verdicts: Sequence[Verdict], *, tasks: Sequence[str], limit: int) -> list[Claim]:
        """Report the verdicts and claim up to ``limit`` jobs. Whatever fails leaves both undone."""
        allowed = self._reserve(limit)
        claims: list[Claim] = []
        try:
            claims = self._report_and_claim(verdicts, tasks, allowed)
        except (InvalidOption, WrongState, StorageError) as error:
            if not verdicts or _concerns_all(error):
                raise
            self._report_singly(verdicts)
        finally:
            with self._lock:
                self._reserved -= allowed
                self.counts["claimed"] += len(claims)
        return claims

    def _report_and_claim(self, verdicts: Sequence[Verdict], tasks: Sequence[str], limit: int) -> list[Claim]:
        if not verdicts:
            return self._claim(tasks, limit) if limit else []
        accepted: Counter[str] = Counter()
        memories = [verdict.memory for verdict in verdicts if verdict.memory is not None]
        with self.scribe.last_words(memories), self.engine.transaction():
            self.scribe.take_down(memories)
            self._report(verdicts, accepted)
            claims = self._claim(tasks, limit) if limit else []
        with self._lock:
            self.counts.update(accepted)
        return claims

    def _report_singly(self, verdicts: Sequence[Verdict]) -> None:
        """One report of many was refused: let the others through, and put its job where a person looks."""
        for verdict in verdicts:
            try:
                self._report_and_claim([verdict], (), 0)
            except (InvalidOption, WrongState, StorageError) as error:
                if _concerns_all(error):
                    raise
                log.exception("the report of job %d was refused", verdict.claim.job_id)
                self._report_and_claim([verdict.refused(error)], (), 0)

    def release(self, claims: Sequence[Claim], reason: str, *, unstarted: bool) -> None:
        """Give claims back; ``unstarted`` ones have cost their rates nothing."""
        if claims:
            self.engine.release(claims, reason=reason, now=self.clock.now_ms(), unstarted=unstarted)
            with self._lock:
                self.counts["claimed"] -= len(claims)
                self.counts["release"] += len(claims)

    def note_poison(self, taken: Expired) -> None:
        """Count a job that was taken from a dead worker and is not worth another attempt."""
        with self._lock:
            self.counts["poison"] += taken.state is State.DEAD

    def work_left(self) -> bool:
        """Tell whether a burst has to go on, be it for tasks of another kind: those may enqueue the caller's."""
        if self.stopping or self.spent():
            return False
        now = self.clock.now_ms()
        return self.engine.work_left(
            worker_id=self.slate.worker_id,
            queues=self._queues,
            tasks=self._all_tasks,
            until=now + RETRIES_WAITED_FOR_MS,
            now=now,
        )

    @property
    def counts_jobs(self) -> bool:
        """Whether the worker ends after so many jobs."""
        return self._max_jobs is not None

    def next_due(self, since: int) -> int | None:
        """Give the instant after ``since`` at which something becomes due, as things stand; None when nothing will."""
        return self.engine.next_due(now=since)

    def done(self) -> int:
        """Give how many attempts have ended here, in whatever way."""
        return sum(self.counts[verb] for verb in ENDINGS)

    def spent(self) -> bool:
        """Tell whether the worker has claimed as many jobs as it may."""
        return self._max_jobs is not None and self.counts["claimed"] >= self._max_jobs

    def _reserve(self, wanted: int) -> int:
        """Give how many of so many jobs may be claimed now, and note that they are about to be."""
        with self._lock:
            if self.stopping:
                wanted = 0
            elif self._max_jobs is not None:
                wanted = max(0, min(wanted, self._max_jobs - self.counts["claimed"] - self._reserved))
            self._reserved += wanted
        return wanted

    def _claim(self, tasks: Sequence[str], limit: int) -> list[Claim]:
        return self.engine.claim(
            worker_id=self.slate.worker_id,
            queues=self._queues,
            tasks=tasks,
            limit=limit,
            now=self.clock.now_ms(),
        )

    def _report(self, verdicts: Sequence[Verdict], accepted: Counter[str]) -> None:
        now = self.clock.now_ms()
        completed = [verdict for verdict in verdicts if verdict.verb == "complete"]
        if completed:
            lost = self.engine.complete_many(completed, now=now)
            accepted["complete"] += len(completed) - len(lost)
            for claim in lost:
                self._tell_late(claim, accepted)
        for verdict in verdicts:
            if verdict.verb == "complete":
                continue
            try:
                verdict.write(self.engine, now=now)
            except LeaseLost:
                self._tell_late(verdict.claim, accepted)
            else:
                accepted[verdict.verb] += 1
                _tell(verdict)

    def _tell_late(self, claim: Claim, accepted: Counter[str]) -> None:
        accepted["late"] += 1
        facts = {"job_id": claim.job_id, "attempt": claim.attempt, "task": claim.task}
        log.warning("a late report of job %d was dropped", claim.job_id, extra=facts)


def _concerns_all(error: LiteqError) -> bool:
    """Tell trouble with the file, which the next report would meet too, from trouble with one report."""
    return isinstance(error, StorageError) and type(error) is not StorageError


def _tell(verdict: Verdict) -> None:
    claim = verdict.claim
    level = logging.WARNING if verdict.verb == "dead_letter" else logging.INFO
    facts = {"job_id": claim.job_id, "attempt": claim.attempt, "task": claim.task, "verb": verdict.verb}
    words = verdict.reason if verdict.verb == "dead_letter" else verdict.report.error
    log.log(level, "%s job %d (%s): %s", verdict.verb, claim.job_id, claim.task, words, extra=facts)
