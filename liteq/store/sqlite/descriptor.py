"""One open file of ours in the folder of locks: its flock, and its end in a forked child. Never its content."""

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from liteq.errors import StorageError, UnsafePath
from liteq.store.sqlite.platform import storage_error

NOW_OR_NEVER = fcntl.LOCK_EX | fcntl.LOCK_NB


class Descriptor:
    """One descriptor with the flock on it. A forked child closes its copy and keeps the number -1."""

    __slots__ = ("dev", "fd", "ino")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        # Held strongly: a copy in a child would keep the lock although its owner here was forgotten.
        _open_here.add(self)
        found = os.fstat(fd)
        self.dev, self.ino = found.st_dev, found.st_ino

    def lock(self, operation: int) -> bool:
        if self.fd < 0:
            return False
        try:
            fcntl.flock(self.fd, operation)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StorageError(f"the filesystem refuses a file lock: {error.strerror}") from None
        return True

    def unlock(self) -> None:
        if self.fd >= 0:
            try:  # noqa: SIM105  suppress costs as much as the unlock, and one follows each commit
                fcntl.flock(self.fd, fcntl.LOCK_UN)
            except OSError:
                pass  # a task that closed every descriptor of the process took the lock with them

    def is_at(self, path: Path) -> bool:
        try:
            found = path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.dev, self.ino)

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            _open_here.discard(self)
            # Closing alone would leave the lock to a child that another thread is forking at this moment.
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)
            with suppress(OSError):
                os.close(fd)


_open_here: set[Descriptor] = set()


def _close_in_child() -> None:
    for descriptor in _open_here:
        # Never LOCK_UN here: the lock is shared with the parent, and would be the parent's no more.
        with suppress(OSError):
            os.close(descriptor.fd)
        descriptor.fd = -1
    _open_here.clear()


os.register_at_fork(after_in_child=_close_in_child)


def open_private(folder: Descriptor, name: str, flags: int = 0) -> Descriptor:
    """Open a regular file of ours. Whether it exists the caller asks: those two errors come as they are."""
    flags |= os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        file = Descriptor(os.open(name, flags, 0o600, dir_fd=folder.fd))
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise storage_error(error, Path(name)) from None
    found = os.fstat(file.fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        file.close()
        raise UnsafePath(f"{name!r} in the folder of locks is not a regular file of this user")
    return file
