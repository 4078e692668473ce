"""Jobs as rows and as a page: what ``job`` and ``dead`` show."""

from collections.abc import Sequence
from typing import Any

import msgspec

from liteq.app import Liteq
from liteq.clock import to_datetime
from liteq.job import Job, to_plain
from liteq.model.job import Attempt, JobRecord
from liteq.model.keeping import StepRecord
from liteq.model.payload import decode, decoder
from liteq.model.transitions import FINISHED, State
from liteq.ops.reasons import why_waiting
from liteq_cli import output
from liteq_cli.commands.running import progress_document, words_of
from liteq_cli.output import Column, clean
from liteq_cli.times import local_time, relative, span

JOB_COLUMNS = (
    Column("id", right=True),
    Column("state"),
    Column("queue", yields=True),
    Column("task", yields=True),
    Column("prio", right=True, spare=True),
    Column("tries", right=True),
    Column("when"),
    Column("note", yields=True, spare=True),
)
DEAD_COLUMNS = (
    Column("id", right=True),
    Column("queue", yields=True),
    Column("task", yields=True),
    Column("tries", right=True),
    Column("died"),
    Column("reason", yields=True),
)


def job_row(record: JobRecord, *, now: int) -> list[str]:
    """Give one job as the cells of JOB_COLUMNS; ``when`` is the instant that matters in its state."""
    return [
        str(record.id),
        record.state.word,
        clean(record.queue),
        clean(record.task),
        str(record.priority),
        str(record.attempt),
        relative(_instant_that_matters(record), now_ms=now),
        clean(record.reason or record.result_error or "", limit=120),
    ]


def dead_row(record: JobRecord, *, now: int) -> list[str]:
    """Give one dead job as the cells of DEAD_COLUMNS."""
    return [
        str(record.id),
        clean(record.queue),
        clean(record.task),
        str(record.attempt),
        relative(record.finished_at, now_ms=now),
        clean(record.reason or "", limit=200),
    ]


def _instant_that_matters(record: JobRecord) -> int | None:
    if record.state in FINISHED:
        return record.finished_at
    if record.state is State.RUNNING:
        return record.claimed_at
    return record.run_at


def show_jobs(jobs: Sequence[Job[Any]], *, app: Liteq, as_json: bool, dead: bool = False) -> None:
    """Print jobs as a table or as ``{"jobs": […]}``."""
    if as_json:
        output.document({"jobs": [to_plain(job.record) for job in jobs]})
        return
    if not jobs:
        output.note("no job is dead" if dead else "no jobs match; liteq enqueue TASK key=value adds one")
        return
    now = app.clock.now_ms()
    columns, row = (DEAD_COLUMNS, dead_row) if dead else (JOB_COLUMNS, job_row)
    output.table(columns, [row(job.record, now=now) for job in jobs])


def show_ids(done: Sequence[int], *, verb: str, as_json: bool) -> None:
    """Print which jobs something happened to."""
    if as_json:
        output.document({"done": list(done)})
    elif len(done) == 1:
        output.say(f"{verb} job {done[0]}")
    else:
        output.say(f"{verb} {len(done)} jobs")


def job_document(job: Job[Any], *, app: Liteq) -> dict[str, Any]:
    """Give everything that is known of a job, for JSON."""
    stream = app.engine.stream(job.id)
    return to_plain(job.record) | {
        "held_up_by": why_waiting(app.engine, job.record, now=app.clock.now_ms()),
        "tags": list(job.tags),
        "progress": progress_document(job.progress),
        "steps": [step_document(step) for step in app.engine.steps(job.id)],
        "stream": {"parts": 0, "dropped": 0} if stream is None else {"parts": stream.parts, "dropped": stream.dropped},
        "attempts": [attempt_document(attempt) for attempt in job.attempts],
    }


def step_document(step: StepRecord) -> dict[str, Any]:
    """Give a step that is done, without its result."""
    finished_at = to_datetime(step.finished_at).isoformat()
    return {"name": step.name, "attempt": step.attempt, "finished_at": finished_at}


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """Give an attempt as plain values: instants as ISO text, the output as text."""
    plain: dict[str, Any] = {}
    for name in attempt.__struct_fields__:
        value = getattr(attempt, name)
        if name.endswith("_at") and value is not None:
            value = to_datetime(value).isoformat()
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        plain[name] = str(value) if name == "outcome" else value
    return plain


