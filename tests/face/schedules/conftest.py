"""An app whose clock a test moves, a task to schedule, and what became of a schedule's ticks."""

from typing import Any

import pytest

from liteq import Liteq, Task, every
from tests.face.conftest import HandClock

Report = Task[[], str]


@pytest.fixture
def app(slow_app: Liteq) -> Liteq:
    return slow_app


@pytest.fixture
def report(app: Liteq) -> Report:
    @app.task(name="report")
    def make() -> str:
        return "made"

    return make


def counts(app: Liteq, name: str = "s") -> dict[str, int]:
    return app.schedules[name].counts


def two_ticks(app: Liteq, clock: HandClock, report: Report, overlap: Any) -> None:
    """Fire twice, the first job still live at the second tick."""
    app.schedule("s", every(minutes=1, overlap=overlap), report.call())
    for _ in range(2):
        clock.advance(60)
        app.fire_due()
