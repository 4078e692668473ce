"""How far running jobs are: in words, for JSON, and as a table."""

from collections.abc import Sequence
from typing import Any

from liteq.app import Liteq
from liteq.clock import to_datetime
from liteq.following import Progress, progress_of
from liteq.job import Job
from liteq.model.transitions import State
from liteq_cli import output
from liteq_cli.output import Column, clean
from liteq_cli.times import relative

SHOWN = 20
"""How many running jobs a screen of everything shows, the newest."""
COLUMNS = (
    Column("running", right=True),
    Column("task", yields=True),
    Column("progress"),
    Column("note", yields=True, spare=True),
    Column("said", right=True),
)


def words_of(progress: Progress) -> str:
    """Give how far it is in a few words: ``40 of 100 (40%)``."""
    done = f"{progress.done:,g}" if isinstance(progress.done, float) else f"{progress.done:,}"
    if progress.total is None:
        return done
    total = f"{progress.total:,g}" if isinstance(progress.total, float) else f"{progress.total:,}"
    # Rounded down: 100% is said of what is done.
    return f"{done} of {total} ({int((progress.fraction or 0) * 100)}%)"


def progress_document(progress: Progress | None) -> dict[str, Any] | None:
    """Give it for JSON, None when nothing was said."""
    if progress is None:
        return None
    return {
        "done": progress.done,
        "total": progress.total,
        "fraction": progress.fraction,
        "note": progress.note,
        "attempt": progress.attempt,
        "updated_at": progress.updated_at.isoformat(),
    }


def telling_jobs(app: Liteq) -> list[tuple[Job[Any], Progress]]:
    """Give the running jobs that have said in this attempt how far they are, the newest first."""
    jobs = app.list_jobs(state=State.RUNNING, limit=SHOWN)
    said = app.engine.progress([job.id for job in jobs])
    return [(job, progress_of(said[job.id])) for job in jobs if job.id in said and said[job.id].attempt == job.attempt]


def telling_document(telling: Sequence[tuple[Job[Any], Progress]]) -> list[dict[str, Any]]:
    """Give those jobs for JSON."""
    return [
        {
            "id": job.id,
            "task": job.task,
            "queue": job.queue,
            "attempt": job.attempt,
            "claimed_at": None if job.record.claimed_at is None else to_datetime(job.record.claimed_at).isoformat(),
            "progress": progress_document(progress),
        }
        for job, progress in telling
    ]


def show_telling(telling: Sequence[tuple[Job[Any], Progress]], *, now: int) -> None:
    """Print a line for each of those jobs."""
    rows = [
        [
            str(job.id),
            clean(job.task),
            words_of(progress),
            clean(progress.note or "", limit=120),
            relative(int(progress.updated_at.timestamp() * 1000), now_ms=now),
        ]
        for job, progress in telling
    ]
    output.table(COLUMNS, rows)
