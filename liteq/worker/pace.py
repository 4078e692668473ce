"""How many jobs to claim at once: short ones fly in large batches, long ones spread over workers."""

WORK_AHEAD_S = 0.010
LARGEST_BATCH = 256
GROWTH = 8
"""How much larger a batch may be than the one before: a few quick jobs promise little about the next hundred."""


class Pace:
    """Follows the measured length of jobs, and says how many are about ten milliseconds of work for each slot."""

    def __init__(self) -> None:
        self._mean_s: float | None = None
        self._last = 1

    def note(self, jobs: int, seconds: float) -> None:
        """Take in that so many jobs took so long together. One long job counts at once, short ones by and by."""
        mean = seconds / jobs
        if self._mean_s is None or mean > self._mean_s:
            self._mean_s = mean
        else:
            self._mean_s = 0.5 * self._mean_s + 0.5 * mean

    def batch(self, slots: int) -> int:
        """Give how many jobs to claim for so many slots."""
        wanted = slots if self._mean_s is None else int(slots * WORK_AHEAD_S / max(self._mean_s, 1e-6))
        self._last = max(slots, min(wanted, LARGEST_BATCH, self._last * GROWTH))
        return self._last

    def ahead(self, slots: int) -> int:
        """Give how many jobs so many busy slots will start within the next ten milliseconds, as far as is known."""
        wanted = 0 if self._mean_s is None else int(slots * WORK_AHEAD_S / max(self._mean_s, 1e-6))
        self._last = max(1, min(wanted, LARGEST_BATCH, self._last * GROWTH))
        return min(wanted, self._last)
