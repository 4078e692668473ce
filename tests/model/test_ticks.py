"""Ticks that have passed: found without being counted through, and the same as if they had been."""

import time
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteq.model.schedule import AnySchedule
from liteq.model.schedules import cron, every
from liteq.model.ticks import latest, missed

MINUTE = 60_000
YEAR = 365 * 24 * 60 * MINUTE
NOW = round(datetime(2036, 11, 24, 12, 30, 15, tzinfo=UTC).timestamp() * 1000)


class Recorded:
    """A timetable given outright, which counts how often it is asked."""

    def __init__(self, ticks: Sequence[int]) -> None:
        self.ticks = ticks
        self.questions = 0

    def __call__(self, after: int) -> int | None:
        self.questions += 1
        at = bisect_right(self.ticks, after)
        return self.ticks[at] if at < len(self.ticks) else None

    def between(self, after: int, now: int) -> list[int]:
        return [tick for tick in self.ticks if after < tick <= now]


timetables = st.lists(st.integers(0, 5000), unique=True, max_size=400).map(sorted)
instants = st.integers(-10, 5100)


@settings(deadline=None)
@given(ticks=timetables, after=instants, now=instants)
def test_the_latest_tick_is_the_last_one_up_to_now(ticks: list[int], after: int, now: int) -> None:
    recorded = Recorded(ticks)

    found = latest(recorded, after, now)

    passed = recorded.between(after, now)
    assert found == (passed[-1] if passed else None)


@settings(deadline=None)
@given(ticks=timetables, after=instants, now=instants, limit=st.integers(1, 300))
def test_the_missed_ticks_are_the_newest_of_all_that_passed(ticks: list[int], after: int, now: int, limit: int) -> None:
    recorded = Recorded(ticks)

    found = missed(recorded, after, now, limit=limit)

    passed = recorded.between(after, now)
    assert list(found.ticks) == passed[-limit:]
    assert found.count == len(passed) if found.exact else found.count <= len(passed)
    assert found.exact or found.count > max(limit, 100)


def test_ten_million_missed_ticks_take_few_questions() -> None:
    everything = range(0, 10_000_000 * MINUTE, MINUTE)
    recorded = Recorded(everything)

    assert latest(recorded, -1, everything[-1]) == everything[-1]
    assert recorded.questions < 60
    recorded.questions = 0
    assert missed(recorded, -1, everything[-1], limit=100).ticks == tuple(everything[-100:])
    assert recorded.questions < 5 * 100


def test_a_rare_tick_is_sought_ever_further_back() -> None:
    recorded = Recorded([*range(0, 200 * MINUTE, MINUTE), 10 * YEAR])

    assert missed(recorded, -1, 10 * YEAR, limit=3).ticks == (198 * MINUTE, 199 * MINUTE, 10 * YEAR)
    assert recorded.questions < 250


def test_one_tick_that_is_due_is_found_without_a_search() -> None:
    recorded = Recorded([5 * MINUTE, YEAR])

    assert latest(recorded, 0, YEAR - 1) == 5 * MINUTE
    assert recorded.questions == 2


@pytest.mark.parametrize(
    "schedule",
    [
        cron("* * * * *"),
        cron("* * * * *", timezone="Europe/Berlin"),
        cron("* * * * * *", timezone="America/New_York"),
        cron("* * 1 1 * *"),
        cron("0 0 29 2 *"),
        every(seconds=1).bind(name="x", now_ms=0),
    ],
    ids=lambda schedule: schedule.describe(),
)
def test_ten_years_asleep_are_answered_in_milliseconds(schedule: AnySchedule) -> None:
    schedule.next_fire_ms(NOW)
    began = time.perf_counter()
    newest = schedule.latest_fire_ms(NOW - 10 * YEAR, NOW)
    for_all = schedule.missed(NOW - 10 * YEAR, NOW, limit=100)

    assert time.perf_counter() - began < 0.25
    assert newest is not None
    assert for_all.ticks[-1] == newest
    following = schedule.next_fire_ms(newest)
    assert following is not None
    assert newest <= NOW < following
    for earlier, later in zip(for_all.ticks, for_all.ticks[1:], strict=False):
        assert schedule.next_fire_ms(earlier) == later


def test_an_interval_counts_its_missed_ticks_exactly() -> None:
    schedule = every(minutes=1).bind(name="x", now_ms=NOW - 10 * YEAR)

    found = schedule.missed(NOW - 10 * YEAR, NOW, limit=3)

    assert (found.count, found.exact) == (10 * 365 * 24 * 60, True)
    assert found.ticks == (NOW - 2 * MINUTE, NOW - MINUTE, NOW)


def test_few_missed_ticks_are_counted_and_many_are_known_to_be_many() -> None:
    schedule = cron("* * * * *")

    few, many = (schedule.missed(NOW - minutes * MINUTE, NOW, limit=1) for minutes in (100, 5000))

    assert (few.count, few.exact, len(few.ticks)) == (100, True, 1)
    assert (many.count, many.exact, many.ticks) == (101, False, few.ticks)


def test_a_clock_that_went_back_has_missed_nothing() -> None:
    schedule = cron("* * * * *")

    assert schedule.latest_fire_ms(NOW, NOW - YEAR) is None
    assert schedule.missed(NOW, NOW - YEAR, limit=5).count == 0


def test_missed_ticks_keep_to_start_and_end() -> None:
    start, end = datetime(2036, 11, 24, 12, tzinfo=UTC), datetime(2036, 11, 24, 12, 3, tzinfo=UTC)
    schedule = cron("* * * * *", start_at=start, end_at=end)

    found = schedule.missed(NOW - YEAR, NOW, limit=100)

    assert (found.count, found.exact) == (4, True)
    assert schedule.latest_fire_ms(NOW - YEAR, NOW) == round(end.timestamp() * 1000)
