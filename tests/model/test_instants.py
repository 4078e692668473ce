import math
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteq.errors import InvalidOption
from liteq.model.instants import MAX_DURATION_MS, instant_ms, to_ms

BERLIN = ZoneInfo("Europe/Berlin")


def utc_ms(*fields: int) -> int:
    return int(datetime(*fields, tzinfo=UTC).timestamp()) * 1000  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        (timedelta(seconds=2), 2000),
        (timedelta(microseconds=1500), 2),
        (60, 60_000),
        (0.25, 250),
        (0.1 + 0.2, 300),
        (0, 0),
        (timedelta(0), 0),
        (1e-9, 1),
        (timedelta(microseconds=1), 1),
        (timedelta(days=36_525), MAX_DURATION_MS),
    ],
)
def test_a_duration_becomes_whole_milliseconds(value: timedelta | float, milliseconds: int) -> None:
    assert to_ms(value, what="delay") == milliseconds


@pytest.mark.parametrize(
    "value",
    [
        -1,
        -1e-9,
        timedelta(days=-1),
        timedelta(microseconds=-1),
        math.nan,
        math.inf,
        -math.inf,
        1e308,
        pytest.param(10**5000, id="5,001 digits"),
        timedelta(days=36_525, milliseconds=1),
        timedelta.max,
    ],
)
def test_a_duration_out_of_range_is_refused_by_its_name(value: timedelta | float) -> None:
    with pytest.raises(InvalidOption, match=r"^delay must be"):
        to_ms(value, what="delay")


def test_a_refused_duration_is_named_with_the_reason() -> None:
    with pytest.raises(InvalidOption, match="delay must be zero or more, not -1"):
        to_ms(-1, what="delay")


@pytest.mark.parametrize("value", [True, "1", None, b"1", 1j])
def test_a_duration_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="delay must be a timedelta or a number"):
        to_ms(value, what="delay")


@pytest.mark.parametrize("value", [0, 0.0, timedelta(0)])
def test_zero_is_refused_where_it_means_nothing(value: timedelta | float) -> None:
    with pytest.raises(InvalidOption, match="timeout must be above zero"):
        to_ms(value, what="timeout", allow_zero=False)


def test_a_duration_below_its_minimum_is_refused() -> None:
    assert to_ms(1, what="lease", minimum_ms=1000) == 1000
    with pytest.raises(InvalidOption, match="lease must be at least 1000 ms"):
        to_ms(0.999, what="lease", minimum_ms=1000)


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(2027, 1, 1, 0, 0, 0, 1999, tzinfo=UTC), utc_ms(2027, 1, 1) + 1),
        (datetime(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), utc_ms(2027, 1, 1)),
        (datetime(2027, 7, 1, 12, tzinfo=BERLIN), utc_ms(2027, 7, 1, 10)),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), utc_ms(9999, 12, 31, 23, 59, 59) + 999),
    ],
)
def test_an_aware_instant_becomes_milliseconds_of_utc(value: datetime, milliseconds: int) -> None:
    assert instant_ms(value, what="run_at") == milliseconds


def test_a_naive_instant_needs_a_time_zone() -> None:
    with pytest.raises(InvalidOption, match="run_at needs a time zone"):
        instant_ms(datetime(2027, 1, 1), what="run_at")  # noqa: DTZ001  a naive one is the point


@pytest.mark.parametrize(
    "value",
    [
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=timezone(timedelta(minutes=1))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
    ],
)
def test_an_instant_before_1970_or_after_9999_is_refused(value: datetime) -> None:
    with pytest.raises(InvalidOption, match="run_at must be from 1970 to 9999"):
        instant_ms(value, what="run_at")


@pytest.mark.parametrize("value", [None, 1_700_000_000, "2027-01-01", datetime(2027, 1, 1, tzinfo=UTC).date()])
def test_an_instant_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="run_at must be a datetime"):
        instant_ms(value, what="run_at")


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(("minute", "second"), [(0, 0), (0, 1), (7, 13), (22, 30), (30, 0), (41, 7), (59, 59)])
def test_a_time_in_a_gap_moves_to_its_end(minute: int, second: int, fold: int) -> None:
    skipped = datetime(2027, 3, 28, 2, minute, second, tzinfo=BERLIN, fold=fold)

    assert instant_ms(skipped, what="run_at") == utc_ms(2027, 3, 28, 1)


@given(st.integers(min_value=0, max_value=3_599_999))
def test_every_millisecond_of_a_gap_moves_to_the_same_end(milliseconds: int) -> None:
    skipped = datetime(2027, 3, 28, 2, tzinfo=BERLIN) + timedelta(milliseconds=milliseconds)

    assert instant_ms(skipped, what="run_at") == utc_ms(2027, 3, 28, 1)


def test_the_times_beside_a_gap_are_what_they_say() -> None:
    last_before = datetime(2027, 3, 28, 1, 59, 59, tzinfo=BERLIN)
    first_after = datetime(2027, 3, 28, 3, tzinfo=BERLIN)

    assert instant_ms(last_before, what="run_at") == utc_ms(2027, 3, 28, 0, 59, 59)
    assert instant_ms(first_after, what="run_at") == utc_ms(2027, 3, 28, 1)


def test_a_gap_of_half_an_hour_ends_half_an_hour_later() -> None:
    skipped = datetime(2026, 10, 4, 2, 15, tzinfo=ZoneInfo("Australia/Lord_Howe"))

    assert instant_ms(skipped, what="run_at") == utc_ms(2026, 10, 3, 15, 30)


def test_a_time_in_a_fold_is_its_first_pass_unless_the_second_is_asked_for() -> None:
    twice = datetime(2027, 10, 31, 2, 30, tzinfo=BERLIN)

    assert instant_ms(twice, what="run_at") == utc_ms(2027, 10, 31, 0, 30)
    assert instant_ms(twice.replace(fold=1), what="run_at") == utc_ms(2027, 10, 31, 1, 30)
