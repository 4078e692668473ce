"""The job that every peer runs: it notes when it ran, in memory or in a file that another process reads."""

import os
import time
from pathlib import Path
from threading import Event

STAMP_BYTES = 8


class Tally:
    """When each job ran, on the clock that all processes share (ns)."""

    def __init__(self) -> None:
        self.done = Event()
        """Set once as many jobs have run in this process as were expected."""
        self._stamps: list[int] = []
        self._expected = 0
        self._file: int | None = None

    def expect(self, jobs: int, file: Path | None = None) -> None:
        """Begin anew. A ``file`` is for jobs that run in other processes: they inherit it, or open it themselves."""
        self.done.clear()
        self._stamps, self._expected = [], jobs
        self._file = None if file is None else os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def ran(self) -> None:
        """Note that a job runs."""
        now = time.monotonic_ns()
        if self._file is not None:
            os.write(self._file, now.to_bytes(STAMP_BYTES, "big"))
            return
        self._stamps.append(now)
        if len(self._stamps) >= self._expected:
            self.done.set()

    def stamps(self) -> list[int]:
        """Give the moments noted in this process."""
        return self._stamps


TALLY = Tally()


def ran() -> None:
    """Be a job."""
    TALLY.ran()


def stamps_in(file: Path) -> list[int]:
    """Give the moments noted in the file, ns; none when there is no file yet."""
    data = file.read_bytes() if file.exists() else b""
    return [int.from_bytes(data[at : at + STAMP_BYTES], "big") for at in range(0, len(data), STAMP_BYTES)]
