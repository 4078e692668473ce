"""Between the slots and the engine: reports verdicts and claims more in one commit."""

import logging
import threading
from collections import Counter
from collections.abc import Sequence

from liteq.clock import Clock
from liteq.errors import LeaseLost
from liteq.model.job import Claim
from liteq.store.engine import Engine, Slate
from liteq.worker.verdict import Verdict

RETRIES_WAITED_FOR_MS = 3_600_000

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
        max_jobs: int | None,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self.slate = slate
        self.stopping = threading.Event()
        self.counts: Counter[str] = Counter()
        """How many jobs were claimed, and how many verdicts of each verb were accepted, or were late."""
        self._queues = queues
        self._max_jobs = max_jobs
        self._lock = threading.Lock()

    def exchange(self, verdicts: Sequence[Verdict], *, tasks: Sequence[str], limit: int) -> list[Claim]:
        """Report the verdicts and claim up to ``limit`` jobs. Whatever fails leaves both undone."""
        limit = self._allowed(limit)
        if not verdicts:
            claims = self._claim(tasks, limit) if limit else []
            self._note(claims, {})
            return claims
        accepted: Counter[str] = Counter()
        with self.engine.transaction():
            self._report(verdicts, accepted)
            claims = self._claim(tasks, limit) if limit else []
        self._note(claims, accepted)
        return claims

    def release(self, claims: Sequence[Claim], reason: str) -> None:
        """Give claims back that were not started."""
        if claims:
            self.engine.release(claims, reason=reason, now=self.clock.now_ms())
            with self._lock:
                self.counts["claimed"] -= len(claims)

    def work_left(self, tasks: Sequence[str]) -> bool:
        """Tell whether a burst has to go on."""
        if self.stopping.is_set() or not self._allowed(1):
            return False
        return self.engine.work_left(
            worker_id=self.slate.worker_id,
            queues=self._queues,
            tasks=tasks,
            until=self.clock.now_ms() + RETRIES_WAITED_FOR_MS,
        )

    def idle_ms(self, longest: int) -> int:
        """Give how long nothing can become due, at most ``longest``."""
        due = self.engine.next_due()
        return longest if due is None else max(0, min(longest, due - self.clock.now_ms()))

    def spent(self) -> bool:
        """Tell whether the worker has claimed as many jobs as it may."""
        return not self._allowed(1)

    def _allowed(self, limit: int) -> int:
        if self.stopping.is_set():
            return 0
        if self._max_jobs is None:
            return limit
        return max(0, min(limit, self._max_jobs - self.counts["claimed"]))

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
            lost = self.engine.complete_many([verdict.completion() for verdict in completed], now=now)
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

    def _note(self, claims: Sequence[Claim], accepted: Counter[str] | dict[str, int]) -> None:
        with self._lock:
            self.counts["claimed"] += len(claims)
            self.counts.update(accepted)


def _tell(verdict: Verdict) -> None:
    claim = verdict.claim
    level = logging.WARNING if verdict.verb == "dead_letter" else logging.INFO
    facts = {"job_id": claim.job_id, "attempt": claim.attempt, "task": claim.task, "verb": verdict.verb}
    words = verdict.reason if verdict.verb == "dead_letter" else verdict.report.error
    log.log(level, "%s job %d (%s): %s", verdict.verb, claim.job_id, claim.task, words, extra=facts)
