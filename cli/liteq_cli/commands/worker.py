"""``liteq worker``: who runs jobs, and asking one to stop."""

import os
import signal
import time
from typing import Annotated, Any

import msgspec
import typer

from liteq.app import Liteq
from liteq.clock import to_datetime
from liteq.model.fleet import WorkerRecord
from liteq.ops.workers import WorkerView, worker_views
from liteq_cli import output
from liteq_cli.exits import Code, Refused
from liteq_cli.output import Column, clean
from liteq_cli.target import opened, session
from liteq_cli.times import relative, size, span

COLUMNS = (
    Column("id", right=True),
    Column("worker", yields=True),
    Column("state"),
    Column("since", right=True),
    Column("jobs", yields=True),
    Column("done", right=True),
    Column("memory", right=True),
    Column("beat", right=True),
    Column("supervisor", right=True, spare=True),
)
PATIENCE_S = 10.0

app = typer.Typer(help="List workers, and ask one to stop.", no_args_is_help=True)


@app.command("list")
def list_(context: typer.Context) -> None:
    """Show the workers: what each is at, since when, its memory and its last heartbeat."""
    liteq = opened(context)
    views = worker_views(liteq.engine, monotonic=liteq.clock.monotonic_ms())
    if session(context).as_json:
        output.document({"workers": [_plain(view) for view in views]})
    elif views:
        output.table(COLUMNS, [_row(view, now=liteq.clock.now_ms()) for view in views])
    else:
        output.note("no worker is known; liteq work starts one")


@app.command()
def stop(
    context: typer.Context,
    worker_id: Annotated[int, typer.Argument(help="The worker, as listed.", min=1, metavar="ID", show_default=False)],
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Have it give back its running jobs, and wait for its end.")
    ] = False,
) -> None:
    """Ask a worker to stop: its running jobs may finish, and its supervisor does not replace it."""
    liteq = opened(context)
    record = _stoppable(liteq, worker_id)
    _signal(record, signal.SIGTERM)
    if now:
        # Another one than before: two alike that are pending count as one.
        _signal(record, signal.SIGINT)
        _wait(liteq, worker_id)
    if session(context).as_json:
        output.document({"stopped" if now else "asked": worker_id})
    else:
        output.say(str(worker_id))


def _stoppable(liteq: Liteq, worker_id: int) -> WorkerRecord:
    record = _find(liteq, worker_id)
    if record is None or not record.alive:
        raise Refused(
            f"no living worker has the id {worker_id}", hint="liteq worker list shows them", code=Code.NOT_FOUND
        )
    if record.here and not record.hears_stop:
        raise Refused(
            f"worker {worker_id} is part of another program, which a signal would end",
            hint=f"stop its loop there, in process {record.pid}",
            code=Code.FAILED,
        )
    if not record.here:
        raise Refused(f"worker {worker_id} lives in another container; stop it there", code=Code.FAILED)
    return record


def _find(liteq: Liteq, worker_id: int) -> WorkerRecord | None:
    return next((record for record in liteq.engine.workers() if record.id == worker_id), None)


def _signal(record: WorkerRecord, number: signal.Signals) -> None:
    try:
        # Its lock is held, so the pid is still its own.
        os.kill(record.pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise Refused(f"process {record.pid} belongs to another user", code=Code.FAILED) from None


def _wait(liteq: Liteq, worker_id: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while (record := _find(liteq, worker_id)) is not None and record.alive:
        if time.monotonic() > end:
            raise Refused(
                f"worker {worker_id} (pid {record.pid}) does not stop",
                hint=f"kill -9 {record.pid} ends it; the jobs that it runs are charged with a crash",
                code=Code.TIMED_OUT,
            )
        time.sleep(0.02)


def _plain(view: WorkerView) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(view)
    return plain | {"started_at": to_datetime(view.started_at).isoformat()}


def _row(view: WorkerView, *, now: int) -> list[str]:
    return [
        str(view.id),
        clean(view.name),
        view.state,
        relative(view.started_at, now_ms=now),
        ", ".join(map(str, view.jobs)) or "-",
        f"{view.done:,}",
        "-" if view.rss is None else size(view.rss),
        f"{span(view.silent_ms)} ago" if view.silent_ms is not None else "-",
        "" if view.supervisor_pid is None else str(view.supervisor_pid),
    ]
