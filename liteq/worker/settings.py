"""How a worker is to work, and what it gives when it has: values, without a thread or a process."""

from collections.abc import Mapping

import msgspec

from liteq.errors import InvalidOption

SHORTEST_LEASE_MS = 1_000


class WorkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker works. None for ``queues`` means all; ``grace_ms`` is what running jobs get when it has to stop;
    ``scheduler``: it fires schedules too. ``lease_ms``: without a beat for so long it counts as hung. ``kill_after_ms``
    is what a task gets to stop after its time limit; then, if the process is ``owned``, it ends for it.
    """

    queues: tuple[str, ...] | None = None
    threads: int = 1
    coroutines: int = 100
    burst: bool = False
    max_jobs: int | None = None
    retention_ms: int | None = None
    grace_ms: int = 30_000
    scheduler: bool = True
    lease_ms: int | None = None
    kill_after_ms: int = 5_000
    owned: bool = False


def check_lease(lease_ms: int) -> int:
    """Give the lease back. Raises InvalidOption for one too short to beat within."""
    if lease_ms < SHORTEST_LEASE_MS:
        raise InvalidOption(f"a lease must last at least {SHORTEST_LEASE_MS / 1000:g} s, not {lease_ms / 1000:g} s")
    return lease_ms


class WorkResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker did: how many jobs ended in each way, and how many reports came too late."""

    completed: int
    retried: int
    dead: int
    snoozed: int
    released: int
    aborted: int
    late: int


def result_of(counts: Mapping[str, int]) -> WorkResult:
    """Give what a worker did, of the number of reports of each kind."""
    return WorkResult(
        completed=counts["complete"],
        retried=counts["retry"],
        dead=counts["dead_letter"] + counts["poison"],
        snoozed=counts["snooze"],
        released=counts["release"],
        aborted=counts["abort"],
        late=counts["late"],
    )
