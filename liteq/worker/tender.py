"""The side thread of a worker: beats, minds what waits too long, passes on cancels, takes from the dead, tidies."""

import logging
import threading
from collections.abc import Callable

from liteq.errors import Busy, DiskFull
from liteq.worker.bench import Bench
from liteq.worker.desk import Desk
from liteq.worker.leash import Leash
from liteq.worker.limits import Limits
from liteq.worker.runner import Runner

BUSY_TURN_MS = 50
IDLE_TURN_MS = 250
BEAT_EVERY_MS = 1_000
BEATS_IN_A_LEASE = 4
FROZEN_MS = 2_000
"""After so long a pause this process was stopped itself, and knows nothing about others until they have beaten."""
LOOK_FOR_DEAD_MS = 250
LOOK_FOR_CANCELS_MS = 250
WRITE_DOWN_MS = 250
"""Between two commits of what running jobs say, for all of them together."""
TEND_EVERY_MS = 5_000
PRUNE_EVERY_MS = 5_000
PRUNED_AT_ONCE = 500
PRUNE_METRICS_EVERY_MS = 3_600_000
KEEP_METRICS_MS = 30 * 24 * 3_600_000

log = logging.getLogger("liteq.worker")


class Tender:
    """Does what must happen beside the jobs. Small steps, none of which holds the file for long."""

    def __init__(
        self,
        desk: Desk,
        runner: Runner,
        bench: Bench | None,
        limits: Limits,
        *,
        lease_ms: int | None,
        leash: Leash | None,
        retention_ms: int | None,
        stop_coroutine: Callable[..., None] | None,
    ) -> None:
        self._desk = desk
        self._limits = limits
        self._lease_ms = lease_ms
        self._leash = leash
        self._beat_every_ms = BEAT_EVERY_MS if lease_ms is None else min(BEAT_EVERY_MS, lease_ms // BEATS_IN_A_LEASE)
        self._beaten_at = desk.clock.monotonic_ms()
        self._turned_at = self._beaten_at
        self._runner = runner
        self._bench = bench
        self._retention_ms = retention_ms
        self._stop_coroutine = stop_coroutine
        self._over = threading.Event()
        self._due: dict[str, int] = {}
        self._told = False
        self._thread = threading.Thread(target=self._run, name="liteq-tender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End and wait for the present step."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait((BUSY_TURN_MS if self._runner.runs else IDLE_TURN_MS) / 1000):
            try:
                self._turn()
            except (Busy, DiskFull) as error:
                log.warning("upkeep has to wait: %s", error)
            except Exception:
                # This thread also beats and takes from the dead: it must outlive whatever one step meets.
                log.exception("upkeep failed; the jobs go on")

    def _turn(self) -> None:
        if self._desk.stopping and not self._told:
            self._told = True
            log.info("stopping: running jobs may finish; a second signal gives them back")
        self._limits.enforce()
        if self._leash is not None and not self._desk.stopping and self._leash.is_cut():
            self._leave_orphaned()
        if self._bench is not None:
            self._bench.mind()
        if self._runner.runs and self._is_due("words", WRITE_DOWN_MS):
            self._desk.scribe.write(list(self._runner.runs.values()))
        if self._is_due("beat", self._beat_every_ms):
            self._beat()
        if self._runner.runs and self._is_due("cancels", LOOK_FOR_CANCELS_MS):
            self._pass_on_cancels()
        if self._is_due("dead", LOOK_FOR_DEAD_MS):
            self._take_from_dead()
        if self._runner.runs or self._is_due("tend", TEND_EVERY_MS):
            self._desk.engine.tend()
        if self._retention_ms is not None and self._is_due("prune", PRUNE_EVERY_MS):
            self._prune(self._retention_ms)

    def _is_due(self, what: str, every_ms: int) -> bool:
        now = self._desk.clock.monotonic_ms()
        if now < self._due.get(what, 0):
            return False
        self._due[what] = now + every_ms
        return True

    def _beat(self) -> None:
        now = self._desk.clock.monotonic_ms()
        self._desk.slate.beat(now, done=self._desk.done(), stopping=self._desk.stopping)
        if self._lease_ms is not None and now - self._beaten_at > self._lease_ms:
            self._find_lost()
        self._beaten_at = now
        if not self._desk.slate.intact() and not self._desk.stopping:
            log.error("the worker's lock file was removed or replaced; it claims nothing more")
            self._desk.stopping = True

    def _find_lost(self) -> None:
        """Tell tasks whose jobs were taken while this process was stopped; they see it by ``ctx.lost``."""
        runs = list(self._runner.runs.values())
        lost = {(claim.job_id, claim.attempt) for claim in self._desk.engine.lost_claims([run.claim for run in runs])}
        for run in runs:
            if (run.claim.job_id, run.claim.attempt) in lost:
                log.warning("job %d was taken from this worker, which had no beat", run.claim.job_id)
                run.lost = True
                if self._stop_coroutine is not None:
                    self._stop_coroutine(run)

    def _leave_orphaned(self) -> None:
        log.error("the supervisor is gone; running jobs may finish, then this worker ends")
        self._desk.stopping = True
        if self._bench is not None:
            self._bench.end()

    def _pass_on_cancels(self) -> None:
        asked = self._desk.engine.cancels_asked(worker_id=self._desk.slate.worker_id)
        for run in list(self._runner.runs.values()):
            hard = asked.get(run.claim.job_id)
            if hard:
                self._limits.harden(run)
            if hard is not None and not run.asked_to_stop:
                run.asked_to_stop = True
                if self._stop_coroutine is not None:
                    self._stop_coroutine(run)

    def _take_from_dead(self) -> None:
        monotonic = self._desk.clock.monotonic_ms()
        frozen = monotonic - self._turned_at > FROZEN_MS
        self._turned_at = monotonic
        for taken in self._desk.engine.expire(now=self._desk.clock.now_ms(), monotonic=None if frozen else monotonic):
            facts = {"job_id": taken.job_id, "attempt": taken.attempt, "charged": taken.charged}
            log.warning("took job %d from a dead worker: %s", taken.job_id, taken.cause, extra=facts)

    def _prune(self, retention_ms: int) -> None:
        before = self._desk.clock.now_ms() - retention_ms
        pruned = self._desk.engine.prune(finished_before=before, limit=PRUNED_AT_ONCE)
        if pruned:
            log.debug("pruned %d finished jobs", pruned)
        self._desk.engine.prune_ticks(decided_before=before, limit=PRUNED_AT_ONCE)
        if self._is_due("metrics", PRUNE_METRICS_EVERY_MS):
            oldest = self._desk.clock.now_ms() - KEEP_METRICS_MS
            self._desk.engine.prune_metrics(before_minute=oldest // 60_000)
