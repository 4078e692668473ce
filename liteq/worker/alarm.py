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
        self._in_task = False
        self._installed = False

    @property
    def possible(self) -> bool:
        """Whether the calling thread is the main one, which alone hears signals."""
        return threading.current_thread() is threading.main_thread()

    def install(self) -> None:
        """Take over SIGALRM, if this is the main thread."""
        if self.possible:
            self._before = signal.signal(signal.SIGALRM, self._ring)
            self._installed = True

    def uninstall(self) -> None:
        """Give SIGALRM back."""
        if self.possible:
            self.disarm()
            self._installed = False
            signal.signal(signal.SIGALRM, self._before)

    def enter_task(self, timeout_ms: int | None) -> None:
        """From here on the main thread runs a task, which may be interrupted, after its time limit if it has one."""
        self._in_task = True
        if timeout_ms is not None:
            self.arm(timeout_ms / 1000)

    def leave_task(self) -> None:
        """The main thread runs its own code again."""
        self._in_task = False
        if self._what is TimeLimit:
            self.disarm()

    def arm(self, seconds: float, what: type[BaseException] = TimeLimit) -> None:
        """Raise ``what`` into the task that runs in the main thread after so many seconds, if one does."""
        if not self._installed:
            # The default action of SIGALRM ends the process.
            return
        self._what = what
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))

    def disarm(self) -> None:
        """Raise nothing."""
        self._what = None
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        what = self._what
        if what is None or not self._in_task:
            return
        if self._busy():
            signal.setitimer(signal.ITIMER_REAL, TRY_AGAIN_S)
            return
        self._what = None
        raise what
