"""Starts a measured worker process, stops it, and knows its memory and CPU time."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psutil

from benchmarks.jobs import Durability

ROOT = Path(__file__).parent.parent
STOP_TIMEOUT_S = 30


class WorkerProcess:
    """One running worker."""

    def __init__(self, argv: list[str]) -> None:
        self._child = subprocess.Popen(argv, cwd=ROOT)
        self._process = psutil.Process(self._child.pid)
        self.peak_rss = 0
        """The highest resident size seen so far, bytes."""

    def look(self) -> None:
        """Note the memory in use; where the kernel remembers the peak, that."""
        with suppress(psutil.Error, OSError):
            self.peak_rss = max(self.peak_rss, self._process.memory_info().rss, _peak(self._child.pid))

    def rss(self) -> list[int]:
        """Give the resident bytes of this moment, its own and those of its children."""
        return [int(process.memory_info().rss) for process in self._with_children()]

    def peaks(self) -> list[int]:
        """Give the highest resident bytes so far, its own and those of its children (Linux)."""
        return [_peak(process.pid) for process in self._with_children()]

    def _with_children(self) -> list[psutil.Process]:
        return [self._process, *self._process.children()]

    def written(self) -> int:
        """Give the bytes that it and its children have caused to be sent to the disk so far (Linux)."""
        return sum(written_by(process.pid) for process in self._with_children())

    def cpu_s(self) -> float:
        """Give the CPU seconds that it and its children have used so far."""
        times = [process.cpu_times() for process in self._with_children()]
        return float(sum(one.user + one.system for one in times))

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended by itself, noting its memory. Raises CalledProcessError if it failed."""
        waited = 0.0
        while waited < timeout_s:
            self.look()
            with suppress(subprocess.TimeoutExpired):
                if self._child.wait(0.005):
                    raise subprocess.CalledProcessError(self._child.returncode, "worker")
                return
            waited += 0.005
        raise TimeoutError(f"the worker still runs after {timeout_s} s")

    def stop(self) -> None:
        """Stop it gently, by force if that takes too long."""
        self.look()
        self._child.terminate()
        try:
            self._child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


@contextmanager
def worker_process(path: Path, durability: Durability, *flags: str) -> Generator[WorkerProcess]:
    """Run a worker beside the block."""
    worker = WorkerProcess(worker_argv(path, durability, *flags))
    try:
        yield worker
    finally:
        worker.stop()


def worker_argv(path: Path, durability: Durability, *flags: str) -> list[str]:
    """Give the words that run a worker without the command line."""
    return [sys.executable, "-m", "benchmarks.worker", str(path), durability, *flags]


def command_line(path: Path, *words: str) -> list[str]:
    """Give the words that run liteq's own command line on the measured application."""
    return [sys.executable, "-m", "liteq_cli", "--file", str(path), "--app", "benchmarks.crew:app", *words]


def written_by(pid: int | Literal["self"]) -> int:
    """Give the bytes that the process has caused to be sent to the disk.

    proc(5): counted when a page of a file on a disk is dirtied, so a page written twice before the kernel writes
    it back counts once, and files that live in memory do not count.
    """
    lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
