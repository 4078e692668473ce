"""``liteq batch``: jobs that are counted together, and what waits for what among them."""

from typing import Annotated

import typer

from liteq.batch import Batch
from liteq.errors import WaitTimeout
from liteq.model.batch import BatchState
from liteq_cli import options, output
from liteq_cli.commands.batch_page import BATCH_COLUMNS, batch_document, batch_row, show_batch
from liteq_cli.commands.rows import show_ids
from liteq_cli.commands.waiting import bar
from liteq_cli.exits import Code, Refused
from liteq_cli.target import opened, session
from liteq_cli.times import parse_duration

LOOK_EVERY_S = 0.5
TREE_LINES = 40

app = typer.Typer(help="Look at batches, wait for them, cancel them.", no_args_is_help=True)

BatchId = Annotated[int, typer.Argument(help="The batch.", min=1, max=2**63 - 1, metavar="ID", show_default=False)]


@app.command("list")
def list_(
    context: typer.Context,
    *,
    live: Annotated[bool, typer.Option("--live", help="Only those that have not finished.")] = False,
    limit: options.Limit = 50,
    before_id: Annotated[int | None, typer.Option(help="Only older batches than this one.", min=1)] = None,
) -> None:
    """List batches, the newest first."""
    liteq = opened(context)
    batches = liteq.list_batches(limit=limit, live=live, before_id=before_id)
    if session(context).as_json:
        output.document({"batches": [batch_document(batch) for batch in batches]})
    elif not batches:
        output.note("no batch is running" if live else "there are no batches; app.batch(name) in a program makes one")
    else:
        now = liteq.clock.now_ms()
        output.table(BATCH_COLUMNS, [batch_row(batch.record, now=now) for batch in batches])


@app.command()
def show(
    context: typer.Context,
    *,
    batch_id: BatchId,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print the graph of its jobs for Mermaid.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many jobs in the tree.", min=1, max=100_000)] = TREE_LINES,
) -> None:
    """Show a batch: its counts, its jobs as a tree, and the way through them that takes longest."""
    batch = opened(context).get_batch(batch_id)
    if session(context).as_json:
        dag = batch.dag()
        links = [{"parent": parent, "child": child} for parent, child in dag.links]
        path = [node.id for node in dag.critical_path()]
        document = batch_document(batch) | {"links": links, "critical_path": path}
        output.document(document | {"mermaid": dag.mermaid()} if mermaid else document)
    elif mermaid:
        output.say(batch.dag().mermaid())
    else:
        show_batch(batch, app=opened(context), most=limit)


@app.command()
def wait(context: typer.Context, *, batch_id: BatchId, timeout: options.Timeout = None) -> None:
    """Wait until the last job has ended. Exit code 0: the batch completed, 1: it did not, 5: the time was over."""
    liteq = opened(context)
    batch = liteq.get_batch(batch_id)
    limit = None if timeout is None else parse_duration(timeout).total_seconds()
    begun = liteq.clock.monotonic_ms()
    with bar(batch.record.jobs) as advance:
        while not _ended(batch, limit, (liteq.clock.monotonic_ms() - begun) / 1000):
            row = batch.record
            text = f"batch {row.id}, {row.left} left" + (f", {row.failed} failed" * bool(row.failed))
            advance(row.jobs - row.left, row.jobs, text)
    if session(context).as_json:
        output.document(batch_document(batch))
    else:
        output.say(f"{batch.id} {batch.state}")
    if batch.state is not BatchState.COMPLETED:
        raise typer.Exit(Code.FAILED)


def _ended(batch: Batch, limit: float | None, waited: float) -> bool:
    """Wait for a moment; tell whether the batch has finished. Raises WaitTimeout when the time is over."""
    try:
        batch.wait(LOOK_EVERY_S if limit is None else max(0.0, min(limit - waited, LOOK_EVERY_S)))
    except WaitTimeout:
        if limit is not None and waited >= limit:
            raise
        return False
    return True


@app.command()
def cancel(
    context: typer.Context,
    *,
    batch_id: BatchId,
    reason: Annotated[str | None, typer.Option(help="What is noted.")] = None,
    hard: Annotated[bool, typer.Option("--hard", help="Stop jobs that do not listen with their process.")] = False,
    yes: options.Yes = False,
) -> None:
    """Cancel all jobs of a batch that have not ended, and let no more join."""
    batch = opened(context).get_batch(batch_id)
    left = batch.record.left
    if left:
        options.agreed(f"Cancel {left} job{'s' * (left != 1)} of batch {batch_id}?", yes=yes)
    show_ids(batch.cancel(reason=reason, hard=hard), verb="cancelled", as_json=session(context).as_json)


@app.command()
def retry(context: typer.Context, *, batch_id: BatchId) -> None:
    """Run the dead and cancelled jobs of a batch again, with a fresh budget; the batch is running again."""
    liteq = opened(context)
    batch = liteq.get_batch(batch_id)
    if not batch.record.failed:
        raise Refused(f"no job of batch {batch_id} is dead or cancelled", code=Code.FAILED)
    done = liteq.requeue(batch=batch_id, state=["dead", "cancelled"])
    show_ids(done, verb="requeued", as_json=session(context).as_json)
