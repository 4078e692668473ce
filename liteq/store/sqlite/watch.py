"""Waits for commits: woken by the kernel when the log is written, and patient until what was written can be seen."""

import time

from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.platform import watch_file

PAUSES_S = (0.0,) + (0.0005,) * 6 + (0.001,) * 17 + (0.005,) * 8
"""The kernel speaks at the write, the commit is visible after its fsync: looked for that long, about 60 ms."""


class CommitWatch:
    """One waiter's view of a file: knows the last commit that it has told of, so that none falls between two waits."""

    def __init__(self, file: JobFile) -> None:
        self._file = file
        self._signal = watch_file(file.path.with_name(file.path.name + "-wal"))
        self._woken = False
        self._version = self._read_version()

    def wait(self, timeout_ms: int) -> bool:
        if self._has_news():
            return True
        if not self._signal.wait(timeout_ms):
            # A signal may have been missed; the version never is.
            return self._has_news()
        for pause in PAUSES_S:
            time.sleep(pause)
            if self._has_news():
                return True
        return True

    def wake(self) -> None:
        self._woken = True
        self._signal.wake()

    def close(self) -> None:
        self._signal.close()

    def _has_news(self) -> bool:
        """Tell whether somebody committed, or called, since this last said so."""
        version = self._read_version()
        news = self._woken or version != self._version
        self._version = version
        self._woken = False
        return news

    def _read_version(self) -> int:
        return int(self._file.read_plain("PRAGMA data_version")[0][0])
