"""The options that all kinds of schedule share."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from liteq.errors import InvalidOption
from liteq.model.schedules import at, cron, every, manual

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)
HOUR = 3_600_000
DAY = 24 * HOUR


def times(found: list[datetime]) -> list[str]:
    return [f"{moment:%m-%d %H:%M:%S}" for moment in found]


def test_the_defaults_are_these() -> None:
    options = manual().options

    assert options.misfire == "coalesce"
    assert options.overlap == "skip"
    assert (options.max_catchup, options.max_jitter_ms) == (100, 0)
    assert (options.misfire_grace_ms, options.start_at, options.end_at, options.max_runs) == (None,) * 4


def test_every_kind_takes_the_same_options() -> None:
    given: dict[str, Any] = {
        "misfire": "all", "max_catchup": 7, "misfire_grace": 60, "overlap": "buffer_one",
        "jitter": timedelta(seconds=5), "start_at": NOON, "end_at": NOON + timedelta(days=1), "max_runs": 3,
    }  # fmt: skip

    kept = {cron("0 * * * *", **given).options, every(hours=1, **given).options, at(NOON, **given).options}
    kept.add(manual(**given).options)

    (options,) = kept
    assert (options.misfire, options.max_catchup, options.misfire_grace_ms) == ("all", 7, 60_000)
    assert (options.overlap, options.max_jitter_ms, options.max_runs) == ("buffer_one", 5000, 3)
    assert (options.start_at, options.end_at) == (NOON_MS, NOON_MS + DAY)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("misfire", "never"), ("misfire", None), ("overlap", "queue"), ("max_catchup", 0),
        ("max_catchup", 1001),
        ("misfire_grace", 0.5), ("misfire_grace", -1), ("misfire_grace", float("nan")), ("jitter", -1),
        ("jitter", timedelta(days=8)), ("jitter", float("inf")), ("max_runs", 0), ("max_runs", -1),
        ("max_runs", 2**63), ("start_at", datetime(2026, 1, 1)), ("end_at", datetime(2026, 1, 1)),  # noqa: DTZ001
    ],
    ids=str,
)  # fmt: skip
def test_an_option_outside_its_limits_is_refused_by_name(option: str, value: Any) -> None:
    options: dict[str, Any] = {option: value}

    with pytest.raises(InvalidOption, match=option):
        manual(**options)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_catchup", True), ("max_catchup", 1.5), ("max_runs", "3"), ("jitter", "5"),
        ("misfire_grace", True),
        ("start_at", "2026-01-01"), ("end_at", 5), ("colour", "red"),
    ],
    ids=str,
)  # fmt: skip
def test_an_option_of_the_wrong_type_or_name_is_a_type_error(option: str, value: Any) -> None:
    options: dict[str, Any] = {option: value}

    with pytest.raises(TypeError, match=option):
        manual(**options)


def test_a_schedule_cannot_end_before_it_starts() -> None:
    with pytest.raises(InvalidOption, match="end_at"):
        cron("0 * * * *", start_at=NOON, end_at=NOON - timedelta(seconds=1))


def test_jitter_must_not_reach_the_next_tick_of_an_interval() -> None:
    with pytest.raises(InvalidOption, match="jitter"):
        every(minutes=1, jitter=60)
    assert every(minutes=1, jitter=59).options.max_jitter_ms == 59_000


def test_no_tick_comes_before_the_start_or_after_the_end_and_both_count() -> None:
    schedule = cron("0 * * * *", start_at=NOON, end_at=NOON + timedelta(hours=2))

    assert times(schedule.next_fires(NOON - timedelta(days=9), 9)) == [
        "11-24 12:00:00",
        "11-24 13:00:00",
        "11-24 14:00:00",
    ]
    assert at(NOON, end_at=NOON - timedelta(hours=1)).next_fire_ms(0) is None
    assert every(hours=1, start_at=NOON, end_at=NOON).missed(0, NOON_MS + DAY, limit=9).ticks == (NOON_MS,)


def test_jitter_is_decided_by_name_and_tick_alone() -> None:
    schedule = cron("0 * * * *", jitter=30)
    code = (
        "from liteq.model.schedules import cron_later;"
        f"print(cron_later('0 * * * *', jitter=30).jitter_ms('nightly', {NOON_MS}))"
    )

    elsewhere = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert schedule.jitter_ms("nightly", NOON_MS) == int(elsewhere)
    drawn = {schedule.jitter_ms("nightly", NOON_MS + hour * HOUR) for hour in range(500)}
    assert len(drawn) > 450
    assert min(drawn) < 1000
    assert 29_000 < max(drawn) <= 30_000


def test_the_whole_jitter_may_be_drawn() -> None:
    schedule = every(minutes=1, jitter=0.001)

    assert {schedule.jitter_ms("nightly", tick) for tick in range(50)} == {0, 1}


def test_without_jitter_nothing_is_delayed() -> None:
    assert {manual().jitter_ms(str(number), NOON_MS) for number in range(50)} == {0}


@pytest.mark.parametrize("count", [-1, 10_001])
def test_a_preview_has_a_sane_length(count: int) -> None:
    with pytest.raises(InvalidOption, match="count"):
        manual().next_fires(NOON, count)


def test_a_preview_asks_for_an_aware_instant() -> None:
    with pytest.raises(InvalidOption, match="time zone"):
        manual().next_fires(datetime(2026, 11, 24), 1)  # noqa: DTZ001  that is the mistake
