"""``liteq schedule next`` and ``explain``: when schedules tick, in wall time and in UTC."""

import heapq
import warnings
from collections.abc import Iterator
from datetime import UTC
from itertools import islice
from typing import Annotated, Any

import msgspec
import typer

from liteq.clock import SystemClock, to_datetime
from liteq.errors import InvalidSchedule, LiteqError
from liteq.model.schedule import AnySchedule, Cron
from liteq.model.schedules import cron
from liteq.schedules import StoredSchedule
from liteq.timezones import load_zone
from liteq_cli import output
from liteq_cli.exits import Refused
from liteq_cli.output import Column, clean
from liteq_cli.target import opened, session
from liteq_cli.times import relative

Count = Annotated[int, typer.Option("--count", "-n", help="How many ticks.", min=1, max=10_000)]

FIELDS_HINT = "the fields are minute, hour, day of month, month, day of week, and if wanted second and year"
ZONE_HINT = "a zone has a name such as Europe/Berlin; UTC needs none"
COLUMNS = (
    Column("schedule", yields=True, spare=True),
    Column("wall time"),
    Column("zone", yields=True),
    Column("UTC"),
    Column("in", right=True),
    Column("clock", spare=True),
)


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """One tick to come: ISO texts, and whether a change of the clock touches it (``gap``, ``fold``)."""

    schedule: str
    wall: str
    zone: str
    utc: str
    touched: str | None
    at_ms: int


def preview(name: str, schedule: AnySchedule, after_ms: int) -> Iterator[Preview]:
    """Give the ticks later than ``after_ms``, one after the other."""
    zone = schedule.timezone if isinstance(schedule, Cron) else "UTC"
    place = load_zone(zone)
    tick = schedule.next_fire_ms(after_ms)
    while tick is not None:
        moment = to_datetime(tick)
        yield Preview(
            schedule=name,
            wall=moment.astimezone(place).isoformat(sep=" ", timespec="seconds"),
            zone=zone,
            utc=moment.astimezone(UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z"),
            touched=schedule.touched(tick),
            at_ms=tick,
        )
        tick = schedule.next_fire_ms(tick)


def upcoming(stored: StoredSchedule, *, now: int) -> Iterator[Preview]:
    """Give the ticks that a stored schedule has to come: from its next one on, as many as it has runs left."""
    due_at = stored.record.next_fire_at
    if due_at is None:
        return iter(())
    schedule = stored.schedule
    limit = schedule.options.max_runs
    left = None if limit is None else max(limit - stored.record.runs, 0)
    return islice(preview(stored.name, schedule, max(now, due_at - 1)), left)


def next_(
    context: typer.Context,
    *,
    name: Annotated[str | None, typer.Argument(help="The schedule; all when left out.", metavar="[NAME]")] = None,
    count: Count = 5,
) -> None:
    """Preview ticks to come in wall time and UTC; gap and fold mark those that a change of the clock touches."""
    app = opened(context)
    app.schedules.store_declared()
    now = app.clock.now_ms()
    chosen = [app.schedules[name]] if name is not None else [one for one in app.schedules if not one.paused]
    streams = [_readable(one, now=now) for one in chosen]
    ticks = list(islice(heapq.merge(*streams, key=lambda tick: tick.at_ms), count))
    _show(context, ticks, now=now, named=name is None)
    if name is not None and chosen[0].paused:
        output.note(f"{clean(name)} is paused; none of them fires before liteq schedule resume")


def _readable(one: StoredSchedule, *, now: int) -> Iterator[Preview]:
    """Give the ticks to come, and a warning in their place where what is stored cannot be read here."""
    try:
        yield from upcoming(one, now=now)
    except LiteqError as error:
        output.note(f"warning: {clean(one.name)}: {clean(error, limit=300)}")


def explain(
    context: typer.Context,
    *,
    expr: Annotated[str, typer.Argument(help="A cron expression, quoted.", metavar="EXPR", show_default=False)],
    timezone: Annotated[str, typer.Option("--timezone", help="An IANA zone.", metavar="ZONE")] = "UTC",
    name: Annotated[str, typer.Option("--name", help="The schedule's name, which H draws on.")] = "explain",
    count: Count = 5,
) -> None:
    """Say in words what a cron expression means, and when it ticks. Needs no file."""
    now = SystemClock().now_ms()
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        try:
            schedule = cron(expr, timezone=timezone).bind(name=name, now_ms=now)
        except InvalidSchedule as error:
            raise Refused(str(error), hint=_hint(str(error))) from error
    ticks = list(islice(preview("", schedule, now), count))
    said = [str(doubt.message) for doubt in doubts]
    if session(context).as_json:
        document = {"expr": expr, "timezone": timezone, "describe": schedule.describe(), "warnings": said}
        output.document(document | {"ticks": [_plain(tick) for tick in ticks]})
        return
    output.say(schedule.describe())
    for sentence in said:
        output.note(f"warning: {clean(sentence)}")
    output.say()
    output.table(COLUMNS[1:], [_row(tick, now=now)[1:] for tick in ticks])


def _hint(complaint: str) -> str | None:
    if complaint.startswith("time zone"):
        return ZONE_HINT
    return None if "fields" in complaint else FIELDS_HINT


def _show(context: typer.Context, ticks: list[Preview], *, now: int, named: bool) -> None:
    if session(context).as_json:
        output.document({"ticks": [_plain(tick) for tick in ticks]})
    elif ticks:
        rows = [_row(tick, now=now) for tick in ticks]
        output.table(COLUMNS if named else COLUMNS[1:], rows if named else [row[1:] for row in rows])
    else:
        output.say("no tick is to come")


def _row(tick: Preview, *, now: int) -> list[str]:
    return [
        clean(tick.schedule),
        tick.wall,
        clean(tick.zone),
        tick.utc,
        relative(tick.at_ms, now_ms=now).removeprefix("in "),
        tick.touched or "",
    ]


def _plain(tick: Preview) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(tick)
    del plain["at_ms"]
    return plain
