"""What differs between operating systems, files here and processes in ``processes.py``. It knows no jobs."""

import ctypes
import errno
import functools
import os
import re
import select
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from liteq.clock import SystemClock
from liteq.errors import DiskFull, FileMissing, ReadOnly, StorageError, UnsafePath, UnsupportedFilesystem

_CLOCK = SystemClock()
_LONGEST_POLL_MS = 2**31 - 1
_AT_ONCE = 1 << 20
_SHORTEST_PAUSE_MS, _LONGEST_PAUSE_MS = 1, 50

_INOTIFY_EVENT = struct.Struct("iIII")
_ASIDE = threading.Semaphore(8)
_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE, _IN_Q_OVERFLOW, _IN_IGNORED = 0x2, 0x80, 0x100, 0x4000, 0x8000

_ERROR_OF_ERRNO: dict[int, type[StorageError]] = {
    errno.ENOENT: FileMissing,
    errno.EACCES: ReadOnly,
    errno.EPERM: ReadOnly,
    errno.EROFS: ReadOnly,
    errno.ENOSPC: DiskFull,
    errno.EDQUOT: DiskFull,
    errno.ELOOP: UnsafePath,
    errno.ENOTDIR: UnsafePath,
    errno.EISDIR: UnsafePath,
    errno.ENXIO: UnsafePath,
    errno.ENAMETOOLONG: UnsafePath,
}


class FileWatch(Protocol):
    """Waits until one file was written. One thread waits; any thread may wake it."""

    def wait(self, timeout_ms: int) -> bool:
        """Give True once the file was written or ``wake`` called since the last wait, False after."""
        ...

    def wake(self) -> None:
        """End the present wait, or else the next one, at once. Safe from any thread and after ``close``."""
        ...

    def close(self) -> None:
        """Give the descriptors back. Not while a thread waits; a second call does nothing."""
        ...


def refuse_unsupported_platform(platform: str = sys.platform) -> None:
    """Raise ``UnsupportedFilesystem`` on anything but Linux and macOS."""
    if platform not in {"linux", "darwin"}:
        message = f"liteq runs on Linux and macOS; its file locks are not written for {platform!r} yet"
        raise UnsupportedFilesystem(message)


def storage_error(error: OSError, path: Path) -> StorageError:
    """Give the error of liteq's own tree that says what the operating system's says."""
    kind = _ERROR_OF_ERRNO.get(error.errno or 0, StorageError)
    return kind(f"{str(path)!r}: {error.strerror or error}")


