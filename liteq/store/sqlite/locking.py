"""Named locks: who holds which, who waits in which order, and what becomes of the locks of the dead.

A holder is one open engine. Its life lock is taken with its first named lock and falls with its process.
"""

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from liteq.errors import LiteqError
from liteq.model.lock import LockAnswer, LockRecord, LockWish
from liteq.store.sqlite.connection import Row
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.platform import boot_id
from liteq.store.sqlite.processes import pid_namespace
from liteq.store.sqlite.slate import LifeLock, WorkerIdentity

KIND = "holder"
AT_ONCE = 500
TURN_MS = 500
"""For so long a free lock is kept for the first in line, then for the second as well, and so on."""
BEHIND_ALL = 2**63 - 1


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """What stands between an asker and the lock. ``dead`` is a holder or the first in line, proved dead."""

    free: bool
    ahead: int
    dead: WorkerIdentity | None = None


class Locking:
    """The verbs about named locks."""

    file: JobFile
    holder_lives: dict[int, LifeLock]
    """This engine's own lives: the latest is for new locks; more only where a cleaner has removed one's file."""

    def take_lock(self, wish: LockWish, *, place: int | None = None, now: int) -> LockAnswer:
        look = self._look(wish.name, place, now)
        while look.dead is not None:
            self._bury_holder(look.dead.worker_id, now)
            look = self._look(wish.name, place, now)
        if not look.free:
            return LockAnswer(None, look.ahead)
        holder_id = self._enrolled(now)
        # Synced if the file is: a token that was told to other systems may not be given out again after a power cut.
        with self.file.writer.transaction():
            look = self._look(wish.name, place, now)
            if not look.free or not self._is_enrolled(holder_id):
                return LockAnswer(None, look.ahead)
            token = self.file.writer.connection.rows("take_lock", _taking(wish, holder_id, now))[0][0]
            if place is not None:
                self.file.writer.connection.rows("leave_line", {"place": place})
        return LockAnswer(token)

    def join_line(self, wish: LockWish, *, now: int) -> int:
        holder_id = self._enrolled(now)
        return int(self._write("join_line", {"name": wish.name, "holder_id": holder_id})[0][0])

    def leave_line(self, place: int) -> None:
        with self.file.writer.transaction(durable=False):
            self.file.writer.connection.rows("leave_line", {"place": place})

    def release_lock(self, name: str, *, token: int, now: int) -> bool:
        return bool(self._write("release_lock", {"name": name, "token": token, "now": now}))

    def release_locks_of(self, *, job_id: int, attempt: int, now: int) -> list[str]:
        who = {"job_id": job_id, "attempt": attempt}
        if not self.file.read("locks_of_job", who):
            return []
        return [row[0] for row in self._write("free_locks_of_job", who | {"now": now})]

    def break_lock(self, name: str, *, now: int) -> bool:
        return bool(self._write("break_lock", {"name": name, "now": now}))

    def holds_lock(self, name: str, *, token: int) -> bool:
        values = {"name": name, "token": token}
        return any(self.file.read("holds_lock", values | {"holder_id": one}) for one in list(self.holder_lives))

    def get_lock(self, name: str) -> LockRecord | None:
        found = self.file.read("get_lock", {"name": name})
        return self._lock_record(found[0]) if found else None

    def list_locks(self, *, limit: int, after: str = "") -> list[LockRecord]:
        return [self._lock_record(row) for row in self.file.read("list_locks", {"after": after, "limit": limit})]

    def sign_off(self) -> None:
        """Be a holder no more: what is still held falls to whoever wants it next, as after a death."""
        for holder_id, life in list(self.holder_lives.items()):
            struck: Sequence[Row] = ()
            if not self.file.writer.holds():
                # On a disk that takes no write the lock that is let go says it all.
                with suppress(LiteqError):
                    struck = self._write("strike_idle_holder", {"holder_id": holder_id})
            life.release(remove=bool(struck))
        self.holder_lives.clear()

    def _write(self, name: str, values: dict[str, Any]) -> list[Row]:
        with self.file.writer.transaction(durable=False):
            return self.file.writer.connection.rows(name, values)

    def _look(self, name: str, place: int | None, now: int) -> _Look:
        values = {"name": name, "place": BEHIND_ALL if place is None else place}
        ahead: int = self.file.read("line_ahead", values)[0][0]
        state = self.file.read("lock_state", {"name": name})
        freed_at, *holder = state[0] if state else (None, None)
        if holder[0] is not None:
            return _Look(free=False, ahead=ahead, dead=self._if_dead(holder))
        # ``now`` may be a moment older than the release. A clock that was set back further makes nobody wait for it.
        if ahead == 0 or freed_at is None or not freed_at - TURN_MS < now < freed_at + ahead * TURN_MS:
            return _Look(free=True, ahead=ahead)
        first = self.file.read("first_in_line", {"name": name})
        return _Look(free=False, ahead=ahead, dead=self._if_dead(first[0]) if first else None)

    def _if_dead(self, row: Sequence[Any]) -> WorkerIdentity | None:
        identity = _identity(row)
        is_own = identity.worker_id in self.holder_lives
        return identity if not is_own and self.file.sidecar.is_dead(identity) else None

    def _enrolled(self, now: int) -> int:
        """Give the id under which this engine holds locks; with its first lock it gets one."""
        for holder_id, life in reversed(list(self.holder_lives.items())):
            if life.intact() and self._is_enrolled(holder_id):
                return holder_id
        for row in self.file.read("holders"):
            dead = self._if_dead(row)
            if dead is not None:
                self._bury_holder(dead.worker_id, now)
        return self._enrol()

    def _is_enrolled(self, holder_id: int) -> bool:
        return bool(self.file.read("has_holder", {"holder_id": holder_id}))

    def _enrol(self) -> int:
        # Drawn, not counted: a number that a rollback takes back would be given out again while its file is held here.
        life = self.file.sidecar.hold_life(random.SystemRandom().getrandbits(62), kind=KIND)
        identity = life.identity()
        values = {
            "holder_id": identity.worker_id,
            "pid": identity.pid,
            "pid_start": identity.pid_start,
            "boot_id": identity.boot_id,
            "pid_namespace": identity.pid_namespace,
            "life_ino": identity.life_ino,
        }
        try:
            self._write("enrol_holder", values)
        except BaseException:
            life.release(remove=True)
            raise
        self.holder_lives[identity.worker_id] = life
        return identity.worker_id

    def _bury_holder(self, holder_id: int, now: int) -> None:
        while True:
            with self.file.writer.transaction(durable=False):
                connection = self.file.writer.connection
                who = {"holder_id": holder_id}
                freed = connection.rows("free_locks_of_holder", who | {"now": now, "limit": AT_ONCE})
                if len(freed) < AT_ONCE:
                    connection.rows("leave_lines_of_holder", who)
                    connection.rows("strike_holder", who)
            if len(freed) < AT_ONCE:
                break
        self.file.sidecar.forget(holder_id, kind=KIND)

    def _lock_record(self, row: Row) -> LockRecord:
        name, token, what, taken_at, job_id, attempt, waiting, *holder = row
        identity = _identity(holder)
        return LockRecord(
            name=name,
            token=token,
            pid=identity.pid,
            what=what,
            taken_at=taken_at,
            job_id=job_id,
            attempt=attempt,
            waiting=waiting,
            alive=self._if_dead(holder) is None,
            here=identity.boot_id == boot_id() and identity.pid_namespace == pid_namespace(),
        )


def _identity(row: Sequence[Any]) -> WorkerIdentity:
    holder_id, pid, pid_start, boot, namespace, life_ino = row
    return WorkerIdentity(holder_id, pid, pid_start, boot, namespace, life_ino, KIND)


def _taking(wish: LockWish, holder_id: int, now: int) -> dict[str, Any]:
    return {
        "name": wish.name,
        "holder_id": holder_id,
        "job_id": wish.job_id,
        "attempt": wish.attempt,
        "what": wish.what,
        "now": now,
    }
