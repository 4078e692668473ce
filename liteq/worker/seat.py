"""One of the places that a supervisor keeps filled: who sits there, or when the next may be started."""

from liteq.worker.child import Child

FIRST_WAIT_MS = 250
LONGEST_WAIT_MS = 30_000
LONG_LIFE_MS = 10_000
"""Who lived for so long did not fail at the start, and its successor need not wait."""


class Seat:
    """A place for one worker process. The first successor follows at once; quick deaths in a row wait twice as long."""

    def __init__(self, number: int, *, start_at: int | None) -> None:
        self.number = number
        self.child: Child | None = None
        self.start_at = start_at
        """When to fill it, None while it is filled or once it is given up."""
        self.given_up = start_at is None
        self._deaths = 0

    @property
    def is_wanted(self) -> bool:
        """Whether somebody sits here or is to."""
        return self.child is not None or self.start_at is not None

    def is_due(self, now: int) -> bool:
        return self.child is None and self.start_at is not None and now >= self.start_at

    def fill(self, child: Child) -> None:
        self.child, self.start_at = child, None

    def give_up(self) -> None:
        """Nobody is to sit here any more; who does may come to its end."""
        self.start_at = None
        self.given_up = True

    def refill(self, now: int) -> None:
        """Fill it again at once: whoever left did so in order."""
        self._deaths = 0
        self.start_at = now
        self.given_up = False

    def refill_later(self, now: int, *, lived_ms: int) -> int:
        """Fill it again after a death; give the wait in milliseconds."""
        self._deaths = 1 if lived_ms >= LONG_LIFE_MS else self._deaths + 1
        wait = 0 if self._deaths == 1 else min(LONGEST_WAIT_MS, FIRST_WAIT_MS << min(self._deaths - 2, 20))
        self.start_at = now + wait
        return wait
