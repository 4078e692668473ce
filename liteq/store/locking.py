"""The part of the engine's wall about named locks."""

from typing import Protocol

from liteq.model.lock import LockAnswer, LockRecord, LockWish


class LockVerbs(Protocol):
    """Each name is held by at most one taker at a time, and its token rises by one with each taking, for ever.

    An engine holds locks until they are released, broken, or the engine is closed or its process ends: then others
    can prove it, and need nobody's word for it.
    """

    def take_lock(self, wish: LockWish, *, place: int | None = None, now: int) -> LockAnswer:
        """Take the lock if it is free and nobody has waited for longer; takes no write lock if not.

        Locks and places of dead holders are freed on the way. A turn that is not taken within half a second passes on,
        so that a waiter which is stopped keeps nobody from a free lock.
        """
        ...

    def join_line(self, wish: LockWish, *, now: int) -> int:
        """Wait for the lock behind all who wait already; give the place."""
        ...

    def leave_line(self, place: int) -> None:
        """Wait no more. Taking the lock leaves the line by itself."""
        ...

    def release_lock(self, name: str, *, token: int, now: int) -> bool:
        """Let go of the lock; false when it was lost before."""
        ...

    def release_locks_of(self, *, job_id: int, attempt: int, now: int) -> list[str]:
        """Let go of what an attempt still holds; give the names. Takes no write lock where that is nothing."""
        ...

    def break_lock(self, name: str, *, now: int) -> bool:
        """Free the lock whoever holds it; false when nobody does."""
        ...

    def holds_lock(self, name: str, *, token: int) -> bool:
        """Tell whether this engine holds the lock, still under that token."""
        ...

    def get_lock(self, name: str) -> LockRecord | None:
        """Give the lock if it is held."""
        ...

    def list_locks(self, *, limit: int, after: str = "") -> list[LockRecord]:
        """Give the locks that are held by name, at most ``limit``, only names behind ``after``."""
        ...
