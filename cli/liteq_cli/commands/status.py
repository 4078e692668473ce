"""``liteq status``: everything on one screen."""

import sys
import time
from typing import Annotated, Any

import msgspec
import typer

from liteq.app import Liteq
from liteq.clock import to_datetime
from liteq.model.fleet import WorkerRecord
from liteq.ops.schedule_stats import SchedulerStatus
from liteq.ops.stats import LimitStats, QueueStats, Stats
from liteq_cli import output
from liteq_cli.commands.breaker import guard_document, guard_words, is_held_up
from liteq_cli.commands.running import show_telling, telling_document, telling_jobs
from liteq_cli.commands.scheduler import status_document, summary
from liteq_cli.exits import Code
from liteq_cli.output import Column, clean
from liteq_cli.target import opened, session
from liteq_cli.times import relative, size, span

QUEUE_COLUMNS = (
    Column("queue", yields=True),
    Column("ready", right=True),
    Column("running", right=True),
    Column("blocked", right=True, spare=True),
    Column("waiting", right=True, spare=True),
    Column("scheduled", right=True, spare=True),
    Column("dead", right=True),
    Column("done 1h", right=True),
    Column("failed 1h", right=True),
    Column("oldest", right=True),
)
WORKER_COLUMNS = (
    Column("worker", yields=True),
    Column("state"),
    Column("running", right=True),
    Column("slots", right=True),
    Column("tasks", right=True),
    Column("queues", yields=True),
    Column("since", right=True),
)
CLEAR_SCREEN = "\x1b[H\x1b[2J"


def status(
    context: typer.Context,
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Exit code 4 if a queue is paused, a breaker open, a task without worker or a schedule late; "
            "69 if jobs are ready and no worker lives.",
        ),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Every second, until Ctrl-C.")] = False,
) -> None:
    """Show queues, workers and the file."""
    app = opened(context)
    as_json = session(context).as_json
    if watch and not as_json:
        _watch(app)
        return
    stats, scheduler = app.stats(), app.schedules.status()
    if as_json:
        running = telling_document(telling_jobs(app))
        output.document(stats_document(stats) | {"scheduler": status_document(scheduler), "running": running})
    else:
        _show(app, stats, scheduler)
    if check:
        code = code_of_stats(stats)
        held_up = bool(scheduler.overdue or scheduler.broken)
        raise typer.Exit(Code.DEGRADED if code is Code.DONE and held_up else code)


def _watch(app: Liteq) -> None:
    in_place = output.is_rich(sys.stdout)
    try:
        while True:
            stats, scheduler = app.stats(), app.schedules.status()
            if in_place:
                sys.stdout.write(CLEAR_SCREEN)
            _show(app, stats, scheduler)
            sys.stdout.flush()
            time.sleep(1)
    except KeyboardInterrupt:
        # It is how a watch ends.
        return


def _show(app: Liteq, stats: Stats, scheduler: SchedulerStatus) -> None:
    show_stats(stats, scheduler)
    telling = telling_jobs(app)
    if telling:
        output.say()
        show_telling(telling, now=stats.at)


def code_of_stats(stats: Stats) -> Code:
    """Give what ``--check`` says: 69 without a worker though there is work, 4 when something is held up, else 0."""
    waiting = any(queue.ready for queue in stats.queues)
    if waiting and not any(worker.alive for worker in stats.workers):
        return Code.UNAVAILABLE
    held_up = any(queue.paused for queue in stats.queues) or any(is_held_up(guard) for guard in stats.guards)
    held_up = held_up or bool(stats.orphaned_tasks)
    return Code.DEGRADED if held_up else Code.DONE


