"""Schedules as rows, as a page and as JSON: what ``schedule list`` and ``schedule show`` print."""

import sys
from typing import Any

import msgspec

from liteq.clock import to_datetime
from liteq.errors import LiteqError
from liteq.model.firing import TickOutcome, TickRecord
from liteq.model.schedule import AnySchedule, Manual
from liteq.model.template import Template
from liteq.ops.schedule_stats import OVERDUE_AFTER_MS, WITH_JOB
from liteq.schedules import StoredSchedule, to_plain
from liteq_cli import output
from liteq_cli.commands.rows import payload_text
from liteq_cli.output import Column, clean
from liteq_cli.times import local_time, relative, span

LIST_COLUMNS = (
    Column("schedule", yields=True),
    Column("when", yields=True),
    Column("state"),
    Column("next", right=True),
    Column("at", spare=True),
    Column("jobs", right=True),
    Column("skipped", right=True, spare=True),
    Column("late", right=True, spare=True),
)
TICK_COLUMNS = (
    Column("tick"),
    Column("outcome"),
    Column("late", right=True, spare=True),
    Column("ticks", right=True, spare=True),
    Column("job", right=True, spare=True),
)
WIDE = 110
"""From so many columns on, the list shows local times too."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored for a schedule as far as it can be read here, and why the rest cannot."""

    when: str
    schedule: AnySchedule | None = None
    template: Template | None = None
    trouble: str | None = None


def reading(one: StoredSchedule) -> Reading:
    """Read what is stored for a schedule. What cannot be read is told and not raised: a person looks for it here."""
    try:
        schedule = one.schedule
        when = schedule.describe()
    except LiteqError as error:
        return Reading(when="?", trouble=str(error))
    try:
        return Reading(when=when, schedule=schedule, template=one.template)
    except LiteqError as error:
        return Reading(when=when, schedule=schedule, trouble=str(error))


def state_of(one: StoredSchedule, known: Reading, *, now: int) -> str:
    """Give how a schedule stands: on, overdue, paused, manual, done or broken."""
    if one.error is not None or known.trouble is not None:
        return "broken"
    if one.paused:
        return "paused"
    upcoming = one.record.next_fire_at
    if upcoming is not None:
        return "overdue" if upcoming <= now - OVERDUE_AFTER_MS else "on"
    return "manual" if isinstance(known.schedule, Manual) else "done"


def row(one: StoredSchedule, *, now: int) -> list[str]:
    """Give a schedule as the cells of LIST_COLUMNS."""
    known = reading(one)
    counts = one.counts
    made = sum(counts.get(outcome.value, 0) for outcome in WITH_JOB)
    skipped = sum(number for word, number in counts.items() if word.startswith("skipped"))
    late = one.average_lateness_ms
    upcoming = None if one.paused else one.record.next_fire_at
    roomy = not output.is_rich(sys.stdout) or output.width() >= WIDE
    return [
        clean(one.name),
        clean(known.when),
        state_of(one, known, now=now),
        relative(upcoming, now_ms=now),
        local_time(upcoming) if roomy and upcoming is not None else "",
        f"{made:,}" if made else "·",
        f"{skipped:,}" if skipped else "",
        "" if late is None else span(late),
    ]


def document(one: StoredSchedule, *, now: int) -> dict[str, Any]:
    """Give a schedule for JSON, in one shape whether or not what is stored can be read."""
    known = reading(one)
    return to_plain(one.record, known.schedule, known.template) | {
        "error": one.error or known.trouble,
        "state": state_of(one, known, now=now),
        "counts": one.counts,
        "average_lateness_ms": one.average_lateness_ms,
    }


def tick_document(tick: TickRecord) -> dict[str, Any]:
    """Give the trace of a tick for JSON."""
    return {
        "fire_at": to_datetime(tick.fire_at).isoformat(),
        "decided_at": to_datetime(tick.decided_at).isoformat(),
        "outcome": tick.outcome.value,
        "late_ms": _late_ms(tick),
        "ticks": tick.ticks,
        "job_id": tick.job_id,
    }


def tick_row(tick: TickRecord) -> list[str]:
    """Give the trace of a tick as the cells of TICK_COLUMNS."""
    late = _late_ms(tick)
    return [
        local_time(tick.fire_at),
        tick.outcome.value,
        "" if late is None else span(late),
        f"{tick.ticks:,}" if tick.ticks > 1 else "",
        "" if tick.job_id is None else str(tick.job_id),
    ]


def _late_ms(tick: TickRecord) -> int | None:
    return max(0, tick.decided_at - tick.fire_at) if tick.outcome is TickOutcome.FIRED else None


def facts(one: StoredSchedule, *, now: int) -> list[tuple[str, str]]:
    """Give everything that is known of a schedule, its ticks apart, for a person."""
    record, known = one.record, reading(one)
    upcoming = "-"
    if record.next_fire_at is not None:
        upcoming = f"{local_time(record.next_fire_at)}, {relative(record.next_fire_at, now_ms=now)}"
    late = one.average_lateness_ms
    rows = [
        ("schedule", clean(one.name)),
        ("when", clean(known.when)),
        ("state", state_of(one, known, now=now)),
        ("paused", local_time(record.paused_at) if one.paused else ""),
        ("because", clean(record.paused_reason or "")),
        ("error", clean(record.error or known.trouble or "")),
        ("next", upcoming),
        *_options(known.schedule, runs=record.runs),
        *_job(known.template),
        ("declared", "by a program" if record.declared else "by hand"),
        ("revision", str(record.revision)),
        ("since", local_time(record.created_at)),
        *((word, f"{number:,}") for word, number in one.counts.items()),
        ("mean lateness", "" if late is None else span(late)),
    ]
    return [(name, value) for name, value in rows if value]


def _job(template: Template | None) -> list[tuple[str, str]]:
    if template is None:
        return []
    job = template.job
    return [
        ("task", clean(job.task)),
        ("args", payload_text(job.args, limit=400)),
        ("queue", clean(job.queue)),
        ("priority", str(job.priority)),
        ("tags", clean(", ".join(job.tags))),
        ("time limit", "" if job.timeout_ms is None else span(job.timeout_ms)),
    ]


def _options(schedule: AnySchedule | None, *, runs: int) -> list[tuple[str, str]]:
    if schedule is None:
        return []
    chosen = schedule.options
    bound = f", {chosen.max_catchup:,} at most" if chosen.misfire == "all" else ""
    return [
        ("misfire", chosen.misfire + bound),
        ("grace", "" if chosen.misfire_grace_ms is None else span(chosen.misfire_grace_ms)),
        ("overlap", chosen.overlap),
        ("jitter", f"up to {span(chosen.max_jitter_ms)}" if chosen.max_jitter_ms else ""),
        ("runs", "" if chosen.max_runs is None else f"{runs:,} of at most {chosen.max_runs:,}"),
    ]
