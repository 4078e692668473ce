"""The folder beside the database whose file locks say who lives, who is next to write, and what is running.

It holds nothing that is needed once every process has ended, and knows no SQL.
"""

import fcntl
import os
import stat
import struct
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from liteq.clock import SystemClock
from liteq.errors import Busy, FileMoved, StorageError, UnsafePath
from liteq.store.sqlite.platform import boot_id, pid_namespace, process_start, storage_error

_CLOCK = SystemClock()
_OPEN_LIMIT_MS = 5_000
_NO_LINE_MS = 5_000
_NOW_OR_NEVER = fcntl.LOCK_EX | fcntl.LOCK_NB

_MAGIC, _VERSION = b"lqsl", 1
_HEADER = struct.Struct("<4sIqq")  # magic, version, pid, beat
_BEAT = struct.Struct("<q")
_BEAT_AT = _HEADER.size - _BEAT.size
_SLOT = struct.Struct("<qqqq")  # job_id (0: empty), attempt, started_at, deadline
_FIRST_SLOT_AT = 64
_EMPTY_SLOT = bytes(_SLOT.size)
# One page is written at the start, so that later writes need no new block of a full disk.
_FIRST_SIZE = 4_096
_LONGEST_SLATE = 1 << 20


class StartedJob(msgspec.Struct, frozen=True):
    """A job that a worker has begun; ``deadline`` is in monotonic milliseconds, 0 for none."""

    job_id: int
    attempt: int
    started_at: int
    deadline: int


class Slate(msgspec.Struct, frozen=True):
    """What a worker last wrote about itself; ``beat`` is in monotonic milliseconds."""

    pid: int
    beat: int
    started: tuple[StartedJob, ...]


class WorkerIdentity(msgspec.Struct, frozen=True):
    """What must be remembered of a worker to prove its death later."""

    worker_id: int
    pid: int
    pid_start: int
    boot_id: str
    pid_namespace: int
    life_ino: int


class _Descriptor:
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
            fcntl.flock(self.fd, fcntl.LOCK_UN)

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
            os.close(fd)


_open_here: set[_Descriptor] = set()


def _close_in_child() -> None:
    for descriptor in _open_here:
        # Never LOCK_UN here: the lock is shared with the parent, and would be the parent's no more.
        with suppress(OSError):
            os.close(descriptor.fd)
        descriptor.fd = -1
    _open_here.clear()


os.register_at_fork(after_in_child=_close_in_child)


class LifeLock:
    """A worker's lock for life, on the file that is also its slate. A write is one ``pwrite``, no commit."""

    def __init__(self, worker_id: int, file: _Descriptor, path: Path) -> None:
        self.worker_id = worker_id
        self.ino = file.ino
        self._file = file
        self._path = path
        header = _HEADER.pack(_MAGIC, _VERSION, os.getpid(), _CLOCK.monotonic_ms())
        self._write(header.ljust(_FIRST_SIZE, b"\0"), 0)

    def identity(self) -> WorkerIdentity:
        """Give what others need to judge this worker's death."""
        pid = os.getpid()
        start = process_start(pid) or 0
        return WorkerIdentity(self.worker_id, pid, start, boot_id(), pid_namespace(), self.ino)

    def beat(self, monotonic_ms: int) -> None:
        """Write down that the worker was well at that time."""
        self._write(_BEAT.pack(monotonic_ms), _BEAT_AT)

    def start(self, slot: int, job_id: int, attempt: int, started_at: int, deadline: int = 0) -> None:
        """Write down that a job begins; from now on a crash counts for it. ``deadline`` in monotonic ms."""
        try:
            packed = _SLOT.pack(job_id, attempt, started_at, deadline)
            os.pwrite(self._file.fd, packed, _FIRST_SLOT_AT + _SLOT.size * slot)
        except OSError as error:
            raise storage_error(error, self._path) from None

    def clear(self, slot: int) -> None:
        """Write down that the slot's job is over."""
        self._write(_EMPTY_SLOT, _FIRST_SLOT_AT + _SLOT.size * slot)

    def intact(self) -> bool:
        """Give whether others still find this very lock under its name."""
        return self._file.is_at(self._path)

    def release(self, *, remove: bool) -> None:
        """Give the lock up, which is death to others; without ``remove`` the slate stays readable."""
        if self._file.fd < 0:
            return
        if remove and self.intact():
            # A file that stays is harmless: whoever finds its lock free forgets it.
            with suppress(OSError):
                self._path.unlink()
        self._file.close()

    def _write(self, content: bytes, offset: int) -> None:
        try:
            os.pwrite(self._file.fd, content, offset)
        except OSError as error:
            raise storage_error(error, self._path) from None


