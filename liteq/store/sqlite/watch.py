"""Waits for commits: woken by the kernel when the log is written, and patient until what was written can be seen."""

import time

from liteq.clock import SystemClock
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.platform import watch_file

PAUSES_MS = ((20, 1), (100, 5), (3_000, 20))
"""The kernel speaks at the write, but a commit is visible only after its fsync, which a busy disk may take seconds for.

So long after a signal, so long between two looks.
"""
EAGER_MS, EAGER_PAUSE_S = 3, 0.0002
"""On a quick disk it can be seen within some hundred microseconds, and the kernel's own waits have milliseconds."""

_CLOCK = SystemClock()


class CommitWatch:
    """One waiter's view of a file: knows the last commit that it has told of, so that none falls between two waits."""

    def __init__(self, file: JobFile) -> None:
        self._file = file
        self._signal = watch_file(file.path.with_name(file.path.name + "-wal"))
        self._woken = False
        # A commit may have been written just before the first look, and be visible just after it.
        self._signalled_at = _CLOCK.monotonic_ms()
        try:
            self._version = self._read_version()
        except BaseException:
            self._signal.close()
            raise

    def wait(self, timeout_ms: int) -> bool:
        end = _CLOCK.monotonic_ms() + timeout_ms
        while not self._has_news():
            now = _CLOCK.monotonic_ms()
            if now >= end:
                return False
            if now - self._signalled_at < EAGER_MS:
                time.sleep(EAGER_PAUSE_S)
                continue
            if self._signal.wait(min(end - now, self._pause_ms(now))):
                self._signalled_at = _CLOCK.monotonic_ms()
        return True

    def wake(self) -> None:
        self._woken = True
        self._signal.wake()

    def close(self) -> None:
        self._signal.close()

    def _pause_ms(self, now: int) -> int:
        """Give how long nothing can become visible without another signal; short while a commit may be on its way."""
        since = now - self._signalled_at
        return next((pause for until, pause in PAUSES_MS if since < until), 3_600_000)

    def _has_news(self) -> bool:
        """Tell whether somebody committed, or called, since this last said so."""
        version = self._read_version()
        news = self._woken or version != self._version
        self._version = version
        self._woken = False
        return news

    def _read_version(self) -> int:
        return int(self._file.read_plain("PRAGMA data_version")[0][0])
