"""Small files for many tries, and what was tried told at the end."""

from collections import Counter
from pathlib import Path

import pytest

from liteq.store.sqlite.engine import SqliteEngine
from tests.faults.small import make_small
from tests.faults.vfs import Watcher, watched

_TALLY = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Counter()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Counter[str]:
    """Give the counts that are told when all tests have ended."""
    return request.config.stash.setdefault(_TALLY, Counter())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = config.stash.get(_TALLY, Counter())
    if counts:
        terminalreporter.section("faults")
        for what, number in sorted(counts.items()):
            terminalreporter.write_line(f"{what}: {number}")


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


@pytest.fixture
def empty_file(tmp_path: Path, small_files: None) -> bytes:
    """Give the bytes of a liteq file without jobs."""
    path = tmp_path / "empty.db"
    with watched(Watcher()):
        SqliteEngine(path).close()
    return path.read_bytes()
