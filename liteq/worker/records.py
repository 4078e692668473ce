"""Keeps the logging records of a run with its attempt."""

import logging
import threading

from liteq.job import running

MAX_LINES = 1_000
MAX_LINE = 2_000
MAX_LOG = 64 * 1024

_lock = threading.Lock()
_users = 0


class RecordKeeper(logging.Handler):
    """Puts each record that a task's thread or coroutine emits beside that task's run."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        run = running.get()
        if run is None:
            self._pass_on(record)
            return
        if run.lines is None:
            run.lines = []
        if len(run.lines) < MAX_LINES:
            try:
                run.lines.append(self.format(record)[:MAX_LINE])
            except Exception:  # noqa: BLE001  a broken log call is reported as logging does, and fails no job
                self.handleError(record)
        self._pass_on(record)

    def _pass_on(self, record: logging.LogRecord) -> None:
        # With our handler alone on the root logger, warnings would no longer reach logging's handler of last resort.
        last = logging.lastResort
        if last is not None and logging.getLogger().handlers == [self] and record.levelno >= last.level:
            last.handle(record)


_keeper = RecordKeeper()


def keep_records() -> None:
    """Begin to keep records; nested calls count."""
    global _users  # noqa: PLW0603  the root logger is one for the process, and so is this count
    with _lock:
        _users += 1
        if _users == 1:
            logging.getLogger().addHandler(_keeper)


def leave_records() -> None:
    """End what ``keep_records`` began."""
    global _users  # noqa: PLW0603  see above
    with _lock:
        _users -= 1
        if _users == 0:
            logging.getLogger().removeHandler(_keeper)


def kept(lines: list[str] | None) -> str | None:
    """Give the kept lines as one bounded text, None when there were none."""
    if not lines:
        return None
    # File names may hold lone surrogates, which no database takes.
    text = "\n".join(lines).encode("utf-8", "replace").decode()
    if len(lines) >= MAX_LINES:
        text += "\n... more was logged and not kept"
    return text if len(text) <= MAX_LOG else text[:MAX_LOG] + "\n... more was logged and not kept"
