"""Waits for jobs, with a progress bar on a terminal. Shared by ``job wait`` and ``--wait``."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import typer

from liteq.app import Liteq
from liteq.errors import WaitTimeout
from liteq.job import Job, to_plain
from liteq.model.transitions import FINISHED, State
from liteq_cli import output
from liteq_cli.commands.running import words_of
from liteq_cli.exits import Code
from liteq_cli.times import parse_duration

LOOK_EVERY_S = 0.25
NO_WORKER_AFTER_S = 2
Advance = Callable[[int, int, str], None]


def wait_for(app: Liteq, job_ids: Sequence[int], *, timeout: str | None, as_json: bool, quiet: bool = False) -> None:
    """Wait until all have finished and print how they did; ends the command unless all completed.

    Raises WaitTimeout when the time is over first.
    """
    limit = None if timeout is None else parse_duration(timeout).total_seconds()
    jobs = [app.get_job(job_id) for job_id in dict.fromkeys(job_ids)]
    begun = app.clock.monotonic_ms()
    hushed = False
    with bar(len(jobs)) as advance:
        for done, job in enumerate(jobs):
            while job.refresh().state not in FINISHED:
                advance(*_how_far(job, done, len(jobs)))
                waited = (app.clock.monotonic_ms() - begun) / 1000
                if limit is not None and waited >= limit:
                    raise WaitTimeout(f"job {job.id} is still {job.state.word} after {limit:g} s")
                if waited >= NO_WORKER_AFTER_S and not hushed:
                    hushed = True
                    _note_without_worker(app)
                _wait_a_little(job, LOOK_EVERY_S if limit is None else min(limit - waited, LOOK_EVERY_S))
        advance(len(jobs), len(jobs), "done")
    _report(jobs, as_json=as_json, quiet=quiet)
    if any(job.state is not State.COMPLETED for job in jobs):
        raise typer.Exit(Code.FAILED)


def _how_far(job: Job[object], done: int, jobs: int) -> tuple[int, int, str]:
    """Give what the bar shows: how many jobs are done of all; of a single one, how far it says that it is."""
    text = f"job {job.id} {job.state.word}"
    progress = job.progress
    if progress is None or progress.attempt != job.attempt:
        return done, jobs, text
    if progress.note:
        text += f": {output.clean(progress.note, limit=60)}"
    if jobs > 1 or progress.fraction is None:
        return done, jobs, f"{text}, {words_of(progress)}"
    return round(progress.done), round(progress.total or 0), text


def _note_without_worker(app: Liteq) -> None:
    if not any(worker.alive for worker in app.engine.workers()):
        output.note("note: no worker is alive; liteq work starts one")


def _wait_a_little(job: Job[object], seconds: float) -> None:
    try:
        job.wait(seconds)
    except WaitTimeout:
        return


def _report(jobs: list[Job[object]], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        output.document({"jobs": [to_plain(job.record) for job in jobs]})
        return
    for job in jobs:
        ending = f"{job.id} {job.state.word}" + (f": {output.clean(job.reason, limit=200)}" if job.reason else "")
        if not quiet:
            output.say(ending)
        elif job.state is not State.COMPLETED:
            output.note(ending)


@contextmanager
def bar(total: int) -> Generator[Advance]:
    """Give a function that moves a progress bar on stderr; it does nothing off a terminal."""
    if not output.is_rich(sys.stderr):
        yield lambda _done, _total, _text: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=output.console(to_stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=total)
        yield lambda done, total, text: progress.update(bar, completed=done, total=total, description=text)
