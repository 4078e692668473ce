"""``liteq schedule``: look at schedules and handle those that are stored."""

from datetime import datetime
from typing import Annotated, Any

import typer

from liteq.app import Liteq
from liteq.clock import to_datetime
from liteq.errors import LiteqError
from liteq.model.firing import TickOutcome
from liteq.ops.schedule_stats import WITH_JOB
from liteq.schedules import StoredSchedule, to_plain
from liteq_cli import options, output
from liteq_cli.commands.schedule_add import add
from liteq_cli.commands.schedule_run import run
from liteq_cli.commands.schedule_ticks import explain, next_
from liteq_cli.commands.scheduler import show_status, status_document
from liteq_cli.commands.waiting import wait_for
from liteq_cli.exits import Code, Refused
from liteq_cli.output import Column, clean
from liteq_cli.target import opened, session
from liteq_cli.times import local_time, parse_instant, relative, span

app = typer.Typer(help="Look at schedules, add, pause, trigger and remove them.", no_args_is_help=True)

LIST_COLUMNS = (
    Column("schedule", yields=True),
    Column("when", yields=True),
    Column("state"),
    Column("next", right=True),
    Column("fired", right=True),
    Column("skipped", right=True, spare=True),
    Column("late", right=True, spare=True),
    Column("task", yields=True),
)
TICK_COLUMNS = (
    Column("tick"),
    Column("outcome"),
    Column("late", right=True),
    Column("ticks", right=True, spare=True),
    Column("job", right=True),
)
ASK_ABOVE = 100

Name = Annotated[str, typer.Argument(help="The schedule.", metavar="NAME", show_default=False)]
Names = Annotated[list[str], typer.Argument(help="The schedules.", metavar="NAME...", show_default=False)]


def with_declared(context: typer.Context) -> Liteq:
    """Give the app, its file on hand, with what its code declares stored."""
    found = opened(context)
    found.schedules.store_declared()
    return found


@app.command("list")
def list_(context: typer.Context) -> None:
    """List the schedules; those that the app declares are stored first."""
    found = with_declared(context)
    stored = list(found.schedules)
    if session(context).as_json:
        output.document({"schedules": [_document(one) for one in stored]})
    elif stored:
        output.table(LIST_COLUMNS, [_row(one, now=found.clock.now_ms()) for one in stored])
    else:
        output.say("no schedules yet; liteq schedule add NAME --every 10m TASK adds one")


def state_of(one: StoredSchedule) -> str:
    """Give how a schedule stands, in a word."""
    if one.error is not None:
        return "broken"
    if one.paused:
        return "paused"
    if one.next_fire_at is not None:
        return "on"
    return "manual" if one.schedule.describe() == "only when triggered" else "done"


def _words(one: StoredSchedule) -> tuple[str, str]:
    try:
        return one.schedule.describe(), one.template.job.task
    except LiteqError as error:
        return str(error), "?"


def _row(one: StoredSchedule, *, now: int) -> list[str]:
    counts = one.counts
    made = sum(counts.get(outcome.value, 0) for outcome in WITH_JOB)
    skipped = sum(number for word, number in counts.items() if word.startswith("skipped"))
    late = one.average_lateness_ms
    when, task = _words(one)
    return [
        clean(one.name),
        clean(when),
        state_of(one),
        "-" if one.record.next_fire_at is None or one.paused else relative(one.record.next_fire_at, now_ms=now),
        f"{made:,}" if made else "·",
        f"{skipped:,}" if skipped else "",
        "" if late is None else span(late),
        clean(task),
    ]


def _document(one: StoredSchedule) -> dict[str, Any]:
    try:
        plain = to_plain(one)
    except LiteqError as error:
        plain = {"name": one.name, "error": str(error)}
    return plain | {"state": state_of(one), "counts": one.counts, "average_lateness_ms": one.average_lateness_ms}


@app.command()
def show(
    context: typer.Context, *, name: Name, limit: Annotated[int, typer.Option(help="Newest ticks.", min=0)] = 10
) -> None:
    """Show one schedule in full, with its newest ticks. Exit code 4 when it is paused or broken."""
    found = with_declared(context)
    one = found.schedules[name]
    ticks = one.ticks(limit=limit)
    if session(context).as_json:
        traces = [
            {
                "fire_at": to_datetime(tick.fire_at).isoformat(),
                "decided_at": to_datetime(tick.decided_at).isoformat(),
                "outcome": tick.outcome.value,
                "ticks": tick.ticks,
                "job_id": tick.job_id,
            }
            for tick in ticks
        ]
        output.document(_document(one) | {"ticks": traces})
    else:
        output.pairs(_facts(one, now=found.clock.now_ms()))
        if ticks:
            output.say()
            output.table(TICK_COLUMNS, [_tick_row(tick) for tick in ticks])
    if one.paused or one.error is not None:
        raise typer.Exit(Code.DEGRADED)


def _tick_row(tick: Any) -> list[str]:
    fired = tick.outcome is TickOutcome.FIRED
    return [
        local_time(tick.fire_at),
        tick.outcome.value,
        span(max(0, tick.decided_at - tick.fire_at)) if fired else "",
        str(tick.ticks) if tick.ticks > 1 else "",
        "" if tick.job_id is None else str(tick.job_id),
    ]


