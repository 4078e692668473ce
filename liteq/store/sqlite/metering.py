"""Counts what happened, by minute, queue and task, in the transaction in which it happens."""

from collections.abc import Sequence

from liteq.model.job import Claim, Completion, Report
from liteq.model.transitions import Outcome
from liteq.store.sqlite.connection import Connection

_COUNTED = ("completed", "failed", "dead", "crashed", "cancelled", "run_ms", "wait_ms")
_COLUMNS = {"retry": ("failed",), "dead_letter": ("failed", "dead"), "abort": ("cancelled",), "snooze": ()}


def count_outcomes(connection: Connection, completions: Sequence[Completion], *, now: int) -> None:
    """Add completed attempts to their minutes: one write for each lane, however many jobs."""
    sums: dict[tuple[str, str], list[int]] = {}
    for one in completions:
        claim, report = one.claim, one.report
        started_at, wait_ms = report.started_at, report.started_at - claim.run_at
        lane = sums.get((claim.queue, claim.task))
        if lane is None:
            lane = sums[claim.queue, claim.task] = [0, 0, 0]
        lane[0] += 1
        lane[1] += report.finished_at - started_at
        if wait_ms > 0:
            lane[2] += wait_ms
    for (queue, task), (completed, run_ms, wait_ms) in sums.items():
        add(connection, queue, task, now=now, completed=completed, run_ms=run_ms, wait_ms=wait_ms)


def count_outcome(connection: Connection, claim: Claim, report: Report, *, verb: str, now: int) -> None:
    """Add one attempt that ended otherwise than by completing."""
    counts = dict.fromkeys(_COLUMNS[verb], 1)
    if report.outcome is Outcome.CRASHED:
        counts["crashed"] = 1
    add(connection, claim.queue, claim.task, now=now, run_ms=report.finished_at - report.started_at, **counts)


def add(connection: Connection, queue: str, task: str, *, now: int, **counts: int) -> None:
    """Add counts to the minute that ``now`` lies in."""
    values = dict.fromkeys(_COUNTED, 0) | counts
    connection.rows("count_outcomes", values | {"minute": now // 60_000, "queue": queue, "task": task})
