"""One worker process, as its supervisor sees it: started by exec, asked to stop, killed, and why it ended."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from liteq.clock import Clock
from liteq.model.fleet import Death
from liteq.worker.leash import Farewell, Hello, Line
from liteq.worker.limits import EXIT_OVERDUE
from liteq.worker.machine import kill_with_descendants, oom_kills, signal_name

RELEASE_MS = 5_000
"""What a worker gets, after the grace, to give back what runs; then it is killed.

So much has one that has signed off, too: a thread that a task left behind keeps a Python from ending.
"""


class Child:
    """A worker process. Its word on the line tells which worker it is."""

    def __init__(self, command: Sequence[str], clock: Clock, *, stdout: int | None) -> None:
        self._clock = clock
        self.line = Line()
        theirs = self.line.theirs.fileno()
        unwanted = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
        try:
            self.process = subprocess.Popen(
                [*command, "--one", str(theirs)],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                pass_fds=[theirs],
                env={name: value for name, value in os.environ.items() if name not in unwanted},
                # Ctrl-C in a terminal is for the supervisor alone: it asks the workers in order.
                process_group=0,
            )
        except OSError:
            self.line.close()
            raise
        finally:
            self.line.keep_ours()
        self.started_at = clock.monotonic_ms()
        self.hello: Hello | None = None
        self.farewell: Farewell | None = None
        self.leaving: str | None = None
        """Why it was asked to stop, None when it was not."""
        self.kill_at: int | None = None
        self._death: Death | None = None
        self._oom_kills = oom_kills()

    @property
    def pid(self) -> int:
        return self.process.pid

    def hear(self) -> bool:
        """Take in what it said; tell whether it has just become known."""
        known = self.hello is not None
        for word in self.line.hear():
            if isinstance(word, Hello):
                self.hello = word
            else:
                self.farewell = word
                self.kill_at = self.kill_at or self._clock.monotonic_ms() + RELEASE_MS
        return self.hello is not None and not known

    def ask_to_stop(self, why: str, *, grace_ms: int) -> None:
        """Have it end: its running jobs have the grace, and no more than that and some seconds later it is killed."""
        self._ask(signal.SIGTERM, why, grace_ms)

    def ask_to_give_back(self, why: str) -> None:
        """Have it end and give back what runs, whether or not it was asked to stop before."""
        if self.leaving is None:
            self._ask(signal.SIGTERM, why, 0)
        # Another signal than before: of two that are pending, the kernel delivers two alike as one.
        self._ask(signal.SIGINT, why, 0)

    def ask_to_drain(self, why: str) -> bool:
        """Have it end once its running jobs have, however long they take; tell whether it can hear that."""
        if self.hello is None or not self.line.say_drain():
            return False
        self.leaving = self.leaving or why
        return True

    def _ask(self, number: signal.Signals, why: str, grace_ms: int) -> None:
        self.leaving = self.leaving or why
        self.kill_at = self._clock.monotonic_ms() + grace_ms + RELEASE_MS
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self, death: Death) -> None:
        """End it now, for a reason that is known."""
        self._death = self._death or msgspec.structs.replace(death, pid=self.pid)
        self.kill_at = None
        # Else a command of a job that is about to run again would run on beside it.
        kill_with_descendants(self.pid)

    def is_due_to_be_killed(self) -> bool:
        return self.kill_at is not None and self._clock.monotonic_ms() >= self.kill_at

    def death(self, code: int) -> Death:
        """Tell how it ended, for the jobs that it leaves behind."""
        if self._death is not None:
            return self._death
        if code >= 0:
            # A job may end its process with that code too; the verdicts in the file tell.
            unsure = code == EXIT_OVERDUE
            return Death(cause=f"its worker ended with exit code {code}", exit_code=code, pid=self.pid, unsure=unsure)
        cause = f"its worker was killed by {signal_name(-code)}"
        if code == -signal.SIGKILL and oom_kills() != self._oom_kills:
            cause += ", probably out of memory: the kernel has killed for it meanwhile"
        return Death(cause=cause, exit_code=code, pid=self.pid)

    def ended_in_order(self, code: int) -> bool:
        """Tell whether its end was to be expected: it has signed off, was asked to leave, or a job's time was over."""
        overdue = code == EXIT_OVERDUE and self.hello is not None
        return overdue or self.farewell is not None or self.leaving is not None

    def close(self) -> None:
        self.line.close()
