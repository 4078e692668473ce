"""The side thread of a worker: minds what waits too long, passes on cancels, takes from the dead, tidies."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from liteq.errors import Busy, DiskFull
from liteq.worker.bench import Bench
from liteq.worker.breakers import BreakerLog
from liteq.worker.deafness import hear_no_signals
from liteq.worker.desk import Desk
from liteq.worker.hearing import Hearing
from liteq.worker.leash import Leash
from liteq.worker.limits import Limits
from liteq.worker.pulse import Pulse
from liteq.worker.runner import Runner

if TYPE_CHECKING:
    from liteq.worker.coroutines import CoroutineSlots  # for its name alone: it is loaded where it is needed

BUSY_TURN_MS = 50
IDLE_TURN_MS = 500
LOOK_AROUND_EVERY_MS = 1_000
FROZEN_MS = 500
"""Woken so much too late, this process was stopped itself, and knows nothing about others until they have beaten."""
PATIENCE_MS = 2_000
LOOK_FOR_CANCELS_MS = 250
LOOK_AT_BREAKERS_MS = 250
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
        hearing: Hearing,
        breakers: BreakerLog,
        coroutines: "CoroutineSlots | None",
    ) -> None:
        self._desk = desk
        self._limits = limits
        self._lease_ms = lease_ms
        self._leash = leash
        self._pulse = Pulse(desk, lease_ms=lease_ms)
        self._looked_around_at = desk.clock.monotonic_ms()
        self._patient_until = 0
        self._deaths = desk.engine.watch_deaths()
        self._runner = runner
        self._bench = bench
        self._retention_ms = retention_ms
        self._breakers = breakers
        self._hearing = hearing
        self._coroutines = coroutines
        self._over = False
        self._due: dict[str, int] = {}
        self._told = False
        self._thread = threading.Thread(target=self._run, name="liteq-tender", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._pulse.start()

    def look_for_dead(self) -> None:
        """Take from the dead at once. Before the start."""
        self._outlive(self._take_from_dead)

    def stop(self) -> None:
        """End and wait for the present step."""
        self._over = True
        self._deaths.wake()
        self._thread.join()
        self._deaths.close()
        self._pulse.stop()

    def _run(self) -> None:
        hear_no_signals()
        while True:
            self._outlive(self._wait_and_turn)
            if self._over:
                # What the last reports led to is told too.
                self._outlive(self._breakers.look)
                return

    def _outlive(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (Busy, DiskFull) as error:
            log.warning("upkeep has to wait: %s", error)
        except Exception:
            # This thread also takes from the dead: it must outlive whatever one step meets.
            log.exception("upkeep failed; the jobs go on")
            time.sleep(IDLE_TURN_MS / 1000)

    def _wait_and_turn(self) -> None:
        if self._rest():
            self._due.pop("dead", None)
        if not self._over:
            self._pulse.note_turn()
            self._turn()

    def _rest(self) -> bool:
        """Wait for the next turn; tell whether somebody may have died."""
        # Once it was heard, a line that has ended could be read for ever.
        line = None if self._leash is None or self._desk.stopping else self._leash.fileno()
        timeout_ms = BUSY_TURN_MS if self._runner.runs else min(IDLE_TURN_MS, self._deaths.look_again_ms())
        end = self._desk.clock.monotonic_ms() + timeout_ms
        died = self._deaths.wait(timeout_ms, also=line)
        now = self._desk.clock.monotonic_ms()
        if now - end > FROZEN_MS:
            self._patient_until = now + PATIENCE_MS
        return died

    def _turn(self) -> None:
        self._hearing.listen()
        if self._desk.stopping and not self._told:
            self._told = True
            log.info("stopping: running jobs may finish; a second signal gives them back")
        if self._runner.runs:
            self._mind_runs()
        if self._leash is not None and not self._desk.stopping and (wish := self._leash.hear()) is not None:
            self._leave(wish)
        self._mind_claims()
        if self._is_due("around", LOOK_AROUND_EVERY_MS):
            self._look_around()
        if self._is_due("dead", self._deaths.look_again_ms()):
            self._take_from_dead()
        if self._is_due("breakers", LOOK_AT_BREAKERS_MS):
            self._breakers.look()
        if self._runner.runs or self._is_due("tend", TEND_EVERY_MS):
            self._desk.engine.tend()
        if self._retention_ms is not None and self._is_due("prune", PRUNE_EVERY_MS):
            self._prune(self._retention_ms)

    def _mind_runs(self) -> None:
        """See to what runs: its time, its words, and who asks it to stop."""
        self._limits.enforce()
        if self._is_due("words", WRITE_DOWN_MS):
            self._desk.scribe.write(list(self._runner.runs.values()))
        if self._is_due("cancels", LOOK_FOR_CANCELS_MS):
            self._pass_on_cancels()

    def _mind_claims(self) -> None:
        """See to what was claimed ahead and does not start."""
        if self._bench is not None:
            self._bench.mind()
        if self._coroutines is not None:
            self._coroutines.mind()

    def _is_due(self, what: str, every_ms: int) -> bool:
        now = self._desk.clock.monotonic_ms()
        if now < self._due.get(what, 0):
            return False
        self._due[what] = now + every_ms
        return True

    def _look_around(self) -> None:
        """See whether this worker is still one to the others, and has what it had."""
        now = self._desk.clock.monotonic_ms()
        if self._lease_ms is not None and now - self._looked_around_at > self._lease_ms:
            self._find_lost()
        self._looked_around_at = now
        if self._desk.stopping:
            return
        if not self._desk.engine.intact():
            self._stop_claiming("the file was deleted, renamed or replaced while open")
        elif not self._desk.slate.intact():
            self._stop_claiming("the worker's lock file was removed or replaced")

    def _stop_claiming(self, why: str) -> None:
        log.error("%s; this worker claims nothing more", why)
        self._desk.stopping = self._told = True
        if self._bench is not None:
            self._bench.end()

    def _find_lost(self) -> None:
        """Tell tasks whose jobs were taken while this process was stopped; they see it by ``ctx.lost``."""
        runs = list(self._runner.runs.values())
        lost = {(claim.job_id, claim.attempt) for claim in self._desk.engine.lost_claims([run.claim for run in runs])}
        for run in runs:
            if (run.claim.job_id, run.claim.attempt) in lost:
                log.warning("job %d was taken from this worker, which had no beat", run.claim.job_id)
                run.lost = True
                if self._coroutines is not None:
                    self._coroutines.stop_asked(run)

    def _leave(self, wish: str) -> None:
        if wish == "gone":
            log.error("the supervisor is gone; running jobs may finish, then this worker ends")
        self._desk.stopping = self._told = True
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
                if self._coroutines is not None:
                    self._coroutines.stop_asked(run)

    def _take_from_dead(self) -> None:
        monotonic = self._desk.clock.monotonic_ms()
        judging = None if monotonic < self._patient_until else monotonic
        for taken in self._desk.engine.expire(now=self._desk.clock.now_ms(), monotonic=judging):
            self._desk.note_poison(taken)
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
