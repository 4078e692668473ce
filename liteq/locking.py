"""The part of an app that gives named locks."""

from datetime import timedelta

from liteq.lock import Lock, Locks


class Locking:
    """The part of ``Liteq`` that knows locks."""

    locks: Locks

    def lock(self, name: str, *, timeout: timedelta | float | None = None) -> Lock:
        """Give a named lock for ``with`` or ``async with``: one holder at a time, whatever process it is in.

        Its holder's death frees it. ``timeout`` None waits for ever, 0 tries once; LockTimeout names who holds it.
        """
        return self.locks.lock(name, timeout=timeout)
