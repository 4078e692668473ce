"""Runs a shell command as a child in a process group of its own, its output captured and bounded."""

import os
import select
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from liteq.clock import Clock
from liteq.command import Command
from liteq.errors import StorageError
from liteq.job import Run
from liteq.worker.verdict import CommandFailed, Leaving, TimeLimit

KEPT_HEAD = 16 * 1024
KEPT_TAIL = 48 * 1024
TERM_GRACE_MS = 5_000
INTERRUPTED_GRACE_MS = 1_000
"""What a command gets between the two signals when its worker cannot wait."""
LOOK_EVERY_S = 0.1
LAST_WORDS_S = 0.2
SOON_S = 0.02


class Output:
    """The first and the last of what a command printed."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        room = KEPT_HEAD - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room > 0 else data
        spare = len(self._tail) - KEPT_TAIL
        if spare > 0:
            del self._tail[:spare]
            self._dropped += spare

    def kept(self) -> bytes:
        """Give what is kept, with a line where something was left out."""
        gap = f"\n... {self._dropped} bytes left out ...\n".encode() if self._dropped else b""
        return bytes(self._head) + gap + bytes(self._tail)

    def last_line(self) -> str:
        lines = (bytes(self._tail) or bytes(self._head)).decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[:200] if lines else ""


def run_command(
    command: Command,
    run: Run,
    clock: Clock,
    output: Output,
    *,
    mark: str,
    note: Callable[[int], None],
    must_leave: Callable[[], bool],
) -> int:
    """Run the command to its end and give its exit code, 0.

    ``note`` is told -1 before it is started and its process group after; ``mark`` stands in its environment.

    Raises CommandFailed for another code or a signal, TimeLimit when its time was over, and Leaving when
    its worker must go.
    When a cancel is asked or the time is over, the whole process group gets SIGTERM, and SIGKILL five seconds later.
    """
    # Where this cannot be written, only the death of this very process would leave the command alone.
    with suppress(StorageError):
        note(-1)
    try:
        child = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=os.environ | command.env | {"LITEQ_JOB_ID": str(run.claim.job_id), "LITEQ_RUN": mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"cannot start {command.argv[0]!r}: {error.strerror}", exit_code=127) from error
    stop = _Stop(child.pid, run, clock, must_leave)
    try:
        with suppress(StorageError):
            note(child.pid)
        _follow(child, stop, output)
    finally:
        _end(child, stop)
    if run.timed_out:
        raise TimeLimit
    code = child.wait()
    if code != 0:
        raise CommandFailed(_ending(code, output), exit_code=code)
    return code


class _Stop:
    """Asks a process group to stop, and does not ask for long."""

    def __init__(self, group: int, run: Run, clock: Clock, must_leave: Callable[[], bool]) -> None:
        self._group = group
        self._run = run
        self._clock = clock
        self._must_leave = must_leave
        self._kill_at: int | None = None

    def look(self) -> None:
        """Send the signal that is due. Raises Leaving when the worker must go."""
        if self._must_leave():
            raise Leaving
        run = self._run
        if run.over_at is not None and self._clock.monotonic_ms() >= run.over_at:
            run.timed_out = True
        if run.timed_out or run.asked_to_stop or run.lost:
            self.ask(TERM_GRACE_MS)
            self.insist()

    def ask(self, grace_ms: int) -> None:
        """Send SIGTERM, once; SIGKILL is to follow when the grace is over, be it an earlier one."""
        now = self._clock.monotonic_ms()
        if self._kill_at is None:
            self._signal(signal.SIGTERM)
            self._kill_at = now + grace_ms
        self._kill_at = min(self._kill_at, now + grace_ms)

    def insist(self) -> bool:
        """Send SIGKILL if it is due; tell whether anybody of a group that was asked to stop may still be there."""
        if self._kill_at is None:
            return False
        if self._clock.monotonic_ms() >= self._kill_at:
            self._signal(signal.SIGKILL)
            return False
        # No pid is given again while a group of that number has members.
        return self._signal(0)

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self._group, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _follow(child: "subprocess.Popen[bytes]", stop: _Stop, output: Output) -> None:
    assert child.stdout is not None  # noqa: S101  it was asked for as a pipe
    descriptor = child.stdout.fileno()
    os.set_blocking(descriptor, False)
    last_words_until: float | None = None
    with selectors.DefaultSelector() as selector, child.stdout:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            ready = selector.select(LOOK_EVERY_S)
            if ready:
                data = os.read(descriptor, 65536)
                if not data:
                    break
                output.add(data)
            if child.poll() is not None:
                # What the command left behind may hold its output, and write on for ever: the command has ended.
                last_words_until = last_words_until or time.monotonic() + LAST_WORDS_S
                if not ready or time.monotonic() > last_words_until:
                    break
            stop.look()
    # Its output may be closed long before it ends.
    while child.poll() is None:
        _wait(child, LOOK_EVERY_S)
        stop.look()


def _wait(child: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait for its end, at most so long. A ``Popen.wait`` with a time looks now and then; the kernel tells at once."""
    if sys.platform == "linux":
        # No descriptor may be left, or the kernel be too old.
        with suppress(OSError):
            fd = os.pidfd_open(child.pid)
            try:
                ended = select.poll()
                ended.register(fd, select.POLLIN)
                ended.poll(seconds * 1000)
            finally:
                os.close(fd)
            return
    with suppress(subprocess.TimeoutExpired):
        child.wait(seconds)


def _end(child: "subprocess.Popen[bytes]", stop: _Stop) -> None:
    """Leave nobody behind of a command that was asked to stop, or whose slot itself is interrupted."""
    if child.poll() is None:
        stop.ask(INTERRUPTED_GRACE_MS)
    while stop.insist():
        if child.poll() is None:
            _wait(child, SOON_S)
        else:
            time.sleep(SOON_S)
    child.wait()


def _ending(code: int, output: Output) -> str:
    how = f"exit code {code}" if code > 0 else f"killed by {_signal_name(-code)}"
    last = output.last_line()
    return f"{how}: {last}" if last else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
