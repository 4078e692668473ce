"""What is to be done about a due schedule: from values to values, before and under the lock."""

import logging
from collections.abc import Iterator, Sequence

from msgspec import Struct

from liteq.model.firing import Advance, Plan, ScheduleRecord, Tick, TickOutcome
from liteq.model.job import Enqueued, NewJob
from liteq.model.schedule import AnySchedule, Cron, Every, decode_schedule
from liteq.model.template import Template
from liteq.timezones import tzdata_version

AT_ONCE = 250
"""How many schedules, and how many jobs, one transaction holds."""
MOST_BUFFERED = 1_000
FAR_AHEAD_MS = 3 * 3_600_000
"""A cron schedule that was advanced so far in the future was advanced by a wrong clock."""
PLAIN_TIME = ""
"""The release of the time zones that schedules without any are stored with."""

log = logging.getLogger("liteq.scheduler")


class Prepared(Struct, frozen=True, kw_only=True):
    """What is worked out about a due schedule before the lock."""

    record: ScheduleRecord
    due_at: int
    schedule: AnySchedule | None = None
    plan: Plan | None = None
    jobs: dict[int, NewJob] = {}
    error: str | None = None


class Decision(Struct, kw_only=True):
    """What is to be done about a due schedule, provided that it is still ours to do."""

    step: Advance
    name: str
    fire: list[tuple[int, NewJob]]
    traces: list[Tick]
    cancel: list[int]
    error: str | None = None


def by_jobs(prepared: Sequence[Prepared]) -> Iterator[list[Prepared]]:
    """Part what is due so that one transaction makes some hundred jobs."""
    few, jobs = list[Prepared](), 0
    for one in prepared:
        if few and jobs + len(one.jobs) > AT_ONCE:
            yield few
            few, jobs = [], 0
        few.append(one)
        jobs += len(one.jobs)
    if few:
        yield few


def release_for(schedule: AnySchedule) -> str:
    """Give the release of the time zones that the schedule's next tick depends on."""
    return tzdata_version() if isinstance(schedule, Cron) and schedule.timezone != "UTC" else PLAIN_TIME


def broken(record: ScheduleRecord, due_at: int, error: Exception) -> Prepared:
    log.error("schedule %r cannot fire: %s", record.name, error, extra={"schedule": record.name})
    return Prepared(record=record, due_at=due_at, error=f"{type(error).__name__}: {error}"[:1000])


def job_of(record: ScheduleRecord, schedule: AnySchedule, template: Template, tick: int, now: int) -> NewJob:
    late_or_jittered = max(now, tick + schedule.jitter_ms(record.name, tick))
    return template.job_at(late_or_jittered, schedule_id=record.id, fire_at=tick)


def decide(one: Prepared, live: list[int], waiting: int) -> Decision:
    record = one.record
    if one.schedule is None or one.plan is None:
        step = _step(record, None, error=one.error)
        failed = Tick(schedule_id=record.id, fire_at=one.due_at, outcome=TickOutcome.FAILED)
        return Decision(step=step, name=record.name, fire=[], traces=[failed], cancel=[], error=one.error)
    options = one.schedule.options
    chosen: list[int] = []
    traces = [Tick(schedule_id=record.id, fire_at=at, outcome=why, ticks=n) for at, why, n in one.plan.skip]
    runs = record.runs
    for tick in one.plan.fire:
        busy = bool(live or waiting or chosen)
        is_last = tick == one.plan.fire[-1]
        outcome = _outcome(one.schedule, runs=runs, busy=busy, waiting=waiting, is_last=is_last)
        if outcome is TickOutcome.FIRED:
            chosen.append(tick)
        else:
            traces.append(Tick(schedule_id=record.id, fire_at=tick, outcome=outcome))
        if outcome in {TickOutcome.FIRED, TickOutcome.BUFFERED}:
            runs += 1
        waiting += outcome is TickOutcome.BUFFERED
    spent = options.max_runs is not None and runs >= options.max_runs
    step = _step(
        record,
        None if spent else one.plan.next_fire_at,
        release=release_for(one.schedule),
        runs=runs - record.runs,
    )
    fire = [(tick, one.jobs[tick]) for tick in chosen]
    cancel = live if chosen and options.overlap == "cancel_running" else []
    return Decision(step=step, name=record.name, fire=fire, traces=traces, cancel=cancel)


def _outcome(schedule: AnySchedule, *, runs: int, busy: bool, waiting: int, is_last: bool) -> TickOutcome:
    """Give what becomes of one tick, by the count of runs and what is to happen when an earlier job is live."""
    options = schedule.options
    if options.max_runs is not None and runs >= options.max_runs:
        return TickOutcome.MAX_RUNS
    if options.overlap == "cancel_running":
        return TickOutcome.FIRED if is_last else TickOutcome.OVERLAP
    if not busy or options.overlap == "allow":
        return TickOutcome.FIRED
    room = {"skip": 0, "buffer_one": 1, "buffer_all": MOST_BUFFERED}[options.overlap]
    return TickOutcome.BUFFERED if waiting < room else TickOutcome.OVERLAP


def _step(
    record: ScheduleRecord,
    next_fire_at: int | None,
    *,
    release: str | None = None,
    runs: int = 0,
    spec: bytes | None = None,
    error: str | None = None,
    even_paused: bool = False,
) -> Advance:
    return Advance(
        schedule_id=record.id,
        revision=record.revision,
        expected=record.next_fire_at,
        next_fire_at=next_fire_at,
        tzdata=record.tzdata if release is None else release,
        runs=runs,
        spec=spec,
        error=error,
        even_paused=even_paused,
    )


def put_right(record: ScheduleRecord, release: str, now: int) -> Advance | None:
    """Give the step that places a schedule by today's clock and rules, None where it stands right as it is."""
    try:
        schedule = decode_schedule(record.spec)
        if isinstance(schedule, Cron):
            moved = record.advanced_at > now + FAR_AHEAD_MS
            if not moved and record.tzdata in {PLAIN_TIME, release}:
                return None
            # Ticks up to the last advance are dealt with: a clock that was set back a little fires none twice.
            tick = schedule.next_fire_ms(now if moved else record.advanced_at)
        elif isinstance(schedule, Every) and record.advanced_at > now:
            schedule = schedule.reanchored(now)
            tick = schedule.next_fire_ms(now)
        else:
            return None
    except Exception as error:  # noqa: BLE001  what cannot be read is told of when it is due
        log.warning("schedule %r cannot be put right here: %s", record.name, error)
        return None
    limit = schedule.options.max_runs
    if limit is not None and record.runs >= limit:
        tick = None
    return _step(record, tick, release=release_for(schedule), spec=schedule.encode(), even_paused=True)


def trace_of(
    schedule_id: int, tick: int, answer: Enqueued, now: int, *, outcome: TickOutcome = TickOutcome.FIRED
) -> Tick:
    """Give the trace of a tick whose job was stored, or whose unique key was held by another."""
    made = outcome if answer.answer == "new" else TickOutcome.UNIQUE
    return Tick(
        schedule_id=schedule_id,
        fire_at=tick,
        outcome=made,
        job_id=answer.job_id,
        late_ms=max(0, now - tick) if made is TickOutcome.FIRED else 0,
    )
