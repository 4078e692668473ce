"""The four kinds of schedule and their ticks."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from liteq.errors import InvalidOption, InvalidSchedule
from liteq.model.schedule import Every
from liteq.model.schedules import ScheduleWarning, at, cron, cron_later, every, manual

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)
HOUR = 3_600_000
DAY = 24 * HOUR


def times(found: list[datetime]) -> list[str]:
    return [f"{moment:%m-%d %H:%M:%S}" for moment in found]


def test_cron_ticks_in_its_time_zone_and_answers_in_utc() -> None:
    found = cron("0 2 * * *", timezone="Europe/Berlin").next_fires(NOON, 2)

    assert found == [datetime(2026, 11, 25, 1, tzinfo=UTC), datetime(2026, 11, 26, 1, tzinfo=UTC)]
    assert {moment.tzinfo for moment in found} == {UTC}


def test_cron_means_utc_unless_a_zone_is_named() -> None:
    assert times(cron("0 2 * * *").next_fires(NOON, 1)) == ["11-25 02:00:00"]


def test_a_zone_may_be_given_as_an_object() -> None:
    assert cron("0 2 * * *", timezone=ZoneInfo("Asia/Kathmandu")) == cron("0 2 * * *", timezone="Asia/Kathmandu")


def test_cron_refuses_a_mistake_at_once_and_cron_later_at_its_first_use() -> None:
    with pytest.raises(InvalidSchedule):
        cron("60 * * * *")
    later = cron_later("60 * * * *")
    with pytest.raises(InvalidSchedule, match="minute"):
        later.next_fire_ms(NOON_MS)
    with pytest.raises(InvalidSchedule, match="time zone"):
        cron_later("0 * * * *", timezone="Mars/X").describe()


def test_cron_later_is_the_same_value_as_cron() -> None:
    assert cron_later("*/5 * * * *", overlap="allow") == cron("*/5 * * * *", overlap="allow")


@pytest.mark.parametrize("maker", [cron, cron_later])
def test_a_text_beyond_measure_is_refused_before_it_is_read(maker: Any) -> None:
    with pytest.raises(InvalidSchedule, match="too many"):
        maker("*," * 100_000)
    with pytest.raises(InvalidSchedule, match="too many"):
        maker("* * * * *", timezone="x" * 1_000_000)
    with pytest.raises(TypeError, match="must be a str"):
        maker(None)
    with pytest.raises(TypeError, match="must be a str"):
        maker("* * * * *", timezone=UTC)


def test_h_asks_for_a_name_before_it_tells_a_tick() -> None:
    unbound = cron("H 3 * * *")

    with pytest.raises(InvalidSchedule, match="bind"):
        unbound.next_fires(NOON, 1)
    bound = unbound.bind(name="nightly", now_ms=NOON_MS)
    assert bound.next_fires(NOON, 1)[0].hour == 3
    assert bound.bind(name="other", now_ms=NOON_MS) == bound
    assert bound.declared() == unbound
    assert unbound.bind(name="other", now_ms=NOON_MS).next_fires(NOON, 1) != bound.next_fires(NOON, 1)


def test_a_name_leaves_an_expression_without_h_as_it_is() -> None:
    schedule = cron("0 3 * * THU")

    assert schedule.bind(name="nightly", now_ms=NOON_MS) is schedule


def test_a_preview_marks_the_ticks_that_a_clock_change_touches() -> None:
    schedule = cron("40 2 * * *", timezone="Europe/Berlin")
    before_spring = datetime(2028, 3, 25, 12, tzinfo=UTC)

    marks = [schedule.touched(round(tick.timestamp() * 1000)) for tick in schedule.next_fires(before_spring, 2)]

    assert marks == ["gap", None]
    assert every(hours=1).touched(NOON_MS) is None


def test_an_interval_counts_from_the_moment_it_is_made() -> None:
    bound = every(minutes=10).bind(name="x", now_ms=NOON_MS + 1234)

    assert bound.next_fire_ms(0) == NOON_MS + 1234 + 600_000
    assert bound.next_fire_ms(NOON_MS + 1234 + 600_000) == NOON_MS + 1234 + 1_200_000
    assert bound.bind(name="x", now_ms=NOON_MS + 99_999) == bound
    assert bound.declared() == every(minutes=10)


def test_an_interval_with_a_start_ticks_at_the_start() -> None:
    schedule = every(hours=6, start_at=NOON).bind(name="x", now_ms=NOON_MS - DAY)

    assert times(schedule.next_fires(NOON - timedelta(days=3), 2)) == ["11-24 12:00:00", "11-24 18:00:00"]
    assert times(schedule.next_fires(NOON, 1)) == ["11-24 18:00:00"]
    assert schedule.declared() == schedule


def test_an_unbound_interval_is_previewed_from_the_instant_asked() -> None:
    assert times(every(minutes=10).next_fires(NOON, 2)) == ["11-24 12:10:00", "11-24 12:20:00"]


def test_an_interval_is_elapsed_time_across_a_clock_change() -> None:
    before_spring = datetime(2028, 3, 26, 0, 30, tzinfo=UTC)

    first, second = every(hours=1, start_at=before_spring).next_fires(before_spring, 2)

    assert second - first == timedelta(hours=1)


@pytest.mark.parametrize(
    ("schedule", "period_ms"),
    [
        (every(timedelta(hours=1)), HOUR),
        (every(90), 90_000),
        (every(1.5), 1500),
        (every(weeks=1, days=1, hours=1, minutes=1, seconds=1), 7 * DAY + DAY + HOUR + 61_000),
        (every(minutes=0.5), 30_000),
        (every(days=3653), 3653 * DAY),
    ],
)
def test_a_period_is_a_timedelta_or_seconds_or_units(schedule: Every, period_ms: int) -> None:
    assert schedule.period_ms == period_ms


@pytest.mark.parametrize(
    "given",
    [
        {}, {"period": 0}, {"period": -1}, {"period": float("inf")}, {"period": float("nan")}, {"seconds": 0},
        {"minutes": -5}, {"hours": float("inf")}, {"hours": float("nan")}, {"days": 1e300}, {"days": 3654},
        {"period": timedelta.max}, {"period": timedelta(0)}, {"period": 10, "minutes": 1},
        {"period": 10**400},
    ],
    ids=str,
)  # fmt: skip
def test_a_period_that_is_none_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="every"):
        every(**given)


@pytest.mark.parametrize("given", [{"period": "10"}, {"period": True}, {"minutes": "5"}, {"fortnights": 1}], ids=str)
def test_a_period_of_the_wrong_type_is_a_type_error(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        every(**given)


def test_a_period_below_a_second_is_warned_of() -> None:
    with pytest.warns(ScheduleWarning, match="500 ms") as caught:
        every(seconds=0.5)
    assert caught[0].filename == __file__


def test_at_ticks_once() -> None:
    schedule = at(NOON)

    assert schedule.next_fire_ms(NOON_MS - 1) == NOON_MS
    assert schedule.next_fire_ms(NOON_MS) is None
    assert schedule.latest_fire_ms(0, NOON_MS - 1) is None
    assert schedule.latest_fire_ms(0, NOON_MS + DAY) == NOON_MS


def test_at_takes_any_zone_and_refuses_none() -> None:
    assert at(datetime(2026, 11, 24, 13, tzinfo=ZoneInfo("Europe/Berlin"))) == at(NOON)
    with pytest.raises(InvalidOption, match="needs a time zone"):
        at(datetime(2026, 11, 24, 13))  # noqa: DTZ001  that is the mistake
    with pytest.raises(InvalidOption, match="1970"):
        at(datetime(1969, 12, 31, tzinfo=UTC))
    with pytest.raises(TypeError, match="datetime"):
        at("2026-11-24")  # type: ignore[arg-type]


def test_manual_never_ticks() -> None:
    schedule = manual()

    assert schedule.next_fire_ms(0) is None
    assert schedule.next_fires(NOON, 5) == []
    assert schedule.missed(0, NOON_MS, limit=5).count == 0
