"""``liteq work``: runs jobs until told to stop."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

import liteq
from liteq.app import Liteq
from liteq.model.names import check_name
from liteq.worker.worker import WorkResult, WorkSettings
from liteq_cli import output
from liteq_cli.exits import Code
from liteq_cli.target import opened, session
from liteq_cli.times import parse_duration

log = logging.getLogger("liteq.cli")


def work(
    context: typer.Context,
    *,
    queue: Annotated[list[str] | None, typer.Option("--queue", "-q", help="Only this queue; may be repeated.")] = None,
    threads: Annotated[int, typer.Option("--threads", "-t", help="Jobs at once.", min=1, max=1000)] = 1,
    coroutines: Annotated[int, typer.Option(help="Coroutine jobs at once.", min=1, max=1000)] = 100,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is left to do.")] = False,
    max_jobs: Annotated[int | None, typer.Option(help="End after so many jobs.", min=1)] = None,
    no_scheduler: Annotated[bool, typer.Option("--no-scheduler", help="Leave schedules to other workers.")] = False,
    grace: Annotated[str, typer.Option(help="What running jobs get when asked to stop.", metavar="TIME")] = "30s",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="How much is said on stderr.")
    ] = "info",
) -> None:
    """Run jobs. SIGTERM or Ctrl-C ends it gently, a second one at once.

    Exit code 1 means that with --burst a job died.
    """
    app = opened(context, tasks=True)
    logging.basicConfig(
        stream=sys.stderr,
        level=log_level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    settings = WorkSettings(
        queues=None if not queue else tuple(check_name(name, what="queue") for name in queue),
        threads=threads,
        coroutines=coroutines,
        burst=burst,
        max_jobs=max_jobs,
        retention_ms=app.retention_ms,
        grace_ms=round(parse_duration(grace).total_seconds() * 1000),
        scheduler=not no_scheduler,
    )
    named = session(context).app_setting.value
    if named is None:
        log.warning("no app was named, so only shell commands run; --app module:attribute names one")
    log.info("%s", _start_line(app, named, settings))
    result = app.new_worker(settings).run()
    log.info("%s", _end_line(result))
    if session(context).as_json:
        output.document(result)
    if burst and result.dead:
        raise typer.Exit(Code.FAILED)


def _start_line(app: Liteq, named: str | None, settings: WorkSettings) -> str:
    path = Path(os.fspath(app.path)).absolute()
    queues = "all queues" if settings.queues is None else f"queues {', '.join(settings.queues)}"
    tasks = sum(1 for _ in app.tasks)
    return (
        f"liteq {liteq.__version__} pid {os.getpid()}: {output.clean(path)}, app {output.clean(named or 'none')}, "
        f"{tasks} task{'s' * (tasks != 1)}, {queues}, {settings.threads} thread{'s' * (settings.threads != 1)}"
    )


def _end_line(result: WorkResult) -> str:
    counts = {name: getattr(result, name) for name in result.__struct_fields__}
    return "ended: " + (", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing was done")