class _Line:
    """A blocking flock in a thread of its own: flock knows no time-out, and who asked must be able to go.

    A thread left standing serves the next asker too, so that a stopped holder never gathers threads.
    """

    def __init__(self, folder: _Descriptor, name: str) -> None:
        self._folder = folder
        self._name = name
        self._mutex = threading.Lock()
        self._settled = threading.Event()
        self._standing = False
        self._wanted = False
        self._file: _Descriptor | None = None

    def stand(self, timeout_ms: int) -> bool:
        with self._mutex:
            self._wanted = True
            self._settled.clear()
            if not self._standing:
                try:
                    threading.Thread(target=self._wait, name="liteq-turnstile", daemon=True).start()
                except RuntimeError:
                    # No thread can start, such as while the interpreter ends: go on without the line.
                    return False
                self._standing = True
        self._settled.wait(timeout_ms / 1000)
        return self._file is not None

    def step_out(self) -> None:
        """Release the lock, now or as soon as the kernel grants it."""
        with self._mutex:
            self._wanted = False
            file, self._file = self._file, None
        if file is not None:
            file.close()

    def _wait(self) -> None:
        file = self._locked_file()
        with self._mutex:
            self._standing = False
            kept = self._wanted
            if kept:
                self._file = file
            self._settled.set()
        if file is not None and not kept:
            file.close()

    def _locked_file(self) -> _Descriptor | None:
        # Without the file, or on a filesystem that cannot lock it, there is no line to stand in.
        with suppress(OSError, StorageError), ExitStack() as undo:
            file = _open_file(self._folder, self._name)
            undo.callback(file.close)
            file.lock(fcntl.LOCK_EX)
            undo.pop_all()
            return file
        return None


class _Turnstile:
    """An exclusive lock for which writers queue in the kernel, in one thread of this process at a time."""

    def __init__(self, folder: _Descriptor, path: Path) -> None:
        self._path = path
        self._file = _open_file(folder, path.name, os.O_CREAT)
        self._line = _Line(folder, path.name)
        self._in_line = False
        self._no_line_until = 0

    def enter(self, timeout_ms: int) -> bool:
        try:
            if self._in_line:
                self.leave()
            return self._file.lock(_NOW_OR_NEVER) or self._queue(timeout_ms)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        self._file.unlock()
        if self._in_line:
            self._line.step_out()
            self._in_line = False

    def intact(self) -> bool:
        return self._file.is_at(self._path)

    def close(self) -> None:
        self.leave()
        self._file.close()

    def _queue(self, timeout_ms: int) -> bool:
        if timeout_ms <= 0 or _CLOCK.monotonic_ms() < self._no_line_until:
            return False
        self._in_line = True
        if self._line.stand(timeout_ms):
            return True
        self.leave()
        self._no_line_until = _CLOCK.monotonic_ms() + _NO_LINE_MS
        return False


