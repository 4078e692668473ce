"""``liteq queue limit`` and ``liteq task limit``: how many jobs may run at once, and start in a time."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from liteq.app import Liteq
from liteq.model.limits import Limit, Limited, LimitRecord
from liteq.model.names import check_name
from liteq_cli import output
from liteq_cli.exits import Refused
from liteq_cli.output import Column, clean
from liteq_cli.target import opened, session

app = typer.Typer(help="Limit tasks.", no_args_is_help=True)

MaxRunning = Annotated[int | None, typer.Option(help="Let at most so many of its jobs run at once.", metavar="N")]
RateText = Annotated[
    str | None, typer.Option("--rate", help="Let so many start in a time: 100/minute, 5/s, 3/10s.", metavar="RATE")
]
Clear = Annotated[bool, typer.Option("--clear", help="Take the limits back.")]
COLUMNS = (
    Column("limit of", yields=True),
    Column("max running", right=True),
    Column("running", right=True),
    Column("rate"),
    Column("set by"),
)


@app.command("limit")
def limit_task(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(help="The task.", metavar="TASK", show_default=False)],
    max_running: MaxRunning = None,
    rate: RateText = None,
    clear: Clear = False,
) -> None:
    """Limit a task over all workers, show its limit, or with --clear take it back.

    What is given here goes before what the program declares beside the task; cleared, that holds again.
    """
    change(context, "task", name, {"max_running": max_running, "rate": rate}, clear=clear)


@app.command("list")
def list_(context: typer.Context) -> None:
    """List the tasks that have a limit."""
    show([one for one in opened(context).limits() if one.of == "task"], as_json=session(context).as_json)


def change(context: typer.Context, of: Limited, name: str, given: Mapping[str, Any], *, clear: bool) -> None:
    """Set what is given, or take all back, and print what holds now."""
    wanted = {side: value for side, value in given.items() if value is not None}
    if clear and wanted:
        raise Refused("--clear takes the limits back; it goes with no other option")
    liteq = opened(context)
    if clear:
        cleared = liteq.unlimit_queue(name) if of == "queue" else liteq.unlimit_task(name)
        if not cleared:
            output.note(f"{of} {clean(name)} had no limit that was set by hand")
    elif wanted:
        limit = liteq.limit_queue if of == "queue" else liteq.limit_task
        limit(name, **wanted)
        if of == "task" and name not in _known_tasks(liteq):
            output.note(f"neither the app nor a worker knows a task called {clean(name)}")
    _show_one(liteq, of, check_name(name, what=of), as_json=session(context).as_json)


def _known_tasks(liteq: Liteq) -> set[str]:
    names = {definition.name for definition in liteq.tasks}
    return names.union(*(worker.tasks for worker in liteq.engine.workers()))


def _show_one(liteq: Liteq, of: Limited, name: str, *, as_json: bool) -> None:
    found = next((one for one in liteq.limits() if (one.of, one.name) == (of, name)), None)
    room = _max_pending(liteq, name) if of == "queue" else None
    if as_json:
        sides = document(found) if found else {"of": of, "name": name, "max_running": None, "rate": None}
        output.document(sides | ({"max_pending": room} if of == "queue" else {}))
        return
    words = [] if found is None else [text_of(found.in_force) + _told_by(found)]
    words += [] if room is None else [f"at most {room:,} may wait"]
    output.say(f"{of} {clean(name)}: {', '.join(words)}" if words else f"{of} {clean(name)} has no limit")


def _max_pending(liteq: Liteq, name: str) -> int | None:
    return next((queue.max_pending for queue in liteq.engine.queues() if queue.name == name), None)


def show(limits: list[LimitRecord], *, as_json: bool) -> None:
    """Print limits as a table or as ``{"limits": […]}``."""
    if as_json:
        output.document({"limits": [document(one) for one in limits]})
    elif not limits:
        output.note("no limits; liteq queue limit QUEUE --max-running N sets one, liteq task limit TASK another")
    else:
        output.table(COLUMNS, [_row(one) for one in limits])


def document(one: LimitRecord) -> dict[str, Any]:
    """Give a limit for JSON: what holds, and where it comes from."""
    return {
        "of": one.of,
        "name": one.name,
        **_sides(one.in_force),
        "running": one.running,
        "given": _sides(one.given),
        "declared": _sides(one.declared),
    }


def text_of(limit: Limit) -> str:
    """Give a limit in words."""
    sides = [
        "" if limit.max_running is None else f"at most {limit.max_running:,} at once",
        "" if limit.rate is None else str(limit.rate),
    ]
    return ", ".join(side for side in sides if side)


def _sides(limit: Limit) -> dict[str, Any]:
    return {"max_running": limit.max_running, "rate": None if limit.rate is None else str(limit.rate)}


def _row(one: LimitRecord) -> list[str]:
    limit = one.in_force
    return [
        f"{one.of} {clean(one.name)}",
        "·" if limit.max_running is None else f"{limit.max_running:,}",
        f"{one.running:,}",
        "·" if limit.rate is None else str(limit.rate),
        "the program" if one.given == Limit() else "hand",
    ]


def _told_by(one: LimitRecord) -> str:
    if one.given == Limit():
        return " (declared by the program)"
    return "" if one.declared == Limit() else f" (the program declares {text_of(one.declared)})"
