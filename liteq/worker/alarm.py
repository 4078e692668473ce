"""Time limits for the one slot in the main thread: SIGALRM raises into the task, never into the database layer."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from liteq.worker.verdict import TimeLimit

TRY_AGAIN_S = 0.005


class Alarm:
    """Interrupts the main thread when time is over. While the engine is busy there, it waits and tries again.

    An exception raised in the middle of a transaction would leave locks behind; asynchronous exceptions from other
    threads did so in one of six hits.
    """

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy = busy
        self._what: type[BaseException] | None = None
        self._before: Any = None

    @property
    def possible(self) -> bool:
        """Whether the calling thread is the main one, which alone hears signals."""
        return threading.current_thread() is threading.main_thread()

    def install(self) -> None:
        """Take over SIGALRM, if this is the main thread."""
        if self.possible:
            self._before = signal.signal(signal.SIGALRM, self._ring)

    def uninstall(self) -> None:
        """Give SIGALRM back."""
        if self.possible:
            self.disarm()
            signal.signal(signal.SIGALRM, self._before)

    def arm(self, seconds: float, what: type[BaseException] = TimeLimit) -> None:
        """Raise ``what`` in the main thread after so many seconds."""
        self._what = what
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))

    def disarm(self) -> None:
        """Raise nothing."""
        self._what = None
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        what = self._what
        if what is None:
            return
        if self._busy():
            signal.setitimer(signal.ITIMER_REAL, TRY_AGAIN_S)
            return
        self._what = None
        raise what
