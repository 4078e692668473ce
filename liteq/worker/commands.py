"""Runs a shell command as a child in a process group of its own, its output captured and bounded."""

import os
import selectors
import signal
import subprocess
from contextlib import suppress

from liteq.clock import Clock
from liteq.command import Command
from liteq.job import Run
from liteq.worker.verdict import CommandFailed, TimeLimit

KEPT_HEAD = 16 * 1024
KEPT_TAIL = 48 * 1024
TERM_GRACE_MS = 5_000
LOOK_EVERY_S = 0.1


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


def run_command(command: Command, run: Run, clock: Clock, output: Output) -> int:
    """Run the command to its end and give its exit code, 0.

    Raises CommandFailed for another code or a signal, TimeLimit when its time was over. When a cancel is asked or the
    time is over, the whole process group gets SIGTERM, and SIGKILL five seconds later.
    """
    try:
        child = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=os.environ | command.env | {"LITEQ_JOB_ID": str(run.claim.job_id)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"cannot start {command.argv[0]!r}: {error.strerror}", exit_code=127) from error
    try:
        _follow(child, run, clock, output)
    finally:
        _end_group(child)
    if run.timed_out:
        raise TimeLimit
    code = child.wait()
    if code != 0:
        raise CommandFailed(_ending(code, output), exit_code=code)
    return code


def _follow(child: "subprocess.Popen[bytes]", run: Run, clock: Clock, output: Output) -> None:
    assert child.stdout is not None  # noqa: S101  it was asked for as a pipe
    descriptor = child.stdout.fileno()
    os.set_blocking(descriptor, False)
    term_at: int | None = None
    with selectors.DefaultSelector() as selector, child.stdout:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if selector.select(LOOK_EVERY_S):
                data = os.read(descriptor, 65536)
                if not data:
                    break
                output.add(data)
            elif child.poll() is not None:
                # Something that the command left behind still holds its output; the command itself has ended.
                break
            term_at = _stop_if_asked(child, run, clock, term_at)
    # Its output may be closed long before it ends.
    while child.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            child.wait(LOOK_EVERY_S)
        term_at = _stop_if_asked(child, run, clock, term_at)


def _stop_if_asked(child: "subprocess.Popen[bytes]", run: Run, clock: Clock, term_at: int | None) -> int | None:
    """Send the signal that is due; give when SIGTERM was sent."""
    now = clock.monotonic_ms()
    if run.over_at is not None and now >= run.over_at:
        run.timed_out = True
    if not (run.timed_out or run.asked_to_stop or run.lost):
        return term_at
    if term_at is None:
        _signal_group(child, signal.SIGTERM)
        return now
    if now - term_at >= TERM_GRACE_MS:
        _signal_group(child, signal.SIGKILL)
    return term_at


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """Leave nobody behind when the slot itself is interrupted."""
    if child.poll() is None:
        _signal_group(child, signal.SIGKILL)
        child.wait()


def _signal_group(child: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _ending(code: int, output: Output) -> str:
    how = f"exit code {code}" if code > 0 else f"killed by {_signal_name(-code)}"
    last = output.last_line()
    return f"{how}: {last}" if last else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
