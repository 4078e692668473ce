"""A schedule goes into a row and comes back the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteq.errors import InvalidSchedule
from liteq.model.schedule import Cron, decode_schedule
from liteq.model.schedules import at, cron, every, manual

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)
HOUR = 3_600_000
DAY = 24 * HOUR


def times(found: list[datetime]) -> list[str]:
    return [f"{moment:%m-%d %H:%M:%S}" for moment in found]


options = st.fixed_dictionaries(
    {},
    optional={
        "misfire": st.sampled_from(["coalesce", "skip", "all"]),
        "max_catchup": st.integers(1, 1000),
        "misfire_grace": st.none() | st.integers(1, 10**6),
        "overlap": st.sampled_from(["skip", "allow", "buffer_one", "buffer_all", "cancel_running"]),
        "jitter": st.integers(0, 59),
        "start_at": st.none() | st.integers(1, 10**9).map(lambda seconds: NOON - timedelta(seconds=seconds)),
        "end_at": st.none() | st.integers(1, 10**9).map(lambda seconds: NOON + timedelta(seconds=seconds)),
        "max_runs": st.none() | st.integers(1, 2**53),
    },
)
makers = st.sampled_from(
    [
        lambda **given: cron("H 2 * * 1-5", timezone="Europe/Berlin", **given),
        lambda **given: every(minutes=1, **given),
        lambda **given: at(NOON, **given),
        manual,
    ]
)


@settings(deadline=None)
@given(maker=makers, given_options=options, bound=st.booleans())
def test_what_is_stored_comes_back_the_same(maker: Any, given_options: dict[str, Any], bound: bool) -> None:
    schedule = maker(**given_options)
    if bound:
        schedule = schedule.bind(name="nightly", now_ms=NOON_MS)

    assert decode_schedule(schedule.encode()) == schedule


def test_a_stored_schedule_is_plain_json_with_nothing_left_to_a_default() -> None:
    assert manual().encode() == (
        b'{"kind":"manual","options":{"misfire":"coalesce","max_catchup":100,"misfire_grace_ms":null,'
        b'"overlap":"skip","max_jitter_ms":0,"start_at":null,"end_at":null,"max_runs":null}}'
    )


@pytest.mark.parametrize(
    "stored",
    [
        b"", b"null", b"{}", b"[]", b"\xff", b'{"kind":"hourly"}', manual().encode()[:-1],
        manual().encode().replace(b'"max_catchup":100', b'"max_catchup":100000000'),
        manual().encode().replace(b'"skip"', b'"explode"'),
        manual().encode().replace(b'"kind"', b'"extra":1,"kind"'),
        every(minutes=1).encode().replace(b"60000", b"0"),
        every(minutes=1).encode().replace(b"60000", b"1e400"),
        cron("0 0 * * *").encode().replace(b"0 0 * * *", b"*," * 1000),
        at(NOON).encode().replace(str(NOON_MS).encode(), b"-1"),
    ],
    ids=lambda stored: ascii(stored[:24]),
)  # fmt: skip
def test_what_is_no_stored_schedule_is_refused(stored: bytes) -> None:
    with pytest.raises(InvalidSchedule):
        decode_schedule(stored)


def test_a_tampered_expression_is_refused_when_it_is_used() -> None:
    stored = decode_schedule(cron("0 0 * * *").encode().replace(b"0 0 * * *", b"5-5 * * * *"))

    assert isinstance(stored, Cron)
    with pytest.raises(InvalidSchedule, match="minute"):
        stored.next_fire_ms(NOON_MS)


def test_a_stored_schedule_ticks_on_from_where_it_was() -> None:
    bound = every(minutes=7).bind(name="x", now_ms=NOON_MS)
    again = decode_schedule(bound.encode())

    assert again.next_fire_ms(NOON_MS + DAY) == bound.next_fire_ms(NOON_MS + DAY)


def test_nothing_ticks_at_the_end_of_pythons_calendar() -> None:
    end = round(datetime(9999, 1, 1, tzinfo=UTC).timestamp() * 1000)

    assert every(days=1).next_fire_ms(end - 1) is None
    assert every(days=1).next_fire_ms(10**18) is None
    assert at(datetime(9999, 6, 1, tzinfo=UTC)).next_fire_ms(0) is None
    assert times(every(hours=1).next_fires(datetime(9998, 12, 31, 21, 30, tzinfo=UTC), 9)) == [
        "12-31 22:30:00",
        "12-31 23:30:00",
    ]
