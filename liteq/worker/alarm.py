"""Time limits for the one slot in the main thread: SIGALRM raises into the task, never into the database layer."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from liteq.clock import Clock
from liteq.worker.verdict import Leaving, TimeLimit

TRY_AGAIN_S = 0.005
OVERDUE_MS = 100
_MAIN = threading.main_thread().ident or 0


class Alarm:
    """Interrupts the task in the main thread when its time is over, or the worker's.

    While the engine is busy there, it waits and tries again: an exception raised in the middle of a transaction would
    leave locks behind, as asynchronous exceptions from other threads did in one of six hits.
    """

    def __init__(self, clock: Clock, busy: Callable[[], bool]) -> None:
        self._clock = clock
        self._busy = busy
        self._limit_at: int | None = None
        self._leave_at: int | None = None
        self._in_task = False
        self._installed = False
        self._before: Any = None
        self.heard_at = 0
        """When the main thread last ran a handler of ours: with it, those of all signals that had come by then."""

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
        if self._installed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._installed = False
            signal.signal(signal.SIGALRM, self._before)

    def enter_task(self, timeout_ms: int | None) -> None:
        """From here on the main thread runs a task, which may be interrupted, after its time limit if it has one."""
        self._in_task = True
        if timeout_ms is not None:
            self._limit_at = self._clock.monotonic_ms() + timeout_ms
        if timeout_ms is not None or self._leave_at is not None:
            self._set()

    def leave_task(self) -> None:
        """The main thread runs its own code again."""
        self._in_task = False
        self._limit_at = None

    def leave_after(self, milliseconds: int) -> None:
        """Raise Leaving into whatever task runs in the main thread so much later. May be called by a signal handler."""
        leave_at = self._clock.monotonic_ms() + milliseconds
        self._leave_at = leave_at if self._leave_at is None else min(self._leave_at, leave_at)
        self._set()

    def is_overdue(self) -> bool:
        """Tell whether it should have rung into the task for some time. For other threads."""
        moment = min((one for one in (self._limit_at, self._leave_at) if one is not None), default=None)
        return moment is not None and self._in_task and self._clock.monotonic_ms() > moment + OVERDUE_MS

    def knock(self) -> None:
        """Have the main thread run the handlers of what has come, whatever it waits in. For other threads."""
        if self._installed and signal.getsignal(signal.SIGALRM) == self._ring:
            signal.pthread_kill(_MAIN, signal.SIGALRM)

    def _set(self) -> None:
        moments = [moment for moment in (self._limit_at, self._leave_at) if moment is not None]
        # SIGALRM's default action ends the process: no timer without our handler.
        if self._installed and moments:
            if signal.getsignal(signal.SIGALRM) != self._ring:
                # A task took it, and left: an innocent one must not die of that.
                signal.signal(signal.SIGALRM, self._ring)
            wait_ms = min(moments) - self._clock.monotonic_ms()
            signal.setitimer(signal.ITIMER_REAL, max(wait_ms / 1000, 0.001))

    def note_heard(self) -> None:
        """Note that a handler runs in the main thread."""
        self.heard_at = self._clock.monotonic_ms()

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        self.note_heard()
        if not self._in_task:
            return
        if self._busy():
            signal.setitimer(signal.ITIMER_REAL, TRY_AGAIN_S)
            return
        now = self._clock.monotonic_ms()
        if self._leave_at is not None and now >= self._leave_at:
            self._in_task = False
            raise Leaving
        if self._limit_at is not None and now >= self._limit_at:
            self._in_task = False
            raise TimeLimit
        self._set()
