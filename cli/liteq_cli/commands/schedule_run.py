"""``liteq schedule run``: fires schedules and runs no jobs."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Annotated

import typer

from liteq.scheduler import FireResult, Scheduler
from liteq.worker.scheduling import SchedulerLoop
from liteq_cli import output
from liteq_cli.exits import Code
from liteq_cli.target import opened, session
from liteq_cli.times import local_time


def run(
    context: typer.Context,
    *,
    once: Annotated[bool, typer.Option("--once", help="Fire what is due now, and end.")] = False,
) -> None:
    """Fire schedules, a line for each; jobs are left to workers. SIGTERM or Ctrl-C ends it.

    Exit code 1 means that with --once a schedule could not fire.
    """
    app = opened(context)
    app.schedules.store_declared()
    tell = _tell_json if session(context).as_json else _tell
    scheduler = Scheduler(app.engine, app.clock)
    if once:
        fired = scheduler.fire_due()
        tell(fired)
        if not all(one.success for one in fired):
            raise typer.Exit(Code.FAILED)
        return
    output.log_to_stderr("warning")
    output.note(f"firing schedules of {output.clean(os.fspath(app.path))}, pid {os.getpid()}; Ctrl-C ends it")
    _run_until_told(scheduler, tell)


def _run_until_told(scheduler: Scheduler, tell: Callable[[Sequence[FireResult]], None]) -> None:
    broken: list[OSError] = []

    def heeded(fired: Sequence[FireResult]) -> None:
        try:
            tell(fired)
        except OSError as error:
            # Nobody reads the lines any more. The loop would take that for trouble that passes.
            broken.append(error)
            loop.end()

    def end(_number: int, _frame: FrameType | None) -> None:
        loop.end()

    loop = SchedulerLoop(scheduler, tell=heeded)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    loop.run()
    if broken:
        raise broken[0]


def _tell(fired: Sequence[FireResult]) -> None:
    for one in fired:
        when = local_time(round(one.fire_at.timestamp() * 1000))
        end = f"job {one.job_id}" if one.success else f"failed: {output.clean(one.error, limit=200)}"
        output.say(f"{when}  {output.clean(one.schedule)}  {end}")
    sys.stdout.flush()


def _tell_json(fired: Sequence[FireResult]) -> None:
    for one in fired:
        output.json_line(one)
