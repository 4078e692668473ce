"""One run of the script with every call on the disk, to be replayed up to any of them."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from liteq.errors import LiteqError
from liteq.store.sqlite import writer
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.platform import write_again
from tests.engine.steps import enqueue_one
from tests.faults.disk import FAILED_SYNC, MODES, Disk, Image
from tests.faults.script import Script, Told
from tests.faults.stock import Stock, stock_of
from tests.faults.vfs import Call, Watcher, watched


class Mark(NamedTuple):
    """A verb has returned, and what then stood has this number; ``kept`` tells whether power cuts leave it."""

    number: int
    told: Told
    kept: bool


class Recorder(Watcher):
    """Writes down what is done; of the syncs of the log it has the nth fail, counted from 1."""

    def __init__(self, *, failing_sync: int = 0) -> None:
        self.heard: list[Call | Mark] = []
        self._syncs_left = failing_sync

    def is_due(self, call: Call) -> bool:
        if call.kind != "sync" or not call.name.endswith("-wal"):
            return False
        self._syncs_left -= 1
        return self._syncs_left == 0

    @contextmanager
    def hearing_of_renewals(self) -> Iterator[None]:
        """Hear also of the one thing that is written past SQLite."""

        def renew(path: Path) -> None:
            write_again(path)
            self.heard += [Call("write", path.name, 0, path.read_bytes()), Call("sync", path.name)]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer, "write_again", renew)
            yield

    def strike(self, call: Call) -> None:
        self.heard.append(call._replace(kind=FAILED_SYNC))
        raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)

    def done(self, call: Call) -> None:
        self.heard.append(call)


class Recording:
    """The calls and marks of one run, and how things stood at each mark; before the first there was nothing."""

    def __init__(self, folder: Path, *, seed: int, length: int, full: bool, failing_sync: int = 0) -> None:
        self.stocks: list[Stock] = []
        recorder = Recorder(failing_sync=failing_sync)
        self.heard = recorder.heard
        script = Script(lambda: SqliteEngine(folder / "jobs.db", full=full), seed=seed, length=length)
        with watched(recorder), recorder.hearing_of_renewals():
            for told in script.play():
                recorder.heard.append(Mark(len(self.stocks), told, told.outlives_power(full=full)))
                self.stocks.append(stock_of(told.engine))
            told.engine.close()

    def expect_full_durability(self) -> None:
        """Judge this run as if it had been made under full durability."""
        self.heard = [
            heard._replace(kept=heard.told.outlives_power(full=True)) if isinstance(heard, Mark) else heard
            for heard in self.heard
        ]

    def power_cuts(self, *, seed: int, every: int) -> Iterator["PowerCut"]:
        """Cut the power after every nth call or so, once in each mode; give only what has not been given before.

        Where a sync failed, the cuts begin after it: of what the failing verb wrote until then nothing was told.
        """
        first = max((place for place, heard in enumerate(self.heard) if heard[0] == FAILED_SYNC), default=0)
        rng = random.Random(seed)  # noqa: S311  no secret
        disk = Disk()
        seen: set[int] = set()
        kept, last = -1, -1
        for place, heard in enumerate(self.heard):
            if isinstance(heard, Mark):
                last = heard.number
                kept = last if heard.kept else kept
            else:
                disk.hear(heard)
            if place < first or rng.randrange(every):
                continue
            for mode in MODES:
                image = disk.after_power_cut(mode, rng)
                identity = hash((kept, last, *image.items()))
                if image and identity not in seen:
                    seen.add(identity)
                    yield PowerCut(place, mode, image, kept, last)


class PowerCut(NamedTuple):
    """What was on the disk. The marks ``kept`` to ``last`` had been told, and the verb after that may be done."""

    place: int
    mode: str
    image: Image
    kept: int
    last: int

    def __str__(self) -> str:
        return f"power cut after call {self.place}, {self.mode} unsynced"

    def verdict(self, folder: Path, stocks: list[Stock]) -> str:
        """Let an engine open what was left. Give ``whole``, or what is wrong."""
        path = folder / "jobs.db"
        for left in folder.glob("jobs.db*"):
            left.unlink()
        for name, content in self.image.items():
            (folder / name).write_bytes(content)
        try:
            engine = SqliteEngine(path)
        except LiteqError as error:
            return f"corrupt: {error}"
        try:
            return self._judge(engine, stocks)
        finally:
            engine.close()

    def _judge(self, engine: SqliteEngine, stocks: list[Stock]) -> str:
        try:
            complaints = engine.check(full=True)
            found = stock_of(engine)
            enqueue_one(engine)
        except LiteqError as error:
            return f"corrupt: {error}"
        if complaints:
            return f"corrupt: {complaints}"
        # A file that was not yet made is made anew by whoever opens it.
        possible = stocks[max(self.kept, 0) : self.last + 2]
        if found in possible:
            return "whole"
        return "lost" if found in stocks else "mixed"


def verdicts(recording: Recording, folder: Path, *, seed: int, every: int) -> tuple[Counter[str], list[str]]:
    """Give how many power cuts left what, and which left anything but a whole file."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with watched(Watcher()):
        for cut in recording.power_cuts(seed=seed, every=every):
            verdict = cut.verdict(folder, recording.stocks)
            counts[verdict.partition(":")[0]] += 1
            if verdict != "whole":
                wrong.append(f"{cut}: {verdict}")
    return counts, wrong
