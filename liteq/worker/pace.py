"""How many jobs to claim at once: short ones fly in large batches, long ones spread over workers."""

from collections.abc import Sequence

from liteq.model.job import Claim

WORK_AHEAD_S = 0.010
MOST_AHEAD_S = 0.040
"""Less than the time after which jobs that wait behind a long one are given back."""
WORK_PER_EXCHANGE = 32
"""So many times as long a slot should work as it stands still for a commit, which costs it 3 % then. Where a sync takes
milliseconds, the limit above is reached."""
LARGEST_BATCH = 256
HELD_BYTES = 4 * 1024 * 1024
"""So much of arguments a batch may hold, as far as those before it tell."""
GROWTH = 8
"""How much larger a batch may be than the one before: a few quick jobs promise little about the next hundred."""


class Pace:
    """Follows the measured length of jobs and of exchanges, and says how many jobs are enough work for each slot."""

    def __init__(self) -> None:
        self._mean_s: float | None = None
        self._exchange_s = 0.0
        self._mean_bytes = 0.0
        self._last = 1

    def note(self, jobs: int, seconds: float) -> None:
        """Take in that so many jobs took so long together. One long job counts at once, short ones by and by."""
        mean = seconds / jobs
        if self._mean_s is None or mean > self._mean_s:
            self._mean_s = mean
        else:
            self._mean_s = 0.5 * self._mean_s + 0.5 * mean

    def note_exchange(self, seconds: float) -> None:
        """Take in how long it took to report jobs and to claim others; one that hung for once counts for little."""
        self._exchange_s = 0.8 * self._exchange_s + 0.2 * min(seconds, MOST_AHEAD_S)

    def note_sizes(self, claims: Sequence[Claim]) -> None:
        """Take in how large claimed arguments were. Large ones count at once, small ones by and by."""
        mean = sum([len(claim.args) for claim in claims]) / len(claims)
        self._mean_bytes = max(mean, 0.5 * self._mean_bytes + 0.5 * mean)

    def batch(self, slots: int) -> int:
        """Give how many jobs to claim for so many slots."""
        ahead = min(max(WORK_AHEAD_S, WORK_PER_EXCHANGE * self._exchange_s), MOST_AHEAD_S)
        wanted = slots if self._mean_s is None else int(slots * ahead / max(self._mean_s, 1e-6))
        self._last = max(slots, min(wanted, self._most(), self._last * GROWTH))
        return self._last

    def ahead(self, slots: int) -> int:
        """Give how many jobs so many busy slots will start within the next ten milliseconds, as far as is known."""
        wanted = 0 if self._mean_s is None else int(slots * WORK_AHEAD_S / max(self._mean_s, 1e-6))
        self._last = max(1, min(wanted, self._most(), self._last * GROWTH))
        return min(wanted, self._last)

    def _most(self) -> int:
        return min(LARGEST_BATCH, int(HELD_BYTES / max(self._mean_bytes, 1)))
