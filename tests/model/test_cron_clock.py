"""When cron schedules fire around a change of the clock: Debian's promise, against a loop over minutes."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import asdict, replace

from liteq.model.cron import compile_cron
from liteq.model.cron_walk import Calendar


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def ticks(expr: str, after: str, *, tz: str = "UTC", count: int = 3) -> list[str]:
    found = compile_cron(expr, timezone=tz).next_fires(ms(after), count)
    return [datetime.fromtimestamp(tick / 1000, ZoneInfo(tz)).isoformat() for tick in found]


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
def test_a_preview_can_tell_what_a_clock_change_does_to_a_tick(expr: str, tick: str, expected: str | None) -> None:
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
