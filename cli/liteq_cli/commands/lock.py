"""``liteq lock``: who holds which named lock, and freeing one by hand."""

from typing import Annotated, Any

import msgspec
import typer

from liteq.clock import to_datetime
from liteq.model.lock import LockRecord
from liteq_cli import options, output
from liteq_cli.exits import Code, Refused
from liteq_cli.output import Column, clean
from liteq_cli.target import opened, session
from liteq_cli.times import relative

COLUMNS = (
    Column("lock", yields=True),
    Column("state"),
    Column("pid", right=True),
    Column("held by", yields=True),
    Column("since", right=True),
    Column("token", right=True),
    Column("waiting", right=True),
)

app = typer.Typer(help="See who holds named locks, and free one by hand.", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    *,
    limit: options.Limit = 100,
    after: Annotated[str, typer.Option(help="Only names behind this one.", metavar="NAME", show_default=False)] = "",
) -> None:
    """Show the locks that are held: by which process, for what, since when, and how many wait."""
    liteq = opened(context)
    found = liteq.engine.list_locks(limit=limit, after=after)
    if session(context).as_json:
        output.document({"locks": [_plain(lock) for lock in found]})
    elif found:
        now = liteq.clock.now_ms()
        output.table(COLUMNS, [_row(lock, now=now) for lock in found])
        if len(found) == limit:
            output.note("there may be more; --limit shows them")
    else:
        output.note("no lock is held; app.lock(NAME) in a program takes one")


@app.command()
def release(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(help="The lock.", metavar="NAME", show_default=False)],
    yes: options.Yes = False,
) -> None:
    """Free a lock whoever holds it. Its holder is not stopped: it sees that the lock is lost when it looks."""
    liteq = opened(context)
    lock = liteq.engine.get_lock(name)
    if lock is None:
        raise _not_held(name)
    if lock.alive:
        options.agreed(f"process {lock.pid} ({clean(lock.what)}) holds it and goes on. Free it all the same?", yes=yes)
    if not liteq.engine.break_lock(name, now=liteq.clock.now_ms()):
        raise _not_held(name)
    if session(context).as_json:
        output.document({"released": _plain(lock)})
    else:
        output.say(clean(name))


def _not_held(name: str) -> Refused:
    return Refused(f"nobody holds the lock {clean(name, limit=80)!r}", hint="liteq lock list", code=Code.NOT_FOUND)


def _state(lock: LockRecord) -> str:
    return "held" if lock.alive else "gone"


def _plain(lock: LockRecord) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(lock)
    return plain | {"taken_at": to_datetime(lock.taken_at).isoformat()}


def _row(lock: LockRecord, *, now: int) -> list[str]:
    return [
        clean(lock.name),
        _state(lock),
        str(lock.pid),
        clean(lock.what),
        relative(lock.taken_at, now_ms=now),
        str(lock.token),
        str(lock.waiting),
    ]
