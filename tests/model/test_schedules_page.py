"""The page on schedules says what the code does."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from liteq.errors import InvalidSchedule
from liteq.model.schedule_options import Misfire, Overlap, ScheduleOptions
from liteq.model.schedules import cron

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
BERLIN = ZoneInfo("Europe/Berlin")


def table(name: str) -> list[list[str]]:
    rows = PAGE.split(f"<!-- {name} -->\n")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split(" | ")] for row in rows]


def ticks_between_one_and_four(expr: str, day: str) -> str:
    start = datetime.fromisoformat(f"{day}T00:59:59").replace(tzinfo=BERLIN)
    end = datetime.fromisoformat(f"{day}T04:00:00").replace(tzinfo=BERLIN).timestamp()
    found = cron(expr, timezone="Europe/Berlin").next_fires(start, 50)
    return " · ".join(shown(tick.astimezone(BERLIN)) for tick in found if tick.timestamp() < end) or "none"


def shown(tick: datetime) -> str:
    return f"{tick:%H:%M} +{(tick.utcoffset() or timedelta(0)) // timedelta(hours=1)}"


@pytest.mark.parametrize(("expr", "said"), table("words"))
def test_each_expression_on_the_page_fires_as_told(expr: str, said: str) -> None:
    assert cron(expr).describe() == f"{said}, UTC"


@pytest.mark.parametrize(("expr", "why"), table("refused"))
def test_each_refused_expression_on_the_page_is_refused(expr: str, why: str) -> None:
    with pytest.raises(InvalidSchedule):
        cron(expr)


@pytest.mark.parametrize(("expr", "spring", "autumn"), table("clock changes"))
def test_the_table_of_clock_changes_is_what_happens(expr: str, spring: str, autumn: str) -> None:
    assert ticks_between_one_and_four(expr, "2028-03-26") == spring
    assert ticks_between_one_and_four(expr, "2028-10-29") == autumn


def test_every_option_and_each_of_its_words_is_on_the_page() -> None:
    named = set(re.findall(r"`\"?(\w+)\"?`", PAGE))

    assert named >= {*ScheduleOptions.__annotations__, *get_args(Misfire), *get_args(Overlap)}
