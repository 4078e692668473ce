"""``liteq job``: jobs by id or by filter."""

from typing import Annotated, Any

import typer

from liteq.app import Liteq
from liteq.model.job import Attempt
from liteq.model.transitions import LIVE, State
from liteq.ops.reasons import explain_job
from liteq_cli import options, output
from liteq_cli.commands.rows import attempt_document, job_document, show_ids, show_job, show_jobs
from liteq_cli.commands.waiting import wait_for
from liteq_cli.exits import Code, Refused
from liteq_cli.target import opened, session
from liteq_cli.times import parse_duration, span

app = typer.Typer(help="Look at jobs, wait for them, change them.", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    *,
    state: options.States = None,
    queue: options.OneQueue = None,
    task: options.OneTask = None,
    tag: options.OneTag = None,
    batch: options.OneBatch = None,
    since: options.Since = None,
    limit: options.Limit = 50,
    before_id: Annotated[int | None, typer.Option(help="Only older jobs than this one.", min=1, max=2**63 - 1)] = None,
) -> None:
    """List jobs, the newest first."""
    liteq = opened(context)
    wanted = options.filters_of(liteq, state=state, queue=queue, task=task, tag=tag, batch=batch, since=since)
    as_json = session(context).as_json
    jobs = liteq.list_jobs(limit=limit, before_id=before_id, **wanted)
    show_jobs(jobs, app=liteq, as_json=as_json)
    if len(jobs) == limit and not as_json:
        output.note(f"{limit} are shown; older ones: --before-id {jobs[-1].id}")


@app.command()
def show(context: typer.Context, *, job_id: options.JobId) -> None:
    """Show everything that is known of a job."""
    liteq = opened(context)
    job = liteq.get_job(job_id)
    if session(context).as_json:
        output.document(job_document(job, app=liteq))
    else:
        show_job(job, app=liteq)


@app.command()
def explain(context: typer.Context, *, job_id: options.JobId) -> None:
    """Say why a job does not start, where it runs, or how it ended."""
    liteq = opened(context)
    record = liteq.get_job(job_id).record
    why = explain_job(liteq.engine, record, now=liteq.clock.now_ms())
    if session(context).as_json:
        output.document({"id": record.id, "state": record.state.word, "why": why})
    else:
        output.say(f"job {record.id} is {record.state.word}: {output.clean(why, limit=300)}")


@app.command()
def wait(context: typer.Context, *, job_ids: options.JobIds = None, timeout: options.Timeout = None) -> None:
    """Wait until the jobs have finished. Exit code 0: all completed, 1: some did not, 5: the time was over."""
    if not job_ids:
        raise Refused("which jobs?", hint="liteq job wait ID …")
    wait_for(opened(context), job_ids, timeout=timeout, as_json=session(context).as_json)


@app.command()
def logs(context: typer.Context, *, job_id: options.JobId) -> None:
    """Show what the job's attempts printed, logged and raised."""
    attempts = opened(context).get_job(job_id).attempts
    if session(context).as_json:
        output.document({"attempts": [attempt_document(attempt) for attempt in attempts]})
        return
    if not attempts:
        output.note("nothing is kept of it: a first attempt that succeeds without logging leaves no record")
    for attempt in attempts:
        _show_attempt(attempt)


@app.command()
def stream(
    context: typer.Context,
    *,
    job_id: options.JobId,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until the job has finished; exit code 1 unless it completed.")
    ] = False,
    after: Annotated[int, typer.Option(help="Only parts behind this seq.", min=0, max=2**63 - 1, metavar="SEQ")] = 0,
    timeout: options.Timeout = None,
) -> None:
    """Print what the job has published, one JSON document a line."""
    if timeout is not None and not follow:
        raise Refused("--timeout goes with --follow")
    liteq = opened(context)
    job = liteq.get_job(job_id)
    limit = None if timeout is None else parse_duration(timeout)
    found = False
    for part in job.stream(after=after, timeout=limit) if follow else job.parts(after=after):
        found = True
        output.json_line(
            {
                "seq": part.seq,
                "attempt": part.attempt,
                "published_at": part.published_at.isoformat(),
                "value": part.value,
            }
        )
    if not found:
        output.note(
            "nothing was published" + (f" after {after}" if after else "; a task does so by ctx.publish(value)")
        )
    if follow and job.state is not State.COMPLETED:
        raise typer.Exit(Code.FAILED)


def _show_attempt(attempt: Attempt) -> None:
    began = attempt.started_at or attempt.claimed_at or attempt.finished_at
    ending = "" if attempt.exit_code is None else f", exit code {attempt.exit_code}"
    output.say(f"attempt {attempt.attempt}: {attempt.outcome} after {span(attempt.finished_at - began)}{ending}")
    printed = None if attempt.output is None else attempt.output.decode("utf-8", "replace")
    for text in (printed, attempt.log, attempt.traceback or attempt.error):
        for line in output.lines(text or ""):
            output.say(f"  {line}")


