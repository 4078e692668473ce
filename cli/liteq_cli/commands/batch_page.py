"""Batches as rows, as a page and as a tree."""

from typing import Any

from liteq.app import Liteq
from liteq.batch import Batch
from liteq.clock import to_datetime
from liteq.model.batch import BatchRecord
from liteq.model.dag import Dag, DagNode
from liteq_cli import output
from liteq_cli.output import Column, clean
from liteq_cli.times import local_time, relative, span

BATCH_COLUMNS = (
    Column("id", right=True),
    Column("name", yields=True),
    Column("state"),
    Column("jobs", right=True),
    Column("left", right=True),
    Column("completed", right=True),
    Column("dead", right=True, spare=True),
    Column("cancelled", right=True, spare=True),
    Column("when"),
)
_PATH_SHOWN = 12


def batch_row(record: BatchRecord, *, now: int) -> list[str]:
    """Give one batch as the cells of BATCH_COLUMNS; ``when`` is its end, or its beginning while it runs."""
    return [
        str(record.id),
        clean(record.name),
        str(record.state),
        str(record.jobs),
        str(record.left),
        str(record.completed),
        str(record.dead),
        str(record.cancelled),
        relative(record.finished_at or record.created_at, now_ms=now),
    ]


def batch_document(batch: Batch) -> dict[str, Any]:
    """Give a batch as plain values: instants as ISO text in UTC, its state as a word."""
    record = batch.record
    plain: dict[str, Any] = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        plain[name] = to_datetime(value).isoformat() if name.endswith("_at") and value is not None else value
    return plain | {"state": str(record.state), "left": record.left}


def show_batch(batch: Batch, *, app: Liteq, most: int) -> None:
    """Print everything that is known of a batch, for a person; at most so many jobs of the tree."""
    record = batch.record
    rows = [
        ("batch", str(record.id)),
        ("name", clean(record.name)),
        ("state", str(record.state)),
        ("jobs", _counts(record)),
        ("may fail", str(record.max_failed) if record.max_failed else ""),
        ("created", local_time(record.created_at)),
        ("cancelled", "" if record.cancelled_at is None else local_time(record.cancelled_at)),
        ("finished", "" if record.finished_at is None else local_time(record.finished_at)),
        ("on complete", _made(record.complete_job, app)),
        ("on success", _made(record.success_job, app)),
        ("on failure", _made(record.failure_job, app)),
        ("error", clean(record.error or "")),
    ]
    output.pairs((name, value) for name, value in rows if value)
    dag = batch.dag()
    if dag.links:
        output.say()
        output.say(f"longest way: {_path(dag.critical_path())}")
    output.say()
    lines = tree(dag, most=most)
    for line in lines:
        output.say(line)
    if len(dag.nodes) > most:
        output.note(f"{most} of {len(dag.nodes)} jobs are shown; more: --limit {len(dag.nodes)}, or liteq job list")
    if record.failed:
        output.note(f"liteq job list --batch {record.id} --state dead shows why; liteq batch retry {record.id}")


def _counts(record: BatchRecord) -> str:
    parts = {"completed": record.completed, "dead": record.dead, "cancelled": record.cancelled, "left": record.left}
    return f"{record.jobs}: " + ", ".join(f"{count} {word}" for word, count in parts.items() if count)


def _made(job_id: int | None, app: Liteq) -> str:
    if job_id is None:
        return ""
    found = app.engine.get_job(job_id)
    return f"job {job_id}, {clean(found.task)}, {found.state.word}" if found else f"job {job_id}, pruned"


def _path(path: list[DagNode]) -> str:
    ran = sum(node.run_ms for node in path)
    shown = " → ".join(f"{node.id} {clean(node.task, limit=40)}" for node in path[:_PATH_SHOWN])
    more = f" → {len(path) - _PATH_SHOWN} more" if len(path) > _PATH_SHOWN else ""
    return f"{shown}{more} ({span(ran)})" if ran else shown + more


def tree(dag: Dag, *, most: int) -> list[str]:
    """Give the jobs as lines, each once, under the first job it waits for; what else it waits for is added to it."""
    parents = dag.parents()
    below: dict[int | None, list[int]] = {}
    for child, before in parents.items():
        below.setdefault(before[0] if before else None, []).append(child)
    lines: list[str] = []
    left = [(job_id, "", "", "") for job_id in reversed(below.get(None, []))]
    while left and len(lines) < most:
        job_id, lead, branch, indent = left.pop()
        also = ", ".join(str(parent) for parent in parents[job_id][1:])
        lines.append(lead + branch + _label(dag.nodes[job_id]) + (f"  (also after {also})" if also else ""))
        children = below.get(job_id, [])
        inner = lead + indent
        for place, child in enumerate(reversed(children)):
            last = place == 0
            left.append((child, inner, "└─ " if last else "├─ ", "   " if last else "│  "))
    return lines


def _label(node: DagNode) -> str:
    ran = f", {span(node.run_ms)}" if node.run_ms else ""
    return f"{node.id} {clean(node.task, limit=60)}: {node.state.word}{ran}"
