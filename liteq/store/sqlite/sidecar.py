"""The folder beside the database whose file locks say who lives, who is next to write, and what is running.

It holds nothing that is needed once every process has ended, and knows no SQL.
"""

import fcntl
import os
import stat
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from liteq.clock import SystemClock
from liteq.errors import Busy, FileMoved, StorageError, UnsafePath
from liteq.store.sqlite.descriptor import NOW_OR_NEVER, Descriptor, open_private
from liteq.store.sqlite.platform import boot_id, storage_error
from liteq.store.sqlite.processes import pid_namespace, process_start
from liteq.store.sqlite.slate import LifeLock, Slate, WorkerIdentity, life_file, slate_on
from liteq.store.sqlite.turnstile import Turnstile

_CLOCK = SystemClock()
_OPEN_LIMIT_MS = 5_000


def _process_is_gone(identity: WorkerIdentity) -> bool:
    if not identity.pid_start or identity.pid_namespace != pid_namespace():
        return False
    return process_start(identity.pid) != identity.pid_start


class _Opened(NamedTuple):
    folder: Descriptor
    presence: Descriptor
    turnstile: Turnstile


class Sidecar:
    """The folder ``NAME-liteq`` beside a database, one object per open engine. The last one removes it."""

    def __init__(self, database: Path) -> None:
        self.folder = database.with_name(f"{database.name}-liteq")
        self._opened: _Opened | None = None

    def open(self) -> None:
        """Make the folder if need be, and be present in it.

        ``UnsafePath`` when it is not a private folder of ours, ``ReadOnly`` or ``DiskFull`` when it cannot be
        made, ``Busy`` when another process takes more than 5 s to remove it.
        """
        deadline = _CLOCK.monotonic_ms() + _OPEN_LIMIT_MS
        while not self._try_open():
            if _CLOCK.monotonic_ms() > deadline:
                raise Busy(f"another process is removing {str(self.folder)!r} and does not come to an end")
            time.sleep(0.001)

    def close(self) -> None:
        """Leave; remove the folder when nobody else is present. Release life locks before. Twice is fine."""
        if self._opened is None:
            return
        folder, presence, turnstile = self._opened
        self._opened = None
        turnstile.close()
        if presence.lock(NOW_OR_NEVER) and presence.is_at(self.folder / "presence"):
            self._remove(folder)
        presence.close()
        folder.close()

    @property
    def turnstile(self) -> Turnstile:
        """The line in which the processes with this file open stand to write."""
        return self._here().turnstile

    def turnstile_intact(self) -> bool:
        """Give whether others still stand in this very line."""
        return self._opened is not None and self._opened.turnstile.intact()

    def hold_life(self, worker_id: int, *, kind: str = "worker", hears_stop: bool = False) -> LifeLock:
        """Take the lock that proves a new worker alive, or one of another kind. ``Busy`` when it lives already."""
        path = self.folder / life_file(kind, worker_id)
        file = self._create(path)
        with ExitStack() as undo:
            undo.callback(file.close)
            if not file.lock(NOW_OR_NEVER):
                raise Busy(f"another process locked {str(path)!r}")
            life = LifeLock(worker_id, file, path, kind, hears_stop=hears_stop)
            undo.pop_all()
        return life

    def read_slate(self, worker_id: int) -> Slate | None:
        """Give what a worker, living or dead, last wrote; None when there is nothing to read."""
        folder = self._here().folder
        try:
            file = open_private(folder, life_file("worker", worker_id))
        except (FileNotFoundError, StorageError):
            return None
        try:
            return slate_on(file.fd)
        except OSError:
            return None
        finally:
            file.close()

    def is_dead(self, identity: WorkerIdentity) -> bool:
        """Give True only when the worker's death is proved: nobody living is ever robbed."""
        if identity.boot_id != boot_id():
            return True
        try:
            file = open_private(self._here().folder, identity.file_name)
        except (FileNotFoundError, UnsafePath):
            return _process_is_gone(identity)
        try:
            if file.ino != identity.life_ino:
                return _process_is_gone(identity)
            # Shared, so that two who look at once do not take each other for the worker.
            return file.lock(fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            file.close()

    def forget(self, worker_id: int, *, kind: str = "worker") -> None:
        """Remove the file of a dead worker; a missing one is fine."""
        try:
            os.unlink(life_file(kind, worker_id), dir_fd=self._here().folder.fd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error, self.folder) from None

    def _try_open(self) -> bool:
        try:
            with ExitStack() as undo:
                folder = self._open_folder()
                undo.callback(folder.close)
                presence = open_private(folder, "presence", os.O_CREAT)
                undo.callback(presence.close)
                shared = presence.lock(fcntl.LOCK_SH | fcntl.LOCK_NB)
                if not shared or not presence.is_at(self.folder / "presence"):
                    return False
                turnstile = Turnstile(folder, self.folder / "turnstile")
                undo.pop_all()
        except FileNotFoundError:
            # The last one to leave removed the folder between two of these lines.
            return False
        self._opened = _Opened(folder, presence, turnstile)
        return True

    def _open_folder(self) -> Descriptor:
        try:
            self.folder.mkdir(0o700)
        except FileExistsError:
            pass  # somebody else's, or left: whose it is, is looked at below
        except OSError as error:
            raise storage_error(error, self.folder) from None
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            folder = Descriptor(os.open(self.folder, flags))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise storage_error(error, self.folder) from None
        found = os.fstat(folder.fd)
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            folder.close()
            raise UnsafePath(f"{str(self.folder)!r} is not a private folder of this user")
        return folder

    def _remove(self, folder: Descriptor) -> None:
        # The presence file goes last: who opened it meanwhile waits for its lock, finds it gone, starts over.
        for name in sorted(os.listdir(folder.fd), key="presence".__eq__):  # noqa: PTH208  Path takes no descriptor
            with suppress(OSError):
                os.unlink(name, dir_fd=folder.fd)
        # Not empty when somebody has come since, and then it is theirs.
        with suppress(OSError):
            self.folder.rmdir()

    def _create(self, path: Path) -> Descriptor:
        folder = self._here().folder
        for _ in range(2):
            try:
                return open_private(folder, path.name, os.O_CREAT | os.O_EXCL)
            except FileNotFoundError:
                raise FileMoved(f"{str(self.folder)!r} was removed while it was in use") from None
            except FileExistsError:
                # A power cut may take back the id in the database, but not the file.
                self._remove_dead(path)
        raise Busy(f"{str(path)!r} comes back as often as it is removed")

    def _remove_dead(self, path: Path) -> None:
        folder = self._here().folder
        with suppress(FileNotFoundError):
            file = open_private(folder, path.name)
            try:
                if not file.lock(NOW_OR_NEVER):
                    raise Busy(f"{str(path)!r} is held by a living worker")
                os.unlink(path.name, dir_fd=folder.fd)
            finally:
                file.close()

    def _here(self) -> _Opened:
        if self._opened is None or self._opened.folder.fd < 0:
            raise StorageError(f"{str(self.folder)!r} is not open in this process")
        return self._opened
