"""``liteq schedule``: look at schedules and handle those that are stored."""

from typing import Annotated

import typer

from liteq.app import Liteq
from liteq.model.instants import instant_ms
from liteq.schedule_rows import ticks_between
from liteq_cli import options, output
from liteq_cli.commands.enqueue import finish, refuse_timeout_alone
from liteq_cli.commands.schedule_add import add
from liteq_cli.commands.schedule_page import (
    LIST_COLUMNS,
    TICK_COLUMNS,
    document,
    facts,
    row,
    tick_document,
    tick_row,
)
from liteq_cli.commands.schedule_run import run
from liteq_cli.commands.schedule_ticks import explain, next_
from liteq_cli.commands.scheduler import EMPTY, show_status, status_document
from liteq_cli.exits import Code
from liteq_cli.output import clean
from liteq_cli.target import opened, session

app = typer.Typer(help="Look at schedules, add, pause, trigger and remove them.", no_args_is_help=True)

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
    stored, now = list(found.schedules), found.clock.now_ms()
    if session(context).as_json:
        output.document({"schedules": [document(one, now=now) for one in stored]})
    elif stored:
        output.table(LIST_COLUMNS, [row(one, now=now) for one in stored])
    else:
        output.say(EMPTY)


@app.command()
def show(
    context: typer.Context,
    *,
    name: Name,
    limit: Annotated[int, typer.Option(help="So many of the newest ticks.", min=0, max=10_000)] = 10,
) -> None:
    """Show one schedule in full, with its newest ticks. Exit code 4 when it is paused or broken."""
    found = with_declared(context)
    one, now = found.schedules[name], found.clock.now_ms()
    ticks = one.ticks(limit=limit)
    shown = document(one, now=now)
    if session(context).as_json:
        output.document(shown | {"ticks": [tick_document(tick) for tick in ticks]})
    else:
        output.pairs(facts(one, now=now))
        if ticks:
            output.say()
            output.table(TICK_COLUMNS, [tick_row(tick) for tick in ticks])
    if shown["state"] in {"paused", "broken"}:
        raise typer.Exit(Code.DEGRADED)


@app.command()
def status(context: typer.Context) -> None:
    """Show how the scheduler is doing. Exit code 4 when schedules are broken, or overdue by more than 5 s."""
    found = with_declared(context)
    seen = found.schedules.status()
    if session(context).as_json:
        output.document(status_document(seen))
    else:
        show_status(seen)
    if seen.overdue and not any(worker.alive for worker in found.engine.workers()):
        output.note("no worker is alive; liteq work or liteq schedule run fires what is due")
    if seen.overdue or seen.broken:
        raise typer.Exit(Code.DEGRADED)


@app.command()
def remove(context: typer.Context, *, names: Names, yes: options.Yes = False) -> None:
    """Remove schedules. Jobs that they made stay; what a program declares comes back when it is loaded again."""
    found = opened(context)
    stored = [found.schedules[name] for name in dict.fromkeys(names)]
    options.agreed(f"Remove {len(stored)} schedule{'s' * (len(stored) != 1)}?", yes=yes)
    for one in stored:
        found.schedules.remove(one.name)
        if one.record.declared:
            output.note(f"{clean(one.name)} was declared by a program, and comes back when that is loaded again")
    _say(context, [one.name for one in stored], "removed")


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
    refuse_timeout_alone(timeout, wait=wait)
    found = with_declared(context)
    job = found.trigger(name)
    finish(found, job.id, answer=job.answer, wait=wait, timeout=timeout, as_json=session(context).as_json)


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
    first, last = options.instant_of(start), options.instant_of(end)
    ticks = ticks_between(
        found.schedules[name].schedule, instant_ms(first, what="--from"), instant_ms(last, what="--to")
    )
    if len(ticks) > ASK_ABOVE:
        options.agreed(f"Make up to {len(ticks):,} jobs?", yes=yes)
    made = found.schedules.backfill(name, first, last)
    if session(context).as_json:
        output.document({"schedule": name, "ticks": len(ticks), "jobs": [job.id for job in made]})
        return
    output.say(f"{len(made):,} job{'s' * (len(made) != 1)}")
    if len(made) < len(ticks):
        output.note(f"{len(ticks) - len(made):,} of {len(ticks):,} ticks have a job already")


def _say(context: typer.Context, names: list[str], state: str) -> None:
    if session(context).as_json:
        output.document({"schedules": names, "state": state})
    else:
        for name in names:
            output.say(f"schedule {clean(name)} is {state}")


app.command("add")(add)
app.command("next")(next_)
app.command("explain")(explain)
app.command("run")(run)
