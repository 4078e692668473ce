"""The four kinds of schedule as values: ticks, options, words, storage."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteq.errors import InvalidOption, InvalidSchedule
from liteq.model.schedule import AnySchedule, Cron, Every, decode_schedule
from liteq.model.schedules import ScheduleWarning, at, cron, cron_later, every, manual

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)
HOUR = 3_600_000
DAY = 24 * HOUR


def times(found: list[datetime]) -> list[str]:
    return [f"{moment:%m-%d %H:%M:%S}" for moment in found]


# -- cron


def test_cron_ticks_in_its_time_zone_and_answers_in_utc() -> None:
    found = cron("0 2 * * *", timezone="Europe/Berlin").next_fires(NOON, 2)

    assert found == [datetime(2026, 11, 25, 1, tzinfo=UTC), datetime(2026, 11, 26, 1, tzinfo=UTC)]
    assert {moment.tzinfo for moment in found} == {UTC}


def test_cron_means_utc_unless_a_zone_is_named() -> None:
    assert times(cron("0 2 * * *").next_fires(NOON, 1)) == ["11-25 02:00:00"]


def test_a_zone_may_be_given_as_an_object() -> None:
    assert cron("0 2 * * *", timezone=ZoneInfo("Asia/Kathmandu")) == cron(
        "0 2 * * *", timezone="Asia/Kathmandu"
    )


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

    marks = [
        schedule.touched(round(tick.timestamp() * 1000)) for tick in schedule.next_fires(before_spring, 2)
    ]

    assert marks == ["gap", None]
    assert every(hours=1).touched(NOON_MS) is None


# -- every


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


@pytest.mark.parametrize(
    "given", [{"period": "10"}, {"period": True}, {"minutes": "5"}, {"fortnights": 1}], ids=str
)
def test_a_period_of_the_wrong_type_is_a_type_error(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        every(**given)


def test_a_period_below_a_second_is_warned_of() -> None:
    with pytest.warns(ScheduleWarning, match="500 ms") as caught:
        every(seconds=0.5)
    assert caught[0].filename == __file__


# -- at and manual


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


# -- options


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

    elsewhere = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout

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


# -- words


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (every(minutes=10), "every 10 minutes"),
        (every(minutes=1), "every minute"),
        (every(minutes=90), "every 1 hour and 30 minutes"),
        (every(weeks=1), "every week"),
        (every(days=14), "every 2 weeks"),
        (every(days=8), "every 8 days"),
        (every(days=1, hours=2, seconds=3.5), "every 1 day, 2 hours, 3 seconds and 500 milliseconds"),
        (every(hours=1, start_at=NOON), "every hour, from 2026-11-24 12:00:00 UTC"),
        (
            every(hours=1, end_at=NOON, max_runs=1),
            "every hour, until 2026-11-24 12:00:00 UTC, 1 time at most",
        ),
        (at(NOON), "once, at 2026-11-24 12:00:00 UTC"),
        (manual(max_runs=2), "only when triggered, 2 times at most"),
        (cron("0 2 * * *", timezone="Europe/Berlin"), "at 02:00 every day, Europe/Berlin"),
        (cron("H 2 * * *"), "by 'H 2 * * *', UTC"),
    ],
)
def test_a_schedule_says_in_english_what_it_does(schedule: AnySchedule, said: str) -> None:
    assert schedule.describe() == said


@pytest.mark.filterwarnings("ignore::liteq.model.schedules.ScheduleWarning")
@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("0,30 * * * *", "every 30 minutes"),
        ("0,20 * * * *", "at minute 0 and 20 of every hour"),
        ("*/25 * * * *", "at minute 0, 25 and 50 of every hour"),
        ("0 * * * *", "at minute 0 of every hour"),
        ("30 9 * * 1-5", "at 09:30 on Monday to Friday"),
        ("0 2,14 * * *", "at 02:00 and 14:00 every day"),
        ("*/15 9-17 * * 1-5", "every 15 minutes from 09:00 to 17:45 on Monday to Friday"),
        ("30 9-17 * * *", "every hour from 09:30 to 17:30"),
        ("* 2 * * *", "every minute from 02:00 to 02:59"),
        ("25 */2 * * *", "at minute 25 of every 2nd hour"),
        ("*/15 */6 * * *", "every 15 minutes of the hours 0, 6, 12 and 18"),
        ("5,7 3,5,9 * * *", "at minute 5 and 7 of the hours 3, 5 and 9"),
        ("0,7,9,11,13 3 * * *", "at minute 0, 7, 9, 11 and 13 of the hour 3"),
        ("0 0 1 * *", "at 00:00 on the 1st of the month"),
        ("0 0 1,2,3,11,12,22 * *", "at 00:00 on the 1st to 3rd, 11th, 12th and 22nd of the month"),
        ("0 0 */2 * *", "at 00:00 on every 2nd day from the 1st to the 31st of the month"),
        ("0 0 L * *", "at 00:00 on the last day of the month"),
        ("0 0 15,L 2 *", "at 00:00 on the 15th and last day of February"),
        ("0 0 15W * *", "at 00:00 on the weekday nearest to the 15th of the month"),
        ("0 0 * * TUE#2", "at 00:00 on the second Tuesday of the month"),
        ("0 0 * 3 L5", "at 00:00 on the last Friday of March"),
        ("0 0 * * 1#1,1#3", "at 00:00 on the first Monday and third Monday of the month"),
        ("0 0 9 * TUE", "at 00:00 on the 9th of the month and also on Tuesday"),
        ("0 5 31 9 4", "at 05:00 on the 31st of September and also on Thursday in September"),
        ("0 0 1-31 * */2", "at 00:00 every day"),
        ("0 0 * 1-3,12 *", "at 00:00 every day in January to March and December"),
        ("*/5 * * 1 0,6", "every 5 minutes on Saturday and Sunday in January"),
        ("*/5 * * 1 *", "every 5 minutes in January"),
        ("0 0 * * 5-7 0 2030", "at 00:00 on Friday to Sunday, in 2030"),
        ("* * * * * *", "every second"),
        ("* * * * * */25", "at second 0, 25 and 50 of every minute"),
        ("* * * * * */10", "every 10 seconds"),
        ("59 23 * * * 50", "at 23:59:50 every day"),
        ("0 12 * * * *", "every second within the minute, at 12:00"),
        ("*/15 * * * * 10,40", "at second 10 and 40 within the minute, every 15 minutes"),
        ("* 9-17 * * * 10,40", "at second 10 and 40 of every minute from 09:00 to 17:59"),
    ],
)
def test_a_cron_expression_is_told_in_english(expr: str, said: str) -> None:
    assert cron(expr).describe() == f"{said}, UTC"


# -- storage

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
