"""When cron schedules fire on the calendar: recorded cases, and croniter as the oracle of naive time."""

import json
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter  # type: ignore[import-untyped]
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from liteq.errors import InvalidSchedule
from liteq.model.cron import compile_cron
from liteq.model.cron_fields import DAY_OF_MONTH, DAY_OF_WEEK, FIELDS, HOUR, MINUTE, MONTH, SECOND, Field

HERE = Path(__file__).parent
CASES = [json.loads(line) for line in (HERE / "cron_cases.jsonl").read_text().splitlines()]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def ticks(expr: str, after: str, *, tz: str = "UTC", count: int = 3) -> list[str]:
    found = compile_cron(expr, timezone=tz).next_fires(ms(after), count)
    return [datetime.fromtimestamp(tick / 1000, ZoneInfo(tz)).isoformat() for tick in found]


@pytest.mark.parametrize("case", [c for c in CASES if "expected" in c], ids=lambda c: f"{c['expr']} {c['tz']}")
def test_a_recorded_schedule_fires_at_the_recorded_instants(case: dict[str, Any]) -> None:
    assert ticks(case["expr"], case["after"], tz=case["tz"], count=5) == case["expected"]


@pytest.mark.parametrize("case", [c for c in CASES if c.get("invalid")], ids=lambda c: c["why"])
def test_a_recorded_mistake_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchedule):
        compile_cron(case["expr"], timezone="UTC")


def test_all_forty_recorded_cases_are_there() -> None:
    assert len(CASES) == 40


