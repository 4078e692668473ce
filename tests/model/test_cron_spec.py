"""Compiled expressions: hashed values, sharing between threads, and what is loaded when."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from liteq.model.cron import CronSpec, compile_cron


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def ticks(expr: str, after: str, *, tz: str = "UTC", count: int = 3) -> list[str]:
    found = compile_cron(expr, timezone=tz).next_fires(ms(after), count)
    return [datetime.fromtimestamp(tick / 1000, ZoneInfo(tz)).isoformat() for tick in found]


def test_h_depends_on_the_name_alone() -> None:
    def drawn(name: str) -> tuple[int, ...]:
        calendar = compile_cron("H H H H H H", timezone="UTC", name=name).calendar
        return (*calendar.minutes, *calendar.hours, *calendar.days.dates, *calendar.months, *calendar.seconds)

    assert drawn("nightly") == drawn("nightly") == (3, 8, 8, 6, 49)
    assert len({drawn(f"schedule {number}") for number in range(200)}) > 190


def test_h_never_draws_a_day_that_some_month_lacks() -> None:
    days = {
        date
        for number in range(500)
        for date in compile_cron("0 0 H * *", timezone="UTC", name=str(number)).calendar.days.dates
    }

    assert days == set(range(1, 29))


@pytest.mark.parametrize(
    ("text", "low", "high", "step"),
    [("H", 0, 59, None), ("H/10", 0, 59, 10), ("H(10-19)", 10, 19, None), ("H(30-59)/15", 30, 59, 15)],
)
def test_h_stays_in_its_range_and_keeps_its_step(text: str, low: int, high: int, step: int | None) -> None:
    firsts = set()
    for number in range(300):
        minutes = compile_cron(f"{text} * * * *", timezone="UTC", name=str(number)).calendar.minutes
        firsts.add(minutes[0])
        assert low <= minutes[0]
        assert minutes[-1] <= high
        assert minutes == (minutes[:1] if step is None else tuple(range(minutes[0], high + 1, step)))
    assert firsts == set(range(low, low + (step or high - low + 1)))


def test_daily_is_midnight_also_for_a_named_schedule() -> None:
    calendar = compile_cron("@daily", timezone="UTC", name="nightly").calendar

    assert (calendar.hours, calendar.minutes, calendar.seconds) == ((0,), (0,), (0,))


def test_one_spec_serves_eight_threads_at_once() -> None:
    spec = compile_cron("*/7 1-3 L * * */20", timezone="Europe/Berlin")
    begins = [ms("2028-01-01T00:00:00+00:00") + number * 86_400_000 * 45 for number in range(8)]
    alone = [spec.next_fires(begin, 400) for begin in begins]

    def walk(begin: int) -> list[list[int]]:
        return [spec.next_fires(begin, 400) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(walk, begins))

    assert together == [[ticks] * 5 for ticks in alone]


def test_a_spec_cannot_be_changed() -> None:
    spec: CronSpec = compile_cron("0 0 * * *", timezone="UTC")

    with pytest.raises(AttributeError):
        spec.fixed = False  # type: ignore[misc]


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import liteq.model.cron", False),
        ("from liteq.model.schedules import cron_later; cron_later('*/5 * * * *')", False),
        ("from liteq.model.schedules import every; every(minutes=1).next_fire_ms(0)", False),
        ("from liteq.model.schedules import cron; cron('*/5 * * * *')", True),
        ("from liteq.model.schedules import cron_later; cron_later('*/5 * * * *').next_fire_ms(0)", True),
    ],
)
def test_croniter_is_loaded_only_when_an_expression_is_compiled(code: str, loaded: bool) -> None:
    asked = f"import sys; {code}; print('croniter' in sys.modules)"

    said = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True).stdout

    assert said.strip() == str(loaded)
