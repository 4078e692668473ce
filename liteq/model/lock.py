"""The values about named locks that cross the engine's wall."""

import msgspec


class LockWish(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that is wanted, and by whom; ``what`` is for people, job and attempt where it is one of those."""

    name: str
    what: str
    job_id: int | None = None
    attempt: int | None = None


class LockAnswer(msgspec.Struct, frozen=True):
    """The token of the lock if it was taken, else None; ``ahead`` counts who waits before the asker."""

    token: int | None
    ahead: int = 0


class LockRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that is held: by which process, for what, since when, and how many wait for it.

    ``alive`` is false for a holder that is proved dead: whoever wants the lock next takes it. ``here`` tells whether
    the pid means that process here too: same boot, same namespace of pids.
    """

    name: str
    token: int
    pid: int
    what: str
    taken_at: int
    job_id: int | None
    attempt: int | None
    waiting: int
    alive: bool
    here: bool
