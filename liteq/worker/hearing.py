"""Sees to it that the main thread hears what it was told.

A signal that comes between the interpreter's last look and a wait in the kernel is noted by the interpreter, and nobody
wakes the wait: its handler runs when the wait ends, an hour later perhaps. The side thread learns of the signal by the
wake-up descriptor, to which it is written the moment it comes, and knocks until the handler has run.
"""

import contextlib
import os
import signal
import threading

from liteq.clock import Clock
from liteq.worker.alarm import Alarm

_WISHES = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


class Hearing:
    """Between the handlers of the main thread and the side thread. Made in the main thread."""

    def __init__(self, clock: Clock, alarm: Alarm) -> None:
        self._clock = clock
        self._alarm = alarm
        self._came_at = -1
        self._pipe: tuple[int, int] | None = None
        self._before = -1

    def open(self) -> None:
        """Learn of signals from here on, if this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            self._before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)

    def close(self) -> None:
        """Let go of the descriptor. Only when nobody listens any more."""
        if self._pipe is not None:
            signal.set_wakeup_fd(self._before)
            for end in self._pipe:
                os.close(end)
            self._pipe = None

    def listen(self) -> None:
        """Knock at the main thread if it has not heard a signal that has come, or the alarm. For the side thread."""
        if self._pipe is None:
            return
        with contextlib.suppress(BlockingIOError):
            if _WISHES & set(os.read(self._pipe[0], 512)):
                self._came_at = self._clock.monotonic_ms()
        if self._alarm.heard_at < self._came_at or self._alarm.is_overdue():
            self._alarm.knock()
