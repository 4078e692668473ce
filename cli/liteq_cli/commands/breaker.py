"""``liteq breaker``: what guards tasks, how it stands, and closing a breaker by hand."""

from typing import Annotated, Any

import msgspec
import typer

from liteq.clock import to_datetime
from liteq.ops.guards import GuardStats, guard_stats
from liteq_cli import output
from liteq_cli.exits import Code, Refused
from liteq_cli.output import Column, clean
from liteq_cli.target import opened, session
from liteq_cli.times import relative, span

COLUMNS = (
    Column("task", yields=True),
    Column("breaker"),
    Column("opens at", yields=True),
    Column("trial", right=True, spare=True),
    Column("opened", right=True, spare=True),
    Column("retry budget", right=True, spare=True),
    Column("retries wait", right=True, spare=True),
    Column("postponed", right=True, spare=True),
)

app = typer.Typer(help="List breakers and retry budgets, and close a breaker.", no_args_is_help=True)


@app.command("list")
def list_(context: typer.Context) -> None:
    """Show what guards tasks. Exit code 4 when a breaker is not closed."""
    liteq = opened(context)
    now = liteq.clock.now_ms()
    guards = guard_stats(liteq.engine, now=now)
    if session(context).as_json:
        output.document({"guards": [guard_document(guard) for guard in guards]})
    elif guards:
        output.table(COLUMNS, [_row(guard, now=now) for guard in guards])
    else:
        output.say(
            "no task is guarded; @app.task(breaker=Breaker(), retry_budget='20/minute') does, once a worker runs it"
        )
    if any(is_held_up(guard) for guard in guards):
        raise typer.Exit(Code.DEGRADED)


@app.command()
def reset(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="The task whose breaker to close.", show_default=False)],
) -> None:
    """Close a task's breaker now, with nothing counted against it."""
    liteq = opened(context)
    known = [guard.task for guard in guard_stats(liteq.engine, now=liteq.clock.now_ms()) if guard.breaker is not None]
    if task not in known:
        hint = f"known are {', '.join(clean(one) for one in known[:8])}" if known else None
        raise Refused(f"no breaker guards a task called {task[:80]!r}", hint=hint, code=Code.NOT_FOUND)
    closed = liteq.reset_breaker(task)
    if not closed:
        output.note(f"the breaker of {clean(task)} was closed already")
    if session(context).as_json:
        output.document({"task": task, "closed": closed})
    else:
        output.say(f"the breaker of {clean(task)} is closed")


def is_held_up(guard: GuardStats) -> bool:
    """Tell whether the breaker keeps jobs back."""
    return guard.breaker not in {None, "closed"}


def guard_document(guard: GuardStats) -> dict[str, Any]:
    """Give what guards a task for JSON: instants as ISO text, durations in milliseconds."""
    plain: dict[str, Any] = msgspec.to_builtins(guard)
    for name in ("opened_at", "open_until"):
        plain[name] = None if plain[name] is None else to_datetime(plain[name]).isoformat()
    return plain


def guard_words(guard: GuardStats, *, now: int) -> str:
    """Give what is worth knowing at a glance, empty when all is well."""
    words: list[str] = []
    if guard.breaker == "open":
        words.append(f"breaker open, trial {relative(guard.open_until, now_ms=now)}")
    elif guard.breaker == "half-open":
        words.append("breaker half-open" + (f", job {guard.trial} on trial" if guard.trial else ""))
    if guard.retry_wait_ms:
        words.append(f"retries wait {span(guard.retry_wait_ms)} longer")
    return f"{clean(guard.task)}: {'; '.join(words)}" if words else ""


def _row(guard: GuardStats, *, now: int) -> list[str]:
    rate = "-"
    if guard.failure_rate is not None:
        rate = f"{guard.failure_rate:.0%} of {guard.min_calls}+ in {span(guard.window_ms)}"
    trial = f"job {guard.trial}" if guard.trial else relative(guard.open_until, now_ms=now)
    return [
        clean(guard.task),
        guard.breaker or "-",
        rate,
        trial,
        f"{guard.openings:,} times" if guard.openings else "-",
        guard.retry_budget or "-",
        span(guard.retry_wait_ms) if guard.retry_wait_ms else "-",
        f"{guard.postponed:,}" if guard.postponed else "-",
    ]
