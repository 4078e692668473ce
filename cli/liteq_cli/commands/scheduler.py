"""How the scheduler is doing, as a person and as a program reads it."""

from typing import Any

import msgspec

from liteq.clock import to_datetime
from liteq.ops.schedule_stats import SchedulerStatus
from liteq_cli import output
from liteq_cli.times import local_time, relative, span

EMPTY = "no schedules yet; liteq schedule add NAME --every 10m TASK adds one"


def status_document(status: SchedulerStatus) -> dict[str, Any]:
    """Give the status for JSON: instants as ISO text, durations in milliseconds."""
    plain: dict[str, Any] = msgspec.to_builtins(status)
    for name in ("at", "next_fire_at"):
        plain[name] = None if plain[name] is None else to_datetime(plain[name]).isoformat()
    return plain


def show_status(status: SchedulerStatus) -> None:
    """Print the status for a person."""
    if not status.schedules:
        output.say(EMPTY)
        return
    upcoming = "-"
    if status.next_fire_at is not None:
        upcoming = f"{local_time(status.next_fire_at)}, {relative(status.next_fire_at, now_ms=status.at)}"
    rate = "-" if status.success_rate is None else f"{status.success_rate:.1%} of the jobs that finished"
    output.pairs(
        [
            ("schedules", summary(status)),
            ("due", f"{status.due}, {status.overdue} of them for more than 5 s" if status.due else "none"),
            ("next", upcoming),
            ("fired", f"{status.fired:,}"),
            *((word, f"{ticks:,}") for word, ticks in status.skipped.items()),
            ("mean lateness", span(status.average_lateness_ms)),
            ("success", rate),
        ]
    )


def summary(status: SchedulerStatus) -> str:
    """Give the schedules in a line: ``12, 1 paused, 2 overdue``."""
    parts = [(status.paused, "paused"), (status.overdue, "overdue"), (status.broken, "broken")]
    return ", ".join([str(status.schedules), *(f"{number} {word}" for number, word in parts if number)])