def write_again(path: Path) -> None:
    """Write what a file holds over itself, and sync it: the disk gets what a failed sync has left out.

    Harmless to those who read it meanwhile. Never for a file on which this process has POSIX locks.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            at = 0
            while content := os.pread(fd, _AT_ONCE, at):
                at += os.pwrite(fd, content, at)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise storage_error(error, path) from None


@functools.cache
def boot_id() -> str:
    """Give a name that all processes of this run of the machine share and that no other run has."""
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def filesystem_of(path: Path) -> str | None:
    """Give the type of the filesystem that ``path`` is or would be on, such as ``ext4``; None if unknown."""
    try:
        mountinfo = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return None
    return filesystem_in(mountinfo, path.resolve())


def filesystem_in(mountinfo: bytes, path: Path) -> str | None:
    """Give the type that a table of proc_pid_mountinfo(5) names for a canonical path, or None."""
    best, kind = -1, None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(b" - ")
        fields = left.split(b" ")
        if len(fields) < 5 or not right:
            continue
        point = Path(os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), fields[4])))
        # A later mount covers an earlier one of the same point, hence >=.
        if len(point.parts) >= best and path.is_relative_to(point):
            best, kind = len(point.parts), os.fsdecode(right.split(b" ")[0])
    return kind


def descriptors_of(dev: int, ino: int) -> list[int]:
    """Give the descriptors of this process that are open on the inode."""
    folder = Path("/proc/self/fd")
    found: list[int] = []
    for entry in (folder if folder.is_dir() else Path("/dev/fd")).iterdir():
        with suppress(OSError):
            status = os.fstat(int(entry.name))
            if (status.st_dev, status.st_ino) == (dev, ino):
                found.append(int(entry.name))
    return found


def watch_file(path: Path) -> FileWatch:
    """Give the best watch that this machine has for a file, which need not exist yet.

    ``StorageError`` when the process has no descriptor left even for the plainest one.
    """
    with suppress(OSError):
        # No inotify here, or no watch of it left: then by looking.
        return FolderWatch(path)
    try:
        return PacedWatch(path)
    except OSError as error:
        raise storage_error(error, path) from None


class Waker:
    """A pair of sockets through which any thread can end a poll."""

    def __init__(self) -> None:
        self.inner, self._outer = socket.socketpair()
        self.inner.settimeout(0)
        self._outer.settimeout(0)

    def wake(self) -> None:
        # A full socket has woken already; a closed one has nobody left to wake.
        with suppress(OSError):
            self._outer.send(b"\0")

    def drain(self) -> bool:
        woken = False
        with suppress(OSError):
            while self.inner.recv(4096):
                woken = True
        return woken

    def close(self) -> None:
        self.inner.close()
        self._outer.close()


class FolderWatch:
    """A watch by inotify. It is set on the folder: opening the file itself could drop SQLite's locks."""

    def __init__(self, path: Path) -> None:
        """Watch ``path``. ``OSError`` where inotify is missing or used up, or the folder does not exist."""
        self._name = os.fsencode(path.name)
        self._fd = _inotify_on(path.parent)
        try:
            self._waker = Waker()
        except BaseException:
            os.close(self._fd)
            raise
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._poll.register(self._waker.inner, select.POLLIN)

    def wait(self, timeout_ms: int) -> bool:
        deadline = _CLOCK.monotonic_ms() + timeout_ms
        left = timeout_ms
        while True:
            self._poll.poll(min(max(left, 0), _LONGEST_POLL_MS))
            woken, written = self._waker.drain(), self._drain()
            if woken or written:
                return True
            left = deadline - _CLOCK.monotonic_ms()
            if left <= 0:
                return False

    def wake(self) -> None:
        self._waker.wake()

    def close(self) -> None:
        if self._fd < 0:
            return
        # Else a later wait would poll whatever file gets these numbers next.
        self._poll.unregister(self._fd)
        self._poll.unregister(self._waker.inner)
        self._waker.close()
        fd, self._fd = self._fd, -1
        _close_aside(fd)

    def _drain(self) -> bool:
        written = False
        while events := self._read():
            offset = 0
            while offset < len(events):
                _, mask, _, length = _INOTIFY_EVENT.unpack_from(events, offset)
                start = offset + _INOTIFY_EVENT.size
                offset = start + length
                # An event may have been lost, or the folder is gone: the caller should look.
                lost = bool(mask & (_IN_Q_OVERFLOW | _IN_IGNORED))
                written = written or lost or events[start:offset].rstrip(b"\0") == self._name
        return written

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, 65536) if self._fd >= 0 else b""
        except BlockingIOError:
            return b""


def _inotify_on(folder: Path) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    fd: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    if libc.inotify_add_watch(fd, os.fsencode(folder), _IN_MODIFY | _IN_CREATE | _IN_MOVED_TO) < 0:
        number = ctypes.get_errno()
        os.close(fd)
        raise OSError(number, "inotify_add_watch", str(folder))
    return fd


def _close_aside(fd: int) -> None:
    """Close an inotify descriptor: that takes the kernel 10 ms and more, which nobody need wait for.

    But of a few only: each that is not closed yet is one less for all processes of the user, which have 128.
    """
    if not _ASIDE.acquire(blocking=False):
        os.close(fd)
        return
    try:
        threading.Thread(target=_close, args=(fd,), name="liteq-unwatch", daemon=True).start()
    except RuntimeError:
        # No thread can start, such as while the interpreter ends.
        _close(fd)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    finally:
        _ASIDE.release()


class PacedWatch:
    """A watch without inotify: it looks at the file's size and time, less often the longer it is idle."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._look()
        self._pause_ms = _SHORTEST_PAUSE_MS
        self._waker = Waker()
        self._poll = select.poll()
        self._poll.register(self._waker.inner, select.POLLIN)
        self._closed = False

    def wait(self, timeout_ms: int) -> bool:
        deadline = _CLOCK.monotonic_ms() + timeout_ms
        while True:
            woken, seen = self._waker.drain(), self._look()
            if woken or seen != self._seen:
                self._seen, self._pause_ms = seen, _SHORTEST_PAUSE_MS
                return True
            left = deadline - _CLOCK.monotonic_ms()
            if left <= 0:
                return False
            self._poll.poll(min(left, self._pause_ms))
            self._pause_ms = min(self._pause_ms * 2, _LONGEST_PAUSE_MS)

    def wake(self) -> None:
        self._waker.wake()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._poll.unregister(self._waker.inner)
            self._waker.close()

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
