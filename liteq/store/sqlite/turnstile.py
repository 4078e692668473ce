"""The line in which processes stand to write. It knows a file to lock and a time to wait, no database."""

import fcntl
import os
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from liteq.clock import SystemClock
from liteq.errors import StorageError
from liteq.store.sqlite.descriptor import NOW_OR_NEVER, Descriptor, open_private

_CLOCK = SystemClock()
_NO_LINE_MS = 5_000


class _Line:
    """A blocking flock in a thread of its own: flock knows no time-out, and who asked must be able to go.

    A thread left standing serves the next asker too, so that a stopped holder never gathers threads.
    """

    def __init__(self, folder: Descriptor, name: str) -> None:
        self._folder = folder
        self._name = name
        self._mutex = threading.Lock()
        self._settled = threading.Event()
        self._standing = False
        self._wanted = False
        self._file: Descriptor | None = None

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

    def _locked_file(self) -> Descriptor | None:
        # Without the file, or on a filesystem that cannot lock it, there is no line to stand in.
        with suppress(OSError, StorageError), ExitStack() as undo:
            file = open_private(self._folder, self._name)
            undo.callback(file.close)
            file.lock(fcntl.LOCK_EX)
            undo.pop_all()
            return file
        return None


class Turnstile:
    """An exclusive lock for which writers queue in the kernel, in one thread of this process at a time."""

    def __init__(self, folder: Descriptor, path: Path) -> None:
        self._path = path
        self._file = open_private(folder, path.name, os.O_CREAT)
        self._line = _Line(folder, path.name)
        self._in_line = False
        self._no_line_until = 0

    def enter(self, timeout_ms: int) -> bool:
        try:
            if self._in_line:
                self.leave()
            return self._file.lock(NOW_OR_NEVER) or self._queue(timeout_ms)
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
