"""Waits while there is nothing to do, without looking for jobs that cannot be there."""

from collections.abc import Callable

from liteq.store.engine import Watch
from liteq.worker.desk import Desk

LONGEST_STEP_MS = 1_000
"""So often it is seen whether the wish to stop has come, and whether the clock was set."""
CLOCK_SET_BACK_MS = 500
"""By so much a clock that was set back differs from one that is slow."""


class Lull:
    """One waiter's rest between two looks for jobs: until somebody commits or calls, or a job is due."""

    def __init__(self, desk: Desk, watch: Watch, *, burst: bool) -> None:
        self._desk = desk
        self._watch = watch
        # In a burst others' jobs are waited for, whose end may be the burst's; and where jobs are counted, a look may
        # have found none because others had reserved them.
        self._short = burst or desk.counts_jobs
        self._looked_at = (0, 0)
        """When the latest look for jobs began, by the wall clock and by the monotonic one."""

    def note_look(self) -> None:
        """Take in that a look for jobs begins."""
        self._looked_at = (self._desk.clock.now_ms(), self._desk.clock.monotonic_ms())

    def wait(self, over: Callable[[], bool]) -> None:
        """Wait until another look may find what the latest did not, or it is over, which is asked after a wake-up."""
        # As of the look: what has come due since then would be asked for in vain.
        due_at = self._desk.next_due(self._looked_at[0])
        while not over():
            left = LONGEST_STEP_MS if due_at is None else due_at - self._desk.clock.now_ms()
            if left <= 0 or self._watch.wait(min(left, LONGEST_STEP_MS)) or self._short or self._clock_was_set_back():
                return

    def _clock_was_set_back(self) -> bool:
        """Tell whether what was near at the latest look is far away now: tokens and breakers do not wait for that."""
        wall, monotonic = self._looked_at
        clock = self._desk.clock
        return clock.monotonic_ms() - monotonic - (clock.now_ms() - wall) > CLOCK_SET_BACK_MS
