"""Small files for many tries, and what was tried told at the end."""

import os
from collections import Counter
from pathlib import Path

import pytest

from liteq.store.sqlite import schema, tending
from liteq.store.sqlite.engine import SqliteEngine
from tests.faults.vfs import Watcher, watched

SMALL_RESERVE = 64 * 1024

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
def small_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new files small: thousands are written."""
    monkeypatch.setattr(schema, "RESERVE_BYTES", SMALL_RESERVE)
    monkeypatch.setattr(tending, "RESERVE_BYTES", SMALL_RESERVE)


@pytest.fixture(autouse=True)
def nothing_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk the work: no power is cut here but in a model, and that hears of the syncs."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def empty_file(tmp_path: Path, small_reserve: None) -> bytes:
    """Give the bytes of a liteq file without jobs."""
    path = tmp_path / "empty.db"
    with watched(Watcher()):
        SqliteEngine(path).close()
    return path.read_bytes()
