"""Fires schedules beside the jobs: wakes at the next tick, and at least once a second."""

import logging
import threading
from collections.abc import Callable, Sequence

from liteq.errors import Busy, DiskFull, LiteqError
from liteq.scheduler import FireResult, Scheduler
from liteq.worker.deafness import hear_no_signals

LONGEST_SLEEP_MS = 1_000
"""Covers a machine that slept, a clock that was set, and schedules that others have stored meanwhile."""
AFTER_TROUBLE_MS = 250

log = logging.getLogger("liteq.scheduler")


class SchedulerLoop:
    """Fires what is due until it is stopped, in a thread of its own or in the one that calls ``run``."""

    def __init__(self, scheduler: Scheduler, *, tell: Callable[[Sequence[FireResult]], None] | None = None) -> None:
        self._scheduler = scheduler
        self._tell = tell or _log_fired
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run_in_thread, name="liteq-scheduler", daemon=True)

    def start(self) -> None:
        """Fire what is due now, then go on in a thread."""
        self.turn()
        self._thread.start()

    def stop(self) -> None:
        """End after the present pass, and wait for that."""
        self.end()
        if self._thread.ident is not None:
            self._thread.join()

    def end(self) -> None:
        """End after the present pass. Signal handlers may call it."""
        self._over.set()

    def _run_in_thread(self) -> None:
        hear_no_signals()
        self.run()

    def run(self) -> None:
        """Fire until stopped."""
        self._prewarm()
        while not self._over.is_set():
            wait_ms = self.turn()
            self._over.wait(wait_ms / 1000)

    def _prewarm(self) -> None:
        try:
            self._scheduler.prewarm(stopping=self._over.is_set)
        except LiteqError as error:
            log.warning("expressions are compiled when they are due: %s", error)

    def turn(self) -> int:
        """Make one pass, and give how long the next may wait, in milliseconds."""
        try:
            fired = self._scheduler.fire_due()
            self._tell(fired)
            return self._scheduler.idle_ms(LONGEST_SLEEP_MS)
        except (Busy, DiskFull) as error:
            log.warning("schedules have to wait: %s", error)
        except Exception:
            # What one pass meets must not end firing: the ticks stay due.
            log.exception("a pass over the schedules failed; what is due stays due")
        return AFTER_TROUBLE_MS


def _log_fired(fired: Sequence[FireResult]) -> None:
    for one in fired:
        facts = {"schedule": one.schedule, "job_id": one.job_id}
        if one.success:
            log.debug("schedule %s fired: job %s", one.schedule, one.job_id, extra=facts)
