"""What the operating system knows about processes: who they are, when one ends, and how to end one. Knows no jobs."""

import calendar
import functools
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from liteq.store.sqlite.platform import Waker

_LONGEST_POLL_MS = 2**31 - 1
_LONGEST_DYING_MS = 500
"""How long what was killed is waited for: a dying process may still have a disk to wait for."""

_TRIES = 20

_PRINT_WRITER = """
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
if sys.platform == "darwin":
    ask = struct.pack("qqihh", 120, 1, 0, fcntl.F_WRLCK, os.SEEK_SET)
    _, _, pid, kind, _ = struct.unpack("qqihh", fcntl.fcntl(fd, fcntl.F_GETLK, ask))
else:
    ask = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 120, 1, 0)
    kind, _, _, _, pid = struct.unpack("hhqqi", fcntl.fcntl(fd, fcntl.F_GETLK, ask))
print(0 if kind == fcntl.F_UNLCK else pid)
"""


def process_start(pid: int) -> int | None:
    """Give when a process began, or None when there is no such process; a zombie is none.

    The number tells two processes of one pid apart. It is in ticks since boot on Linux, in seconds elsewhere.
    """
    if sys.platform == "darwin":
        return _process_start_by_ps(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's own name stands in parentheses before the state, and may itself hold any character.
    fields = stat[stat.rindex(b")") + 1 :].split()
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def _process_start_by_ps(pid: int) -> int | None:
    command = ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)]
    environment = {"LC_ALL": "C", "TZ": "UTC"}
    answer = subprocess.run(command, check=False, capture_output=True, text=True, env=environment).stdout
    state, _, began = answer.strip().partition(" ")
    if not began or state.startswith("Z"):
        return None
    return calendar.timegm(time.strptime(began.strip(), "%a %b %d %H:%M:%S %Y"))


def end_process(pid: int, start: int) -> None:
    """Kill a process, if it is still the one that began then. One of another user's is left alone."""
    if pid > 1 and start and process_start(pid) == start:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def end_group(leader: int, start: int) -> None:
    """Kill a process group, if its leader is still the one that began then, and wait for the leader's end.

    Another user's is left alone.
    """
    if leader > 1 and start and process_start(leader) == start:
        with _end_of(leader) as ended, suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
            ended.poll(_LONGEST_DYING_MS)


def end_marked(mark: str) -> None:
    """Kill the processes that have LITEQ_RUN=``mark`` in their environment. Only where /proc shows it."""
    wanted = b"LITEQ_RUN=" + mark.encode()
    for process in Path("/proc").glob("[0-9]*"):
        # Another user's cannot be read, and one may end at any moment.
        with suppress(OSError):
            if wanted in _environment(process):
                pid = int(process.name)
                with _end_of(pid) as ended:
                    os.kill(pid, signal.SIGKILL)
                    ended.poll(_LONGEST_DYING_MS)


def _environment(process: Path) -> list[bytes]:
    """Give the environment of a process by its folder. A program that begins has none for a moment: that is waited for.

    Raises OSError for what has ended, is another user's, or is the kernel's own.
    """
    for _ in range(_TRIES):
        content = (process / "environ").read_bytes()
        if content:
            return content.split(b"\0")
        # Only a program has a file that it runs.
        (process / "exe").readlink()
        time.sleep(0.001)
    return []


@contextmanager
def _end_of(pid: int) -> Generator[select.poll]:
    """Give what can be polled for the end of a process; where the kernel cannot tell, the poll only waits a moment."""
    poll = select.poll()
    if sys.platform != "linux":
        yield poll
        return
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        yield poll
        return
    try:
        poll.register(fd, select.POLLIN)
        yield poll
    finally:
        os.close(fd)


def pid_namespace() -> int:
    """Give the number of the namespace in which this process's pids mean something, 0 if there is but one."""
    return _pid_namespace_of(os.getpid())


@functools.cache
def _pid_namespace_of(_pid: int) -> int:
    # By the pid, for a forked child may be born into another one.
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def writer_pid(shm_path: Path) -> int | None:
    """Give the pid that holds SQLite's WAL write lock, or None when nobody does or it cannot be told in 2 s.

    A process of its own asks: opening and closing the ``-shm`` in this one would drop SQLite's locks.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        return None
    command = [sys.executable, "-I", "-S", "-c", _PRINT_WRITER, str(shm_path)]
    try:
        answer = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=2)
        pid = int(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return pid if pid > 0 else None


class ProcessWatch:
    """Waits until one of some processes has ended: by pidfd where there is such a thing, else it only waits."""

    def __init__(self) -> None:
        self.sees_all = True
        """Whether the end of each process that is followed would end the wait."""
        self._waker = Waker()
        self._poll = select.poll()
        self._poll.register(self._waker.inner, select.POLLIN)
        self._fds: dict[tuple[int, int], int] = {}
        self._also: int | None = None
        self._closed = False

    def follow(self, wanted: Mapping[int, int]) -> None:
        """Follow these processes, by pid and when each began, and no others."""
        if self._closed:
            return
        processes = set(wanted.items())
        for one in set(self._fds) - processes:
            self._drop(one)
        unseen = [one for one in processes - set(self._fds) if not self._add(one)]
        self.sees_all = not unseen

    def wait(self, timeout_ms: int, *, also: int | None = None) -> bool:
        """Give True once one has ended or ``wake`` was called, False after the time or when ``also`` can be read."""
        self._listen_to(also)
        ready = {fd for fd, _ in self._poll.poll(min(max(timeout_ms, 0), _LONGEST_POLL_MS))}
        for one in [one for one, fd in self._fds.items() if fd in ready]:
            self._drop(one)
        self._waker.drain()
        return bool(ready - {also})

    def wake(self) -> None:
        """End the present wait, or else the next one. Safe from any thread."""
        self._waker.wake()

    def close(self) -> None:
        """Give the descriptors back. Not while a thread waits; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for one in list(self._fds):
            self._drop(one)
        self._poll.unregister(self._waker.inner)
        self._waker.close()

    def _listen_to(self, also: int | None) -> None:
        if also != self._also:
            if self._also is not None:
                self._poll.unregister(self._also)
            if also is not None:
                self._poll.register(also, select.POLLIN)
            self._also = also

    def _add(self, process: tuple[int, int]) -> bool:
        pid, start = process
        if sys.platform != "linux" or not start:
            return False
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            # Gone already, which the next look finds; or no descriptor is left, or the kernel is too old.
            return False
        if process_start(pid) != start:
            os.close(fd)
            return False
        self._fds[process] = fd
        self._poll.register(fd, select.POLLIN)
        return True

    def _drop(self, process: tuple[int, int]) -> None:
        fd = self._fds.pop(process)
        self._poll.unregister(fd)
        os.close(fd)