def _facts(one: StoredSchedule, *, now: int) -> list[tuple[str, str]]:
    record = one.record
    when, task = _words(one)
    upcoming = "-"
    if record.next_fire_at is not None:
        upcoming = f"{local_time(record.next_fire_at)}, {relative(record.next_fire_at, now_ms=now)}"
    facts = [("schedule", clean(one.name)), ("when", clean(when)), ("state", state_of(one))]
    if record.paused_reason:
        facts.append(("because", clean(record.paused_reason)))
    if record.error:
        facts.append(("error", clean(record.error)))
    facts += [("next", upcoming), ("task", clean(task)), *_job_facts(one)]
    facts += [
        ("declared", "by the program" if record.declared else "by hand"),
        ("revision", str(record.revision)),
        ("since", local_time(record.created_at)),
    ]
    late = one.average_lateness_ms
    facts += [(word, f"{number:,}") for word, number in one.counts.items()]
    return facts if late is None else [*facts, ("mean lateness", span(late))]


def _job_facts(one: StoredSchedule) -> list[tuple[str, str]]:
    try:
        job, chosen = one.template.job, one.schedule.options
    except LiteqError:
        return []
    facts = [("queue", clean(job.queue)), ("args", clean(job.args.decode("utf-8", "replace"), limit=200))]
    facts += [("misfire", chosen.misfire), ("overlap", chosen.overlap)]
    if chosen.max_jitter_ms:
        facts.append(("jitter", f"up to {span(chosen.max_jitter_ms)}"))
    if chosen.misfire_grace_ms is not None:
        facts.append(("grace", span(chosen.misfire_grace_ms)))
    return facts


@app.command()
def status(context: typer.Context) -> None:
    """Show how the scheduler is doing. Exit code 4 when schedules are overdue or broken."""
    found = with_declared(context)
    seen = found.schedules.status()
    if session(context).as_json:
        output.document(status_document(seen))
    else:
        show_status(seen)
    if seen.overdue or seen.broken:
        raise typer.Exit(Code.DEGRADED)


@app.command()
def remove(context: typer.Context, *, names: Names, yes: options.Yes = False) -> None:
    """Remove schedules. Jobs that they made stay; what the program declares comes back when it runs."""
    found = opened(context)
    stored = [found.schedules[name] for name in names]
    options.agreed(f"Remove {len(stored)} schedule{'s' * (len(stored) != 1)}?", yes=yes)
    for one in stored:
        found.schedules.remove(one.name)
        if one.record.declared:
            output.note(f"{clean(one.name)} was declared by a program, and comes back when that runs")
    _say(context, names, "removed")


@app.command()
def pause(
    context: typer.Context,
    *,
    name: Name,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever finds it paused.")] = None,
) -> None:
    """Let a schedule fire no more until it is resumed."""
    if not with_declared(context).schedules.pause(name, reason=reason):
        output.note(f"schedule {clean(name)} was paused already")
    _say(context, [name], "paused")


@app.command()
def resume(
    context: typer.Context,
    *,
    name: Name,
    catch_up: Annotated[bool, typer.Option("--catch-up", help="Fire what was missed, by its misfire policy.")] = False,
) -> None:
    """Let a schedule fire again, from now on."""
    if not opened(context).schedules.resume(name, catch_up=catch_up):
        output.note(f"schedule {clean(name)} was not paused")
    _say(context, [name], "on")


@app.command()
def trigger(context: typer.Context, *, name: Name, wait: options.Wait = False, timeout: options.Timeout = None) -> None:
    """Make a job of the schedule now, and print its id. The next tick stays where it is."""
    found = with_declared(context)
    if timeout is not None and not wait:
        raise Refused("--timeout goes with --wait")
    job = found.trigger(name)
    as_json = session(context).as_json
    if not as_json:
        output.say(str(job.id))
    elif not wait:
        output.document({"id": job.id})
    if wait:
        wait_for(found, [job.id], timeout=timeout, as_json=as_json, quiet=True)


@app.command()
def backfill(
    context: typer.Context,
    *,
    name: Name,
    start: Annotated[str, typer.Option("--from", help="The first instant, ISO.", metavar="ISO", show_default=False)],
    end: Annotated[str, typer.Option("--to", help="The last instant, ISO.", metavar="ISO", show_default=False)],
    yes: options.Yes = False,
) -> None:
    """Make the jobs of past ticks that have none yet. May be repeated: none is made twice."""
    found = with_declared(context)
    first, last = parse_instant(start), parse_instant(end)
    expected = _ticks_in(found.schedules[name], first, last)
    if expected > ASK_ABOVE:
        options.agreed(f"Make more than {ASK_ABOVE} jobs?", yes=yes)
    made = found.schedules.backfill(name, first, last)
    if session(context).as_json:
        output.document({"schedule": name, "jobs": [job.id for job in made]})
    else:
        output.say(f"{len(made)} job{'s' * (len(made) != 1)}")


def _ticks_in(one: StoredSchedule, first: datetime, last: datetime) -> int:
    return sum(tick <= last for tick in one.schedule.next_fires(first, ASK_ABOVE + 1))


def _say(context: typer.Context, names: list[str], state: str) -> None:
    if session(context).as_json:
        output.document({"schedules": names, "state": state})
    else:
        for name in names:
            output.say(f"schedule {clean(name)} is {state}")


app.command("add", context_settings={"allow_interspersed_args": True})(add)
app.command("next")(next_)
app.command("explain")(explain)
app.command("run")(run)