def numbers_of(field: Field) -> st.SearchStrategy[str]:
    value = st.integers(field.low, field.high)
    step = st.integers(1, field.width)
    item = st.one_of(
        value.map(str),
        st.tuples(value, value).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(value, value, step).filter(lambda t: t[0] < t[1]).map(lambda t: f"{t[0]}-{t[1]}/{t[2]}"),
        step.map(lambda n: f"*/{n}"),
        st.tuples(value, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )
    return st.one_of(st.just("*"), st.lists(item, min_size=1, max_size=3).map(",".join))


dates = st.one_of(
    numbers_of(DAY_OF_MONTH),
    st.sampled_from(["L", "15,L", "20-L", "?", "1W", "15W", "31W"]),
)
weekdays = st.one_of(
    numbers_of(DAY_OF_WEEK),
    st.sampled_from(["7", "MON-FRI", "FRI-MON", "L5", "L0,L3", "TUE#2", "1#1,1#3", "MON-WED#5", "?", "5-7", "0-7"]),
)
years = st.sampled_from(["*", "2030", "2020-2040", "2028/4", "*/3", "2000,2099"])
expressions = st.one_of(
    st.tuples(numbers_of(MINUTE), numbers_of(HOUR), dates, numbers_of(MONTH), weekdays),
    st.tuples(numbers_of(MINUTE), numbers_of(HOUR), dates, numbers_of(MONTH), weekdays, numbers_of(SECOND)),
    st.tuples(numbers_of(MINUTE), numbers_of(HOUR), dates, numbers_of(MONTH), weekdays, numbers_of(SECOND), years),
).map(" ".join)
starts = st.integers(915_148_800_000, 4_260_211_200_000)  # 1999 to 2105, in ms


def said_by_croniter(expr: str, start: datetime, count: int) -> list[int]:
    walker = croniter(expr, start, ret_type=datetime, max_years_between_matches=100)
    return [round(tick.replace(tzinfo=UTC).timestamp() * 1000) for tick in islice(walker.all_next(), count)]


def croniter_sees_both_day_fields(expr: str) -> bool:
    """Tell whether croniter kept a list of all days as a restriction, which it drops beside a star."""
    fields, expanded = expr.split(), croniter(expr, 0).expanded
    return all((fields[at] in ("*", "?")) == (expanded[at] == ["*"]) for at in (2, 4))


@settings(max_examples=300, deadline=None)
@given(expr=expressions, start_ms=starts)
def test_the_calendar_is_croniters_on_time_without_a_zone(expr: str, start_ms: int) -> None:
    try:
        spec = compile_cron(expr, timezone="UTC")
    except InvalidSchedule:
        assume(False)
    assume(croniter_sees_both_day_fields(expr))

    found = spec.next_fires(start_ms, 4)

    start = datetime.fromtimestamp(start_ms / 1000, UTC).replace(tzinfo=None)
    assert found == said_by_croniter(expr, start, 4)


def expected_values(field: Field, low: int, high: int, step: int) -> tuple[int, ...]:
    """Read ``low-high/step`` as a person does; what runs past the end goes on at the beginning."""
    last = high if high >= low else high + field.width
    return tuple(sorted({field.low + (value - field.low) % field.width for value in range(low, last + 1, step)}))


@pytest.mark.parametrize("at", range(6), ids=lambda at: FIELDS[at].name)
def test_every_accepted_range_means_what_it_says(at: int) -> None:
    field = FIELDS[at]
    top = 7 if field is DAY_OF_WEEK else field.high
    span = range(field.low, top + 1) if field.width <= 12 else [*range(field.low, top, 7), top]
    accepted = 0
    for low in span:
        for high in span:
            for step in range(1, min(field.width, 12) + 1):
                words = ["0", "0", "*", "*", "*", "0"]
                words[at] = f"{low}-{high}" + (f"/{step}" if step > 1 else "")
                try:
                    calendar = compile_cron(" ".join(words), timezone="UTC").calendar
                except InvalidSchedule:
                    continue
                accepted += 1
                values = (
                    calendar.minutes, calendar.hours, tuple(sorted(calendar.days.dates)), calendar.months,
                    tuple(sorted(calendar.days.weekdays)), calendar.seconds,
                )[at]  # fmt: skip
                assert values == expected_values(field, low, high, step), words[at]
    assert accepted > len(span) ** 2


@pytest.mark.parametrize(
    ("expr", "after", "expected"),
    [
        ("0 0 29 2 *", "2096-02-29T00:00:00+00:00", "2104-02-29T00:00:00+00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00+00:00", "2028-02-29T00:00:00+00:00"),
        ("0 0 29 2 1", "2026-11-01T00:00:00+00:00", "2027-02-01T00:00:00+00:00"),
        ("0 0 * 2 1#5", "2072-03-01T00:00:00+00:00", "2112-02-29T00:00:00+00:00"),
        ("30 6 * * * 0 2030", "2027-05-05T00:00:00+00:00", "2030-01-01T06:30:00+00:00"),
        ("0 0 1 1 * 0 2099", "2026-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00"),
        ("0 0 31W 2 *", "2027-01-01T00:00:00+00:00", "2027-02-26T00:00:00+00:00"),
        ("0 0 1W 5 *", "2027-01-01T00:00:00+00:00", "2027-05-03T00:00:00+00:00"),
        ("0 0 31 1/2 *", "2027-01-31T00:00:00+00:00", "2027-03-31T00:00:00+00:00"),
    ],
)
def test_a_rare_day_is_found_however_far_it_is(expr: str, after: str, expected: str) -> None:
    assert ticks(expr, after, count=1) == [expected]


def test_all_days_written_as_a_list_still_count_as_a_restriction() -> None:
    either = ticks("0 0 1-31 * */2", "2027-01-01T00:00:00+00:00", count=3)

    assert either == ["2027-01-02T00:00:00+00:00", "2027-01-03T00:00:00+00:00", "2027-01-04T00:00:00+00:00"]


def test_a_schedule_whose_years_are_over_has_no_next_tick() -> None:
    spec = compile_cron("0 0 1 1 * 0 2027", timezone="UTC")

    assert spec.next_fire(ms("2026-06-01T00:00:00+00:00")) == ms("2027-01-01T00:00:00+00:00")
    assert spec.next_fire(ms("2027-01-01T00:00:00+00:00")) is None


@pytest.mark.parametrize("tz", ["UTC", "Pacific/Apia", "America/New_York"])
def test_the_ends_of_time_are_no_trap(tz: str) -> None:
    spec = compile_cron("* * * * *", timezone=tz)

    assert spec.next_fire(-(10**18)) == 0
    assert spec.next_fire(ms("9998-12-31T23:59:59+00:00")) == ms("9999-01-01T00:00:00+00:00")
    assert spec.next_fire(ms("9999-01-01T00:00:00+00:00")) is None
    assert spec.next_fire(10**18) is None


def test_a_tick_is_strictly_later_to_the_millisecond() -> None:
    spec = compile_cron("30 * * * *", timezone="UTC")
    tick = ms("2026-11-24T00:30:00+00:00")

    assert spec.next_fire(tick - 1) == tick
    assert spec.next_fire(tick) == tick + 3_600_000
    assert spec.next_fire(tick + 1) == tick + 3_600_000
