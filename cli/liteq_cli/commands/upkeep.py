"""``liteq prune``, ``backup`` and ``check``: the care of the file."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from liteq.store.sqlite.tending import ROWS_LOOKED_AT
from liteq_cli import output
from liteq_cli.exits import Code, Refused
from liteq_cli.output import clean
from liteq_cli.target import opened, session
from liteq_cli.times import duration_ms, size

AT_ONCE = 500


def prune(
    context: typer.Context,
    *,
    older_than: Annotated[
        str, typer.Option(help="Those that finished longer ago: 12h, 7d.", metavar="TIME", show_default=False)
    ],
) -> None:
    """Remove completed and cancelled jobs that finished a while ago, in small steps beside the workers."""
    age_ms = duration_ms(older_than)
    app = opened(context)
    before = app.clock.now_ms() - age_ms
    # One step looks at a bounded stretch of ids, so only a whole round of empty ones proves that none is left.
    round_ = app.engine.file_facts().last_job_id // ROWS_LOOKED_AT + 2
    removed = empty = 0
    with _progress("pruning") as advance:
        while empty < round_:
            found = app.engine.prune(finished_before=before, limit=AT_ONCE)
            removed += found
            empty = 0 if found else empty + 1
            advance(min(empty, round_), round_)
    if session(context).as_json:
        output.document({"removed": removed})
    else:
        output.say(f"removed {removed} job{'s' * (removed != 1)}")


def backup(
    context: typer.Context,
    *,
    destination: Annotated[Path, typer.Argument(help="The file to write.", metavar="DEST", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a verified copy of the file, while workers go on."""
    app = opened(context)
    target = destination.absolute()
    if target.exists() and not force:
        raise Refused(f"{str(target)!r} is there already", hint="--force replaces it")
    if target.is_dir() or not target.parent.is_dir():
        raise Refused(f"{str(target)!r} cannot be written: {'a folder' if target.is_dir() else 'no such folder'}")
    with _progress("copying") as advance:
        app.engine.backup(target, progress=advance)
    written = target.stat().st_size
    if session(context).as_json:
        output.document({"path": str(target), "bytes": written})
    else:
        output.say(f"{clean(target)}, {size(written)}, verified")


def check(
    context: typer.Context,
    *,
    full: Annotated[bool, typer.Option("--full", help="Also compare every index with its table; slower.")] = False,
) -> None:
    """Ask SQLite whether the file is whole. Exit code 1 when it is not."""
    complaints = opened(context).engine.check(full=full)
    if session(context).as_json:
        output.document({"whole": not complaints, "complaints": complaints})
    elif complaints:
        for complaint in complaints:
            output.say(clean(complaint))
    else:
        output.say("the file is whole")
    if complaints:
        raise typer.Exit(Code.FAILED)


@contextmanager
def _progress(word: str) -> Generator[Callable[[int, int], None]]:
    if not output.is_rich(sys.stderr):
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=output.console(to_stderr=True), transient=True) as progress:
        bar = progress.add_task(word, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
