"""When cron schedules fire, by three witnesses: recorded cases, croniter's calendar, Debian's minute loop."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter  # type: ignore[import-untyped]
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from liteq.errors import InvalidSchedule
from liteq.model.cron import CronSpec, compile_cron
from liteq.model.cron_fields import DAY_OF_MONTH, DAY_OF_WEEK, FIELDS, HOUR, MINUTE, MONTH, SECOND, Field
from liteq.model.cron_walk import Calendar

HERE = Path(__file__).parent
CASES = [json.loads(line) for line in (HERE / "cron_cases.jsonl").read_text().splitlines()]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def ticks(expr: str, after: str, *, tz: str = "UTC", count: int = 3) -> list[str]:
    found = compile_cron(expr, timezone=tz).next_fires(ms(after), count)
    return [datetime.fromtimestamp(tick / 1000, ZoneInfo(tz)).isoformat() for tick in found]


# -- recorded cases


@pytest.mark.parametrize(
    "case", [c for c in CASES if "expected" in c], ids=lambda c: f"{c['expr']} {c['tz']}"
)
def test_a_recorded_schedule_fires_at_the_recorded_instants(case: dict[str, Any]) -> None:
    assert ticks(case["expr"], case["after"], tz=case["tz"], count=5) == case["expected"]


@pytest.mark.parametrize("case", [c for c in CASES if c.get("invalid")], ids=lambda c: c["why"])
def test_a_recorded_mistake_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchedule):
        compile_cron(case["expr"], timezone="UTC")


def test_all_forty_recorded_cases_are_there() -> None:
    assert len(CASES) == 40


# -- the calendar, against croniter on naive time


def numbers_of(field: Field) -> st.SearchStrategy[str]:
    value = st.integers(field.low, field.high)
    step = st.integers(1, field.width)
    item = st.one_of(
        value.map(str),
        st.tuples(value, value)
        .filter(lambda pair: pair[0] < pair[1])
        .map(lambda pair: f"{pair[0]}-{pair[1]}"),
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
    st.sampled_from(
        ["7", "MON-FRI", "FRI-MON", "L5", "L0,L3", "TUE#2", "1#1,1#3", "MON-WED#5", "?", "5-7", "0-7"]
    ),
)
years = st.sampled_from(["*", "2030", "2020-2040", "2028/4", "*/3", "2000,2099"])
expressions = st.one_of(
    st.tuples(numbers_of(MINUTE), numbers_of(HOUR), dates, numbers_of(MONTH), weekdays),
    st.tuples(numbers_of(MINUTE), numbers_of(HOUR), dates, numbers_of(MONTH), weekdays, numbers_of(SECOND)),
    st.tuples(
        numbers_of(MINUTE), numbers_of(HOUR), dates, numbers_of(MONTH), weekdays, numbers_of(SECOND), years
    ),
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
    return tuple(
        sorted({field.low + (value - field.low) % field.width for value in range(low, last + 1, step)})
    )


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


# -- the clock, against a minute-by-minute reading of Debian's promise

ZONES = {
    "Africa/Cairo": (2023, 2026), "Africa/Casablanca": (2018, 2026), "America/Caracas": (2007, 2017),
    "America/New_York": (2026, 2027), "America/Sao_Paulo": (2016, 2020), "America/St_Johns": (2006, 2012),
    "Antarctica/Casey": (2009, 2012), "Antarctica/Troll": (2025, 2026), "Asia/Kathmandu": (1985, 1987),
    "Asia/Pyongyang": (2015, 2019), "Asia/Tehran": (2020, 2023), "Australia/Lord_Howe": (2026, 2027),
    "Europe/Berlin": (2028, 2028), "Europe/Dublin": (2027, 2027), "Pacific/Apia": (2010, 2012),
    "Pacific/Chatham": (2026, 2026), "Pacific/Kwajalein": (1993, 1994), "Asia/Gaza": (2024, 2025),
}  # fmt: skip
CLOCKS = [
    "* *", "*/25 *", "*/7 2", "0 *", "17 *", "50 *", "10 */2", "*/20 1-3", "59 */23",
    "0 0", "30 0", "5 1", "35 2", "0 3", "59 1", "10,50 2", "0,30 0-3", "0/20 1/2", "45 23", "15 0,1,2,3",
]  # fmt: skip
MINUTE_MS = 60_000
LONG_AGO = datetime(1970, 1, 1)  # noqa: DTZ001  wall-clock time
Minute = tuple[int, list[datetime], list[datetime]]
"""An instant in ms, and the wall times that come up then: for wildcard jobs, and for fixed ones."""


def field_matches(text: str, value: int) -> bool:
    for item in text.split(","):
        span, _, step = item.partition("/")
        low, _, high = span.partition("-")
        if low == "*":
            low, high = "0", "59"
        last = int(high) if high else (59 if step else int(low))
        if int(low) <= value <= last and (value - int(low)) % int(step or 1) == 0:
            return True
    return False


def offset_minutes(zone: ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds() // 60)


def changes_of(name: str) -> list[datetime]:
    zone, (first, last) = ZoneInfo(name), ZONES[name]
    at, found = datetime(first, 1, 1, tzinfo=UTC), []
    while at.year <= last:
        later = at + timedelta(minutes=30)
        if offset_minutes(zone, at) != offset_minutes(zone, later):
            found.append(later)
        at = later
    return found


def debian_minutes(zone: ZoneInfo, start: datetime, minutes: int) -> list[Minute]:
    """Walk real minutes as cron does."""
    loop: list[Minute] = []
    seen_up_to = LONG_AGO
    before = offset_minutes(zone, start - timedelta(minutes=1))
    for step in range(minutes):
        at = start + timedelta(minutes=step)
        offset = offset_minutes(zone, at)
        wall = at.replace(tzinfo=None) + timedelta(minutes=offset)
        shift, before = offset - before, offset
        if abs(shift) >= 180:
            seen_up_to = LONG_AGO
        skipped = [wall - timedelta(minutes=back) for back in range(shift, 0, -1)] if 0 < shift < 180 else []
        fixed = [*skipped, wall] if wall > seen_up_to else []
        seen_up_to = max(seen_up_to, wall)
        loop.append((round(at.timestamp() * 1000), [wall], fixed))
    return loop


@pytest.mark.parametrize("name", ZONES)
def test_no_clock_change_breaks_debians_promise(name: str) -> None:
    changes = changes_of(name)
    assert changes, "the years named have no clock change"
    for change in changes[:8]:
        start = change - timedelta(minutes=400)
        loop = debian_minutes(ZoneInfo(name), start, 800)
        for clock in CLOCKS:
            check_against_loop(clock, name, loop)


def check_against_loop(clock: str, zone: str, loop: list[Minute]) -> None:
    minute, hour = clock.split()
    wild = clock[0] == "*" or hour[0] == "*"
    expected = [
        at
        for at, wild_walls, fixed_walls in loop
        if any(
            field_matches(minute, wall.minute) and field_matches(hour, wall.hour)
            for wall in (wild_walls if wild else fixed_walls)
        )
    ]
    spec = compile_cron(f"{clock} * * *", timezone=zone)
    end = loop[-1][0]

    found, tick = [], spec.next_fire(loop[0][0] - 1)
    while tick is not None and tick <= end:
        found.append(tick)
        tick = spec.next_fire(tick)
    assert found == expected, (clock, zone)

    for after in range(loop[0][0] + 31_007, end, 19 * MINUTE_MS):
        following = next((at for at in expected if at > after), None)
        if following is not None:
            assert spec.next_fire(after) == following, (clock, zone, after)


@pytest.mark.parametrize("name", ZONES)
def test_ticks_only_ever_rise(name: str) -> None:
    start = round(changes_of(name)[0].timestamp() * 1000) - 86_400_000
    for expr in ("* * * * *", "0,20,40 0-3 * * *", "*/7 */2 * * *", "0 0 * * * */30"):
        spec = compile_cron(expr, timezone=name)
        found = spec.next_fires(start, 500)
        assert all(earlier < later for earlier, later in pairwise(found))
        for tick in found[::25]:
            assert spec.next_fire(tick - 1) == tick


def test_a_seconds_field_changes_nothing_of_the_promise() -> None:
    assert ticks("30 2 * * * 15", "2028-03-26T00:00:00+01:00", tz="Europe/Berlin", count=2) == [
        "2028-03-26T03:00:00+02:00",
        "2028-03-27T02:30:15+02:00",
    ]


@pytest.mark.parametrize(
    ("expr", "tick", "expected"),
    [
        ("40 2 * * *", "2028-03-26T03:00:00+02:00", "gap"),
        ("40 2 * * *", "2028-03-27T02:40:00+02:00", None),
        ("0 3 * * *", "2028-03-26T03:00:00+02:00", None),
        ("*/20 * * * *", "2028-03-26T03:00:00+02:00", None),
        ("0,30 2,3 * * *", "2028-03-26T03:00:00+02:00", "gap"),
        ("35 2 * * *", "2028-10-29T02:35:00+02:00", "fold"),
        ("*/5 * * * *", "2028-10-29T02:35:00+01:00", "fold"),
        ("0 3 * * *", "2028-10-29T03:00:00+01:00", None),
        ("0 12 * * *", "2028-10-29T12:00:00+01:00", None),
    ],
)
def test_a_preview_can_tell_what_a_clock_change_does_to_a_tick(
    expr: str, tick: str, expected: str | None
) -> None:
    assert compile_cron(expr, timezone="Europe/Berlin").touched(ms(tick)) == expected


def test_utc_is_touched_by_nothing() -> None:
    spec = compile_cron("*/5 * * * *", timezone="UTC")

    assert {spec.touched(tick) for tick in spec.next_fires(ms("2028-03-26T00:00:00+00:00"), 100)} == {None}


def test_a_day_that_a_zone_leaves_out_is_left_out() -> None:
    assert ticks("0 9 * * *", "2011-12-29T00:00:00-10:00", tz="Pacific/Apia", count=2) == [
        "2011-12-29T09:00:00-10:00",
        "2011-12-31T09:00:00+14:00",
    ]


@pytest.mark.parametrize(
    ("expr", "tz", "after"),
    [
        ("* * * * * *", "Pacific/Apia", "2011-12-29T23:59:59-10:00"),
        ("0-59 0-23 * * * *", "Pacific/Apia", "2011-12-29T23:59:59-10:00"),
        ("* * * * * *", "Europe/Berlin", "2028-03-26T01:59:59+01:00"),
        ("0-59 0-23 * * * 0-59", "Europe/Berlin", "2028-10-29T02:00:00+01:00"),
    ],
)
def test_a_clock_change_is_stepped_over_and_not_walked_through(expr: str, tz: str, after: str) -> None:
    asked: list[datetime] = []

    class Counting(Calendar, frozen=True):
        def next_after(self, wall: datetime) -> datetime | None:
            asked.append(wall)
            return super().next_after(wall)

    spec = compile_cron(expr, timezone=tz)
    spec = replace(spec, calendar=Counting(**asdict(spec.calendar)))

    assert spec.next_fire(ms(after)) is not None
    assert 0 < len(asked) < 5


# -- H, sharing, laziness


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
