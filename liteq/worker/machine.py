"""What a supervisor asks of the machine: why a process ended, how large it is, and what systemd wants to hear."""

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

_VMSTAT = Path("/proc/vmstat")


def signal_name(number: int) -> str:
    """Give the name of a signal, such as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def oom_kills() -> int | None:
    """Give how many processes the kernel has killed for memory since boot; None where it does not count them."""
    with suppress(OSError, ValueError):
        for line in _VMSTAT.read_text("ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None


def resident_bytes(pid: int) -> int | None:
    """Give the memory that a process holds, None when there is no such process."""
    import psutil  # noqa: PLC0415  no command that only asks the file should wait for it

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def kill_with_descendants(pid: int) -> None:
    """End a process and all that it has started, its commands among them."""
    import psutil  # noqa: PLC0415  see above

    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        # Stopped while its family is counted, it cannot start another child meanwhile.
        process.suspend()
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                one.kill()


def reap_orphans(own: set[int]) -> list[int]:
    """As process 1 of a container: let go of ended processes that are none of ``own``; give their pids."""
    gone: list[int] = []
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return gone
        if ended is None or ended.si_pid in own or ended.si_pid in gone:
            return gone
        with suppress(ChildProcessError):
            os.waitpid(ended.si_pid, os.WNOHANG)
        gone.append(ended.si_pid)


class Notifier:
    """Tells systemd how the service is, if it asked: sd_notify(3)."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog = "WATCHDOG_USEC" in environment

    def tell(self, *lines: str) -> None:
        """Send lines such as READY=1. Whoever does not listen is not waited for."""
        if not self._address.startswith(("/", "@")):
            return
        # An address that begins with @ is in the abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(0)
            line.sendto("\n".join(lines).encode(), address)