def _open_file(folder: _Descriptor, name: str, flags: int = 0) -> _Descriptor:
    """Open a regular file of ours. Whether it exists the caller asks: those two errors come as they are."""
    flags |= os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        file = _Descriptor(os.open(name, flags, 0o600, dir_fd=folder.fd))
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise storage_error(error, Path(name)) from None
    found = os.fstat(file.fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        file.close()
        raise UnsafePath(f"{name!r} in the folder of locks is not a regular file of this user")
    return file


def _process_is_gone(identity: WorkerIdentity) -> bool:
    if not identity.pid_start or identity.pid_namespace != pid_namespace():
        return False
    return process_start(identity.pid) != identity.pid_start


def _stable_content(fd: int) -> bytes:
    """Read until two looks agree: the writer may be half way through."""
    size = min(os.fstat(fd).st_size, _LONGEST_SLATE)
    content = os.pread(fd, size, 0)
    for _ in range(10):
        again = os.pread(fd, size, 0)
        if again == content:
            break
        content = again
    return content


def _slate_in(content: bytes) -> Slate | None:
    if len(content) < _FIRST_SLOT_AT or not content.startswith(_MAGIC):
        return None
    _, version, pid, beat = _HEADER.unpack_from(content)
    if version != _VERSION:
        return None
    whole = (len(content) - _FIRST_SLOT_AT) // _SLOT.size * _SLOT.size
    slots = _SLOT.iter_unpack(content[_FIRST_SLOT_AT : _FIRST_SLOT_AT + whole])
    started = (StartedJob(*slot) for slot in slots if slot[0] > 0)
    return Slate(pid, beat, tuple(started))


class _Opened(NamedTuple):
    folder: _Descriptor
    presence: _Descriptor
    turnstile: _Turnstile


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
        if presence.lock(_NOW_OR_NEVER) and presence.is_at(self.folder / "presence"):
            self._remove(folder)
        presence.close()
        folder.close()

    def enter(self, timeout_ms: int) -> bool:
        """Stand in line to write, and give True when it is this process's turn, False after the time-out.

        For 5 s after a time-out it only tries, lest a stopped holder cost every write the full wait.
        Call it inside the ``try`` whose ``finally`` calls ``leave``: an interrupt may come at any moment.
        """
        return self._here().turnstile.enter(timeout_ms)

    def leave(self) -> None:
        """Let the next one write. Without a successful ``enter`` nothing happens."""
        if self._opened is not None:
            self._opened.turnstile.leave()

    def turnstile_intact(self) -> bool:
        """Give whether others still stand in this very line."""
        return self._opened is not None and self._opened.turnstile.intact()

    def hold_life(self, worker_id: int) -> LifeLock:
        """Take the lock that proves a new worker alive. ``Busy`` when a living one has that id."""
        path = self.folder / f"worker-{worker_id}"
        file = self._create(path)
        with ExitStack() as undo:
            undo.callback(file.close)
            if not file.lock(_NOW_OR_NEVER):
                raise Busy(f"another process locked {str(path)!r}")
            life = LifeLock(worker_id, file, path)
            undo.pop_all()
        return life

    def read_slate(self, worker_id: int) -> Slate | None:
        """Give what a worker, living or dead, last wrote; None when there is nothing to read."""
        folder = self._here().folder
        try:
            file = _open_file(folder, f"worker-{worker_id}")
        except (FileNotFoundError, StorageError):
            return None
        try:
            return _slate_in(_stable_content(file.fd))
        except OSError:
            return None
        finally:
            file.close()

    def is_dead(self, identity: WorkerIdentity) -> bool:
        """Give True only when the worker's death is proved: nobody living is ever robbed."""
        if identity.boot_id != boot_id():
            return True
        try:
            file = _open_file(self._here().folder, f"worker-{identity.worker_id}")
        except (FileNotFoundError, UnsafePath):
            return _process_is_gone(identity)
        try:
            if file.ino != identity.life_ino:
                return _process_is_gone(identity)
            # Shared, so that two who look at once do not take each other for the worker.
            return file.lock(fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            file.close()

    def forget(self, worker_id: int) -> None:
        """Remove the file of a dead worker; a missing one is fine."""
        try:
            os.unlink(f"worker-{worker_id}", dir_fd=self._here().folder.fd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error, self.folder) from None

    def _try_open(self) -> bool:
        try:
            with ExitStack() as undo:
                folder = self._open_folder()
                undo.callback(folder.close)
                presence = _open_file(folder, "presence", os.O_CREAT)
                undo.callback(presence.close)
                shared = presence.lock(fcntl.LOCK_SH | fcntl.LOCK_NB)
                if not shared or not presence.is_at(self.folder / "presence"):
                    return False
                turnstile = _Turnstile(folder, self.folder / "turnstile")
                undo.pop_all()
        except FileNotFoundError:
            # The last one to leave removed the folder between two of these lines.
            return False
        self._opened = _Opened(folder, presence, turnstile)
        return True

    def _open_folder(self) -> _Descriptor:
        try:
            self.folder.mkdir(0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise storage_error(error, self.folder) from None
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            folder = _Descriptor(os.open(self.folder, flags))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise storage_error(error, self.folder) from None
        found = os.fstat(folder.fd)
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            folder.close()
            raise UnsafePath(f"{str(self.folder)!r} is not a private folder of this user")
        return folder

    def _remove(self, folder: _Descriptor) -> None:
        # The presence file goes last: who opened it meanwhile waits for its lock, finds it gone, starts over.
        for name in sorted(os.listdir(folder.fd), key="presence".__eq__):  # noqa: PTH208  Path takes no descriptor
            with suppress(OSError):
                os.unlink(name, dir_fd=folder.fd)
        # Not empty when somebody has come since, and then it is theirs.
        with suppress(OSError):
            self.folder.rmdir()

    def _create(self, path: Path) -> _Descriptor:
        folder = self._here().folder
        for _ in range(2):
            try:
                return _open_file(folder, path.name, os.O_CREAT | os.O_EXCL)
            except FileNotFoundError:
                raise FileMoved(f"{str(self.folder)!r} was removed while it was in use") from None
            except FileExistsError:
                # A power cut may take back the id in the database, but not the file.
                self._remove_dead(path)
        raise Busy(f"{str(path)!r} comes back as often as it is removed")

    def _remove_dead(self, path: Path) -> None:
        folder = self._here().folder
        with suppress(FileNotFoundError):
            file = _open_file(folder, path.name)
            try:
                if not file.lock(_NOW_OR_NEVER):
                    raise Busy(f"{str(path)!r} is held by a living worker")
                os.unlink(path.name, dir_fd=folder.fd)
            finally:
                file.close()

    def _here(self) -> _Opened:
        if self._opened is None or self._opened.folder.fd < 0:
            raise StorageError(f"{str(self.folder)!r} is not open in this process")
        return self._opened
