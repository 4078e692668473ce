"""``liteq queue``: the queues and what may be done to a whole one."""

from typing import Annotated

import msgspec
import typer

from liteq.ops.stats import QueueStats
from liteq_cli import options, output
from liteq_cli.commands import limits
from liteq_cli.commands.rows import show_ids
from liteq_cli.commands.status import show_queues
from liteq_cli.exits import Code, Refused
from liteq_cli.output import Column, clean
from liteq_cli.target import opened, session
from liteq_cli.times import span

app = typer.Typer(help="Look at queues, pause, resume and limit them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The queue.", metavar="QUEUE", show_default=False)]


@app.command("list")
def list_(context: typer.Context) -> None:
    """List the queues with the sizes of their states."""
    queues = opened(context).stats().queues
    if session(context).as_json:
        output.document({"queues": queues})
    else:
        show_queues(queues)


@app.command()
def status(
    context: typer.Context,
    *,
    name: Annotated[str | None, typer.Argument(help="The queue; all when left out.", metavar="[QUEUE]")] = None,
) -> None:
    """Show one queue in full. Exit code 4 when it is paused, 3 when nothing is known of it."""
    queues = opened(context).stats().queues
    as_json = session(context).as_json
    if name is None:
        if as_json:
            output.document({"queues": queues})
        else:
            show_queues(queues)
        return
    found = next((queue for queue in queues if queue.name == name), None)
    if found is None:
        hint = f"known are {', '.join(queue.name for queue in queues[:8])}" if queues else None
        raise Refused(f"nothing is known of a queue called {name[:80]!r}", hint=hint, code=Code.NOT_FOUND)
    if as_json:
        output.document(found)
    else:
        _show(found)
    if found.paused:
        raise typer.Exit(Code.DEGRADED)


def _show(queue: QueueStats) -> None:
    counts = msgspec.structs.asdict(queue)
    words = ("scheduled", "waiting", "blocked", "ready", "running", "dead")
    output.pairs(
        [
            ("queue", clean(queue.name)),
            ("state", "paused" if queue.paused else "open"),
            *([("max running", f"{queue.max_running:,}")] if queue.max_running else []),
            *([("rate", queue.rate)] if queue.rate else []),
            *((word, f"{counts[word]:,}") for word in words),
            ("completed, 1 h", f"{queue.completed_last_hour:,}"),
            ("failed, 1 h", f"{queue.failed_last_hour:,}"),
            ("oldest ready", span(queue.oldest_ready_ms)),
            ("may wait", "any number" if queue.max_pending is None else _room(queue)),
        ]
    )
    if queue.by_priority:
        output.say()
        columns = (Column("priority", right=True), Column("ready", right=True))
        output.table(columns, [[str(priority), f"{jobs:,}"] for priority, jobs in queue.by_priority.items()])


def _room(queue: QueueStats) -> str:
    return f"{queue.pending:,} of {queue.max_pending:,}" + (", full" if queue.full else "")


@app.command()
def pause(
    context: typer.Context,
    *,
    name: Name,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever finds it paused.")] = None,
) -> None:
    """Let no job of the queue start until it is resumed. What runs goes on."""
    opened(context).pause_queue(name, reason=reason)
    _say(context, name, paused=True)


@app.command()
def resume(context: typer.Context, *, name: Name) -> None:
    """Let the queue's jobs start again."""
    if not opened(context).resume_queue(name):
        output.note(f"queue {clean(name)} was not paused")
    _say(context, name, paused=False)


@app.command()
def limit(
    context: typer.Context,
    *,
    name: Name,
    max_running: limits.MaxRunning = None,
    rate: limits.RateText = None,
    max_pending: Annotated[
        int | None, typer.Option(help="Let at most so many jobs wait in it; enqueueing more is refused.", metavar="N")
    ] = None,
    clear: limits.Clear = False,
) -> None:
    """Limit a queue over all workers, show its limit, or with --clear take it back. What runs or waits goes on."""
    wanted = {"max_running": max_running, "rate": rate, "max_pending": max_pending}
    limits.change(context, "queue", name, wanted, clear=clear)


@app.command()
def reprioritize(
    context: typer.Context,
    *,
    name: Name,
    priority: Annotated[str, typer.Argument(help="An integer, or low, normal, high, critical.", show_default=False)],
) -> None:
    """Give all jobs of the queue that wait another priority."""
    at_rest = ["scheduled", "waiting", "blocked", "ready"]
    done = opened(context).reschedule(queue=name, state=at_rest, priority=options.priority_of(priority))
    show_ids(done, verb="changed", as_json=session(context).as_json)


def _say(context: typer.Context, name: str, *, paused: bool) -> None:
    if session(context).as_json:
        output.document({"queue": name, "paused": paused})
    else:
        output.say(f"queue {clean(name)} {'is paused' if paused else 'runs'}")