def show_job(job: Job[Any], *, app: Liteq) -> None:
    """Print everything that is known of a job, for a person."""
    record = job.record
    rows = [
        ("job", str(record.id)),
        ("state", record.state.word + _why(record, app)),
        ("reason", clean(record.reason or "")),
        ("task", clean(record.task)),
        ("queue", clean(record.queue)),
        ("priority", str(record.priority)),
        ("tags", clean(", ".join(job.tags))),
        ("metadata", "" if record.metadata is None else payload_text(record.metadata)),
        ("unique key", clean(record.unique_key or "")),
        ("concurrency key", _key_of(record)),
        ("batch", _batch_of(record, app)),
        ("after", _parents_of(record, app)),
        ("schedule", _schedule_of(record, app)),
        ("tick", "" if record.fire_at is None else local_time(record.fire_at)),
        ("args", payload_text(record.args)),
        ("result", "" if record.result is None else payload_text(record.result)),
        ("result error", clean(record.result_error or "")),
        *_said_and_kept(job, app),
        ("failures", f"{record.failures} of at most {record.max_failures}"),
        ("crashes", f"{record.crashes} of at most {record.max_crashes}" if record.crashes else ""),
        ("enqueued", local_time(record.enqueued_at)),
        ("run at", local_time(record.run_at) if record.run_at != record.enqueued_at else ""),
        ("runs", _run_of(record, app)),
        ("started", "" if record.started_at is None else local_time(record.started_at)),
        ("finished", "" if record.finished_at is None else local_time(record.finished_at)),
        ("cancel asked", "" if record.cancel_asked_at is None else local_time(record.cancel_asked_at)),
    ]
    output.pairs((name, value) for name, value in rows if value)
    attempts = job.attempts
    if attempts:
        output.say()
        columns = (
            Column("attempt", right=True),
            Column("outcome"),
            Column("took", right=True),
            Column("error", yields=True),
        )
        output.table(columns, [_attempt_row(attempt) for attempt in attempts])
        output.note(f"liteq job logs {record.id} shows what they printed and logged")


def _why(record: JobRecord, app: Liteq) -> str:
    why = why_waiting(app.engine, record, now=app.clock.now_ms())
    return "" if why is None else f": {clean(why, limit=300)}"


def _run_of(record: JobRecord, app: Liteq) -> str:
    """Say where a running job runs, and since when: until it ends no attempt is written."""
    if record.state is not State.RUNNING:
        return ""
    name = next((worker.name for worker in app.engine.workers() if worker.id == record.owner), "gone")
    since = relative(record.claimed_at, now_ms=app.clock.now_ms())
    return f"attempt {record.attempt}, in worker {record.owner} ({clean(name)}), taken {since}"


def _key_of(record: JobRecord) -> str:
    if record.concurrency_key is None:
        return ""
    pace = "" if record.key_rate is None else f", {record.key_rate}"
    return f"{clean(record.concurrency_key)}, {record.key_max_running} at once{pace}"


def _said_and_kept(job: Job[Any], app: Liteq) -> list[tuple[str, str]]:
    progress, stream, saved = job.progress, app.engine.stream(job.id), app.engine.checkpoint(job.id)
    rows: list[tuple[str, str]] = []
    if progress is not None:
        note = f": {clean(progress.note, limit=200)}" if progress.note else ""
        earlier = "" if progress.attempt == job.attempt else f", in attempt {progress.attempt}"
        rows.append(("progress", words_of(progress) + note + earlier))
    steps = ", ".join(step.name for step in app.engine.steps(job.id))
    rows += [("steps done", clean(steps, limit=500)), ("checkpoint", "" if saved is None else payload_text(saved))]
    if stream is not None:
        dropped = f", {stream.dropped:,} of earlier attempts dropped" if stream.dropped else ""
        rows.append(("stream", f"{stream.parts:,} part{'s' * (stream.parts != 1)}{dropped}"))
    return rows


def _batch_of(record: JobRecord, app: Liteq) -> str:
    if record.batch_id is None:
        return ""
    found = app.engine.get_batch(record.batch_id)
    return f"{record.batch_id}, {clean(found.name) if found else 'pruned'}"


def _parents_of(record: JobRecord, app: Liteq) -> str:
    return ", ".join(f"{parent.id} {parent.state.word}" for parent in app.engine.parents(record.id))


def _schedule_of(record: JobRecord, app: Liteq) -> str:
    if record.schedule_id is None:
        return ""
    found = app.engine.schedules_by_id([record.schedule_id])
    return f"{record.schedule_id}, {clean(found[0].name) if found else 'removed'}"


def _attempt_row(attempt: Attempt) -> list[str]:
    began = attempt.started_at or attempt.claimed_at
    return [
        str(attempt.attempt),
        str(attempt.outcome),
        span(None if began is None else max(0, attempt.finished_at - began)),
        clean(attempt.error or "", limit=300),
    ]


def payload_text(data: bytes, *, limit: int = 2_000) -> str:
    """Give a stored payload as one line of JSON, its beginning if it is long; what cannot be read, as hex."""
    try:
        text = msgspec.json.encode(decode(data, decoder(Any), what="payload")).decode()
    except (ValueError, TypeError):
        text = f"undecodable: {data[:100].hex()}"
    return clean(text, limit=limit)