@app.command()
def retry(
    context: typer.Context,
    *,
    job_ids: options.JobIds = None,
    state: options.States = None,
    queue: options.OneQueue = None,
    task: options.OneTask = None,
    tag: options.OneTag = None,
    batch: options.OneBatch = None,
    since: options.Since = None,
) -> None:
    """Run finished jobs again with a fresh budget: those named, or the dead ones that match."""
    liteq = opened(context)
    wanted = options.filters_of(liteq, state=state, queue=queue, task=task, tag=tag, batch=batch, since=since)
    _check_choice(job_ids, wanted)
    if job_ids:
        _end(context, "requeued", options.each(job_ids, liteq.requeue))
    else:
        _end(context, "requeued", (liteq.requeue(**_within(wanted, "dead")), 0))


@app.command()
def cancel(
    context: typer.Context,
    *,
    job_ids: options.JobIds = None,
    state: options.States = None,
    queue: options.OneQueue = None,
    task: options.OneTask = None,
    tag: options.OneTag = None,
    batch: options.OneBatch = None,
    since: options.Since = None,
    reason: Annotated[str, typer.Option(help="What is noted.")] = "cancelled by hand",
    hard: Annotated[bool, typer.Option("--hard", help="Stop one that does not listen with its process.")] = False,
    yes: options.Yes = False,
) -> None:
    """Cancel jobs: those named, or all live ones that match. Running ones are asked to stop."""
    liteq = opened(context)
    wanted = options.filters_of(liteq, state=state, queue=queue, task=task, tag=tag, batch=batch, since=since)
    _check_choice(job_ids, wanted)
    if job_ids:
        _end(context, "cancelled", options.each(job_ids, lambda job_id: liteq.cancel(job_id, reason=reason, hard=hard)))
        return
    live = _within(wanted, *(state.word for state in LIVE))
    options.agreed(f"Cancel {_matching(liteq, live)}?", yes=yes)
    _end(context, "cancelled", (liteq.cancel(reason=reason, hard=hard, **live), 0))


@app.command()
def delete(
    context: typer.Context,
    *,
    job_ids: options.JobIds = None,
    state: options.States = None,
    queue: options.OneQueue = None,
    task: options.OneTask = None,
    tag: options.OneTag = None,
    batch: options.OneBatch = None,
    since: options.Since = None,
    yes: options.Yes = False,
) -> None:
    """Remove jobs with all that is known of them: those named, or all that match and do not run."""
    liteq = opened(context)
    wanted = options.filters_of(liteq, state=state, queue=queue, task=task, tag=tag, batch=batch, since=since)
    _check_choice(job_ids, wanted)
    if job_ids:
        _end(context, "deleted", options.each(job_ids, liteq.delete_jobs))
        return
    options.agreed(f"Delete {_matching(liteq, wanted)}?", yes=yes)
    _end(context, "deleted", (liteq.delete_jobs(**wanted), 0))


@app.command()
def edit(
    context: typer.Context,
    *,
    job_ids: options.JobIds = None,
    state: options.States = None,
    queue: options.OneQueue = None,
    task: options.OneTask = None,
    tag: options.OneTag = None,
    batch: options.OneBatch = None,
    since: options.Since = None,
    delay: options.In = None,
    at: options.At = None,
    priority: options.PriorityWord = None,
    to_queue: Annotated[str | None, typer.Option(help="Move them to this queue.")] = None,
) -> None:
    """Give jobs that do not run another time, priority or queue."""
    liteq = opened(context)
    wanted = options.filters_of(liteq, state=state, queue=queue, task=task, tag=tag, batch=batch, since=since)
    _check_choice(job_ids, wanted)
    change = options.settings_of(priority=priority, delay=delay, at=at)
    if to_queue is not None:
        change["to_queue"] = to_queue
    if not change:
        raise Refused("nothing to change", hint="--in, --at, --priority or --to-queue")
    if job_ids:
        _end(context, "changed", options.each(job_ids, lambda job_id: liteq.reschedule(job_id, **change)))
    else:
        _end(context, "changed", (liteq.reschedule(**change, **wanted), 0))


def _check_choice(job_ids: list[int] | None, wanted: dict[str, Any]) -> None:
    if job_ids and wanted:
        raise Refused("give either ids or filters, not both")
    if not job_ids and not wanted:
        raise Refused("which jobs?", hint="name their ids, or filter: --state --queue --task --tag --batch --since")


def _within(wanted: dict[str, Any], *states: str) -> dict[str, Any]:
    """Give the filters, in these states unless others were asked for."""
    return {"state": list(states)} | wanted


def _matching(liteq: Liteq, wanted: dict[str, Any]) -> str:
    count = liteq.count_jobs(**wanted)
    return f"{count} job{'s' * (count != 1)}"


def _end(context: typer.Context, verb: str, done: tuple[list[int], int]) -> None:
    ids, code = done
    if ids or not code:
        show_ids(ids, verb=verb, as_json=session(context).as_json)
    if code:
        raise typer.Exit(code)
