"""One worker process, as its supervisor sees it: started by exec, asked to stop, killed, and why it ended."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from liteq.clock import Clock
from liteq.model.fleet import Death
from liteq.model.transitions import Outcome
from liteq.worker.leash import Farewell, Hello, Line
from liteq.worker.limits import EXIT_OVERDUE
from liteq.worker.machine import kill_with_descendants, oom_kills, signal_name

RELEASE_MS = 5_000
"""What a worker gets, after the grace, to give back what runs; then it is killed."""


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
        return self.hello is not None and not known

    def ask_to_stop(self, why: str, *, grace_ms: int) -> None:
        """Have it drain; asked again, it gives back what runs. After the grace and some more it is to be killed."""
        self.leaving = self.leaving or why
        self.kill_at = self._clock.monotonic_ms() + grace_ms + RELEASE_MS
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def kill(self, death: Death) -> None:
        """End it now, for a reason that is known."""
        self._death = self._death or death
        self.kill_at = None
        # Else a command of a job that is about to run again would run on beside it.
        kill_with_descendants(self.pid)

    def is_due_to_be_killed(self) -> bool:
        return self.kill_at is not None and self._clock.monotonic_ms() >= self.kill_at

    def death(self, code: int) -> Death:
        """Tell how it ended, for the jobs that it leaves behind."""
        if self._death is not None:
            return self._death
        if code == EXIT_OVERDUE:
            return Death(cause="its worker ended for a job past its time", outcome=Outcome.RELEASED)
        if code >= 0:
            return Death(cause=f"its worker ended with exit code {code}", exit_code=code)
        cause = f"its worker was killed by {signal_name(-code)}"
        if code == -signal.SIGKILL and oom_kills() != self._oom_kills:
            cause += ", probably out of memory: the kernel has killed for it meanwhile"
        return Death(cause=cause, exit_code=code)

    def close(self) -> None:
        self.line.close()
