"""One verb on a disk that fails at one call, and all that has to hold then."""

import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from liteq.errors import LiteqError, StorageError
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import NOW, complete, new_job
from tests.faults.failing import FailingDisk, Failure
from tests.faults.scenes import Scene, Verb
from tests.faults.stock import Stock, stock_of
from tests.faults.vfs import Call, watched


class Trial(NamedTuple):
    """What one try came to. ``failed`` is the call that failed, None when the verb does not make so many."""

    failed: Call | None
    error: LiteqError | None
    stands: Stock
    complaints: list[str]

    @property
    def unsure(self) -> bool:
        """Whether the error leaves open if the verb was done."""
        return isinstance(self.error, StorageError) and self.error.may_have_committed


class Bench:
    """A place to try one scene's verb as often as wanted, each time on a file of its own."""

    def __init__(self, folder: Path, empty_file: bytes, scene: Scene) -> None:
        self._folder = folder
        (folder / "crashed").mkdir()
        self._empty_file = empty_file
        self._scene = scene
        self._after = self._without_fault()

    def try_at(self, failure: Failure, nth: int) -> Trial:
        """Let the nth call of the verb's fail, and look at everything that is left."""
        disk = FailingDisk()
        path = self._fresh()
        with watched(disk), ExitStack() as opened:
            keeper, engine, verb = self._opened(path, opened)
            before = stock_of(keeper)
            with disk.failing(failure, nth):
                error = _error_of(verb, engine)
            trial = Trial(disk.failed, error, stock_of(engine), [])
            if trial.failed is not None:
                self._judge(trial, before)
                self._judge_crash(trial, before, path)
                self._judge_repeat(trial, before, verb, engine)
                _judge_use(trial, engine)
        self._judge_file(trial, path)
        return trial

    def _judge(self, trial: Trial, before: Stock) -> None:
        if trial.error is None and trial.stands != self._after:
            trial.complaints.append("the verb says that it is done, and it is not")
        if trial.stands not in (before, self._after):
            trial.complaints.append("the verb stands half way")

    def _judge_crash(self, trial: Trial, before: Stock, path: Path) -> None:
        """Open what would be there had the process been killed just after the error."""
        crashed = self._folder / "crashed"
        # By another process: whoever closes the file here drops the locks on it.
        subprocess.run(["cp", str(path), f"{path}-wal", str(crashed)], check=True)
        with ExitStack() as opened:
            engine = _open(crashed / path.name, opened)
            found = stock_of(engine)
            trial.complaints.extend(f"after a crash: {words}" for words in engine.check(full=True))
        if found != trial.stands and not (trial.unsure and found in (before, self._after)):
            trial.complaints.append(f"a crash makes something else of what stood, unsure: {trial.unsure}")

    def _judge_repeat(self, trial: Trial, before: Stock, verb: Verb, engine: SqliteEngine) -> None:
        if trial.error is None or trial.stands != before:
            return
        verb(engine)
        if stock_of(engine) != self._after:
            trial.complaints.append("the repeated verb comes to something else")

    def _judge_file(self, trial: Trial, path: Path) -> None:
        with watched(FailingDisk()), ExitStack() as opened:
            engine = _open(path, opened)
            trial.complaints.extend(engine.check(full=True))

    def _without_fault(self) -> Stock:
        with watched(FailingDisk()), ExitStack() as opened:
            _, engine, verb = self._opened(self._fresh(), opened)
            verb(engine)
            return stock_of(engine)

    def _fresh(self) -> Path:
        path = self._folder / "jobs.db"
        path.write_bytes(self._empty_file)
        return path

    def _opened(self, path: Path, opened: ExitStack) -> tuple[SqliteEngine, SqliteEngine, Verb]:
        """Prepare with one engine, that a second one comes to the verb with cold caches."""
        keeper = _open(path, opened)
        verb = self._scene.prepare(keeper)
        return keeper, _open(path, opened), verb


def _open(path: Path, opened: ExitStack) -> SqliteEngine:
    engine = SqliteEngine(path, create=False)
    opened.callback(engine.close)
    return engine


def _error_of(verb: Verb, engine: SqliteEngine) -> LiteqError | None:
    try:
        verb(engine)
    except LiteqError as error:
        return error
    return None


def _judge_use(trial: Trial, engine: SqliteEngine) -> None:
    (job,) = engine.enqueue([new_job(task="next", queue="next", tags=("next",))], now=NOW)
    (claim,) = engine.claim(worker_id=1, queues=None, tasks=("next",), limit=1, now=NOW)
    complete(engine, claim)
    if claim.job_id != job.job_id or engine.cancels_asked(worker_id=1):
        trial.complaints.append("the engine takes another job than it was given")
