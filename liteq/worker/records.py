"""Keeps the logging records of a run with its attempt."""

import logging
import threading

from liteq.job import Run, running

MAX_LINES = 1_000
MAX_LINE = 2_000
MAX_LOG = 64 * 1024
_KEPT = "kept_by_liteq"

_lock = threading.Lock()
_users = 0


class RecordKeeper(logging.Handler):
    """Puts each record that a task's thread or coroutine emits beside that task's run."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        run = running.get()
        if run is not None and not hasattr(record, _KEPT):
            self.keep(record, run)
        self._pass_on(record)

    def keep(self, record: logging.LogRecord, run: Run) -> None:
        """Put the record beside the run, as far as there is room."""
        if run.lines is None:
            run.lines = []
        if len(run.lines) < MAX_LINES:
            try:
                run.lines.append(self.format(record)[:MAX_LINE])
            except Exception:  # noqa: BLE001  a broken log call is reported as logging does, and fails no job
                self.handleError(record)

    def _pass_on(self, record: logging.LogRecord) -> None:
        # With our handler alone on the root logger, warnings would no longer reach logging's handler of last resort.
        last = logging.lastResort
        if last is not None and logging.getLogger().handlers == [self] and record.levelno >= last.level:
            last.handle(record)


class TaskLog(logging.Handler):
    """Keeps what ``ctx.log`` says from INFO on, however quiet the program is. Others hear what they asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._logger = logging.getLogger("liteq.task")
        self._before = self._logger.level, self._logger.propagate

    def listen(self) -> None:
        """Stand between the tasks' loggers and those above. A level that the program has set stays."""
        self._before = self._logger.level, self._logger.propagate
        self._logger.setLevel(self._logger.level or logging.INFO)
        self._logger.propagate = False
        self._logger.addHandler(self)

    def leave(self) -> None:
        self._logger.removeHandler(self)
        level, self._logger.propagate = self._before
        self._logger.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        run = running.get()
        if run is not None:
            _keeper.keep(record, run)
            setattr(record, _KEPT, True)
        above = logging.getLogger("liteq")
        if above.isEnabledFor(record.levelno):
            above.callHandlers(record)


_keeper = RecordKeeper()
_task_log = TaskLog()


def keep_records() -> None:
    """Begin to keep records; nested calls count."""
    global _users  # noqa: PLW0603  the root logger is one for the process, and so is this count
    with _lock:
        _users += 1
        if _users == 1:
            logging.getLogger().addHandler(_keeper)
            _task_log.listen()


def leave_records() -> None:
    """End what ``keep_records`` began."""
    global _users  # noqa: PLW0603  see above
    with _lock:
        _users -= 1
        if _users == 0:
            logging.getLogger().removeHandler(_keeper)
            _task_log.leave()


def kept(lines: list[str] | None) -> str | None:
    """Give the kept lines as one bounded text, None when there were none."""
    if not lines:
        return None
    # File names may hold lone surrogates, which no database takes.
    text = "\n".join(lines).encode("utf-8", "replace").decode()
    if len(lines) >= MAX_LINES:
        text += "\n... more was logged and not kept"
    return text if len(text) <= MAX_LOG else text[:MAX_LOG] + "\n... more was logged and not kept"
