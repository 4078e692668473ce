"""An app on a fresh file, and one whose clock a test moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from liteq import Liteq


class HandClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Liteq]:
    with Liteq(tmp_path / "jobs.db", durability="normal") as app:
        yield app


@pytest.fixture
def slow_app(tmp_path: Path, clock: HandClock) -> Iterator[Liteq]:
    with Liteq(tmp_path / "slow.db", durability="normal", clock=clock) as app:
        yield app
