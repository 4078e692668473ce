"""``liteq dead``: the dead letters, jobs whose budget is spent and that wait for a person."""

from typing import Annotated, Any

import typer

from liteq.errors import WrongState
from liteq.model.transitions import State
from liteq_cli import options, output
from liteq_cli.commands.rows import job_document, show_ids, show_job, show_jobs
from liteq_cli.exits import Refused
from liteq_cli.target import opened, session
from liteq_cli.times import parse_past

app = typer.Typer(help="Look at the dead letters, run them again, remove them.", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    *,
    queue: options.OneQueue = None,
    task: options.OneTask = None,
    tag: options.OneTag = None,
    since: options.Since = None,
    limit: options.Limit = 50,
) -> None:
    """List dead jobs, the newest first."""
    liteq = opened(context)
    wanted = options.filters_of(liteq, state=["dead"], queue=queue, task=task, tag=tag, since=since)
    show_jobs(liteq.list_jobs(limit=limit, **wanted), app=liteq, as_json=session(context).as_json, dead=True)


@app.command()
def show(context: typer.Context, *, job_id: options.JobId) -> None:
    """Show a dead job with its attempts."""
    liteq = opened(context)
    job = liteq.get_job(job_id)
    if job.state is not State.DEAD:
        raise WrongState(f"job {job_id} is {job.state.word}, not dead")
    if session(context).as_json:
        output.document(job_document(job, app=liteq))
    else:
        show_job(job, app=liteq)


@app.command()
def requeue(
    context: typer.Context,
    *,
    job_ids: options.JobIds = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead jobs.")] = False,
    queue: options.OneQueue = None,
    task: options.OneTask = None,
    tag: options.OneTag = None,
    since: options.Since = None,
) -> None:
    """Run dead jobs again with a fresh budget: those named, those that match, or --all."""
    liteq = opened(context)
    wanted: dict[str, Any] = options.filters_of(liteq, state=None, queue=queue, task=task, tag=tag, since=since)
    if sum((bool(job_ids), bool(wanted), everything)) != 1:
        raise Refused("which dead jobs?", hint="name their ids, filter with --queue --task --tag --since, or --all")
    code = 0
    if job_ids:
        done, code = options.each(job_ids, liteq.requeue)
    else:
        done = liteq.requeue(state=["dead"], **wanted)
    if done or not code:
        show_ids(done, verb="requeued", as_json=session(context).as_json)
    if code:
        raise typer.Exit(code)


@app.command()
def purge(
    context: typer.Context,
    *,
    queue: options.OneQueue = None,
    task: options.OneTask = None,
    tag: options.OneTag = None,
    older_than: Annotated[
        str | None, typer.Option(help="Only those enqueued longer ago: 30d.", metavar="TIME", show_default=False)
    ] = None,
    yes: options.Yes = False,
) -> None:
    """Remove dead jobs for good."""
    liteq = opened(context)
    wanted = options.filters_of(liteq, state=["dead"], queue=queue, task=task, tag=tag, since=None)
    if older_than is not None:
        wanted["until"] = parse_past(older_than, now_ms=liteq.clock.now_ms())
    count = liteq.count_jobs(**wanted)
    options.agreed(f"Remove {count} dead job{'s' * (count != 1)} for good?", yes=yes)
    show_ids(liteq.delete_jobs(**wanted), verb="removed", as_json=session(context).as_json)
