"""``liteq demo``: an ordinary application, run from beginning to end on a temporary file."""

import logging
import shlex
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from liteq.app import Liteq
from liteq_cli import output
from liteq_cli.commands.rows import DEAD_COLUMNS, dead_row
from liteq_cli.commands.status import show_queues
from liteq_cli.demo.progress import live_progress
from liteq_cli.demo.tasks import Demo, Totals, expected, totals_of
from liteq_cli.demo.ticks import NAME, TICKS, Beat, watch_ticks
from liteq_cli.exits import Code, Refused
from liteq_cli.output import Column, clean
from liteq_cli.target import session
from liteq_cli.times import local_time, size


def demo(
    context: typer.Context,
    *,
    folder: Annotated[
        Path | None, typer.Option(help="Whose *.py files are digested; the standard library unless given.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="At most so many files.", min=1, max=100_000)] = 1_500,
    threads: Annotated[int, typer.Option(help="Jobs at once.", min=1, max=64)] = 2,
) -> None:
    """Digest a thousand files and more, then fire a schedule each second.

    With retries, a dead letter, a shell command, and a check of the totals against a plain loop.
    """
    # The one dead letter is part of the show and is told at the end.
    logging.getLogger("liteq.worker").setLevel(logging.ERROR)
    # A system's Python may come with some hundred files only; what is installed beside it makes up for that.
    roots = [folder] if folder else [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    root = roots[0].absolute()
    files = list(dict.fromkeys(file for one in roots for file in sorted(one.absolute().rglob("*.py"))))[:jobs]
    if not files:
        raise Refused(f"there is no *.py file below {str(root)!r}", hint="--folder names another folder")
    home = Path(tempfile.mkdtemp(prefix="liteq-demo-"))
    with Liteq(home / "demo.db") as app:
        agree = _run(app, root, files, threads=threads, as_json=session(context).as_json)
    if not agree:
        raise typer.Exit(Code.FAILED)


def _run(app: Liteq, root: Path, files: list[Path], *, threads: int, as_json: bool) -> bool:
    output.note(f"digesting {len(files):,} Python files, the first of them below {clean(root)}")
    begun = time.perf_counter()
    jobs = app.enqueue_many(Demo(app).calls(root, files))
    output.note(f"enqueued {len(jobs):,} jobs in one commit, {time.perf_counter() - begun:.2f} s")
    begun = time.perf_counter()
    with live_progress(app, len(jobs)):
        result = app.work(burst=True, threads=threads)
    took = time.perf_counter() - begun
    done, wanted = totals_of(jobs), expected(files)
    output.note(f"a schedule fires each second, {TICKS} times")
    beats = watch_ticks(app)
    facts = app.stats().file
    report = {
        "file": facts.path,
        "bytes": facts.bytes + facts.wal_bytes,
        "durability": app.durability,
        "jobs": len(jobs),
        "seconds": round(took, 3),
        "jobs_per_second": round(len(jobs) / took, 1),
        "completed": result.completed,
        "retried": result.retried,
        "dead": result.dead,
        "totals": done,
        "totals_agree": done == wanted,
        "ticks": beats,
    }
    if as_json:
        output.document(report)
    else:
        _show(app, report, done, wanted)
    return done == wanted and len(beats) == TICKS


def _show_ticks(beats: list[Beat]) -> None:
    columns = (Column("tick"), *(Column(title, right=True) for title in ("job", "dispatched", "finished")))
    rows = [
        [local_time(one.fire_at), str(one.job_id), f"{one.dispatched_ms} ms after", f"{one.finished_ms} ms after"]
        for one in beats
    ]
    output.table(columns, rows, title="a schedule, each second")


def _show(app: Liteq, report: dict[str, Any], done: Totals, wanted: Totals) -> None:
    output.say()
    _show_ticks(report["ticks"])
    output.say()
    show_queues(app.stats().queues)
    output.say()
    now = app.clock.now_ms()
    dead = app.list_jobs(state="dead", limit=10)
    output.table(DEAD_COLUMNS, [dead_row(job.record, now=now) for job in dead], title="dead letters")
    output.say()
    look = f"liteq -f {shlex.quote(report['file'])}"
    output.pairs(
        [
            ("throughput", f"{report['jobs']:,} jobs in {report['seconds']:.2f} s, {report['jobs_per_second']:,.0f}/s"),
            ("outcomes", f"{report['completed']:,} completed, {report['retried']} retried, {report['dead']} dead"),
            ("durability", report["durability"]),
            ("file", f"{clean(report['file'])}, {size(report['bytes'])}, kept"),
            ("look", f"{look} status"),
            ("", f"{look} job list"),
            ("", f"{look} schedule show {NAME}"),
            ("", f"{look} dead show {dead[0].id if dead else 'ID'}"),
        ]
    )
    output.say()
    summary = f"{done.files:,} files, {done.lines:,} lines, {done.bytes:,} bytes, sha256 {done.digest[:8]}"
    if done == wanted:
        output.say(f"totals agree: {summary}")
        return
    output.say(f"totals differ: {summary}")
    output.say(f"a plain loop:  {wanted.files:,} files, {wanted.lines:,} lines, {wanted.bytes:,} bytes")
