"""Waits for the deaths of other workers. Whether somebody is dead is not judged here: ``expire`` does that."""

from collections.abc import Callable

import msgspec

from liteq.store.sqlite.processes import ProcessWatch

LOOK_EVERY_MS = 1_000
LEASED_MS = 500
"""How often to look where somebody alive may have to be judged by its beats."""
HALF_BLIND_MS = 250
"""How often to look where not every death would be told."""
LONGEST_MS = 10_000
PROBES_A_MS = 2
"""So many workers look at each other: in a large crowd each one looks less often."""


class Neighbours(msgspec.Struct, frozen=True):
    """The living others as they were last seen: whose end is to be waited for (pid and start), and how many there are.

    ``hidden``: at least one lives where its pid means nothing here. ``leased``: one has a lease, and no supervisor.
    """

    processes: dict[int, int] = {}
    count: int = 0
    hidden: bool = False
    leased: bool = False


class DeathWatch:
    """One waiter's view of the others. Those with a supervisor of their own are left to it."""

    def __init__(self, neighbours: Callable[[], Neighbours]) -> None:
        self._neighbours = neighbours
        self._watch = ProcessWatch()

    def wait(self, timeout_ms: int, *, also: int | None = None) -> bool:
        self._watch.follow(self._neighbours().processes)
        return self._watch.wait(timeout_ms, also=also)

    def look_again_ms(self) -> int:
        neighbours = self._neighbours()
        crowded = min(PROBES_A_MS * neighbours.count**2, LONGEST_MS)
        if neighbours.hidden or not self._watch.sees_all:
            return max(HALF_BLIND_MS, crowded)
        return max(LEASED_MS if neighbours.leased else LOOK_EVERY_MS, crowded)

    def wake(self) -> None:
        self._watch.wake()

    def close(self) -> None:
        self._watch.close()