def stats_document(stats: Stats) -> dict[str, Any]:
    """Give the totals for JSON: instants as ISO text, durations in milliseconds."""
    plain: dict[str, Any] = msgspec.to_builtins(stats, str_keys=True)
    plain["at"] = to_datetime(stats.at).isoformat()
    for worker, record in zip(plain["workers"], stats.workers, strict=True):
        worker["started_at"] = to_datetime(record.started_at).isoformat()
    plain["guards"] = [guard_document(guard) for guard in stats.guards]
    return plain


def show_stats(stats: Stats, scheduler: SchedulerStatus) -> None:
    """Print the totals for a person."""
    show_queues(stats.queues)
    output.say()
    if stats.workers:
        output.table(WORKER_COLUMNS, [_worker_row(worker, now=stats.at) for worker in stats.workers])
    else:
        output.say("no worker is alive; liteq work starts one")
    output.say()
    output.pairs(_scheduler_facts(scheduler) + _facts(stats))


def show_queues(queues: list[QueueStats]) -> None:
    """Print a line for each queue."""
    if not queues:
        output.say("no jobs yet; liteq enqueue TASK key=value adds one")
        return
    output.table(QUEUE_COLUMNS, [_queue_row(queue) for queue in queues])


def _queue_row(queue: QueueStats) -> list[str]:
    numbers = (
        queue.blocked,
        queue.waiting,
        queue.scheduled,
        queue.dead,
        queue.completed_last_hour,
        queue.failed_last_hour,
    )
    name = clean(queue.name) + (" (paused)" if queue.paused else "") + (" (full)" if queue.full else "")
    name += f" ({queue.rate})" if queue.rate else ""
    running = _count(queue.running) + (f" of {queue.max_running:,}" if queue.max_running else "")
    return [name, _count(queue.ready), running, *(_count(number) for number in numbers), span(queue.oldest_ready_ms)]


def _count(number: int) -> str:
    return f"{number:,}" if number else "·"


def _worker_row(worker: WorkerRecord, *, now: int) -> list[str]:
    return [
        clean(worker.name),
        "alive" if worker.alive else "gone",
        str(worker.running),
        str(worker.slots),
        str(len(worker.tasks)),
        "all" if worker.queues is None else clean(", ".join(worker.queues)),
        relative(worker.started_at, now_ms=now),
    ]


def _jobs(count: int) -> str:
    return f"{count:,} job{'s' * (count != 1)}"


def _scheduler_facts(scheduler: SchedulerStatus) -> list[tuple[str, str]]:
    if not scheduler.schedules:
        return []
    upcoming = relative(scheduler.next_fire_at, now_ms=scheduler.at)
    late = f", {span(scheduler.average_lateness_ms)} late in the mean" if scheduler.fired else ""
    return [("schedules", f"{summary(scheduler)}; next {upcoming}, {scheduler.fired:,} fired{late}")]


def _limit_of_task(limit: LimitStats) -> str:
    most = "" if limit.max_running is None else f" {limit.running:,} of {limit.max_running:,}"
    return clean(limit.name) + most + (f" {limit.rate}" if limit.rate else "")


def _facts(stats: Stats) -> list[tuple[str, str]]:
    file = stats.file
    facts = [
        ("live", _jobs(stats.live)),
        ("dead", _jobs(stats.dead) + ("; liteq dead list shows them" if stats.dead else "")),
        ("rate", f"{stats.completed_per_minute:,.1f} completed, {stats.failed_per_minute:,.1f} failed a minute (1 h)"),
        ("mean", f"{span(stats.mean_wait_ms)} waiting, {span(stats.mean_run_ms)} running"),
        *(("guard", guard_words(guard, now=stats.at)) for guard in stats.guards),
        ("no worker for", clean(", ".join(stats.orphaned_tasks))),
        ("limits of tasks", ", ".join(_limit_of_task(limit) for limit in stats.limits if limit.of == "task")),
        ("file", clean(file.path)),
        ("size", f"{size(file.bytes)}, log {size(file.wal_bytes)}, free inside {size(file.free_bytes)}"),
    ]
    return [(name, value) for name, value in facts if value]
