"""Fires due schedules: any number of processes may, none leads, and each tick is one process's to fire.

What is due is read and worked out without a lock. Then one short transaction for some hundred schedules advances those
that nobody else has advanced meanwhile and enqueues their jobs: a tick and its job are one commit. Nothing sleeps here.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from msgspec import Struct

from liteq.clock import Clock, to_datetime
from liteq.errors import LiteqError, StorageError
from liteq.model.firing import (
    Advance,
    Buffered,
    Plan,
    ScheduleRecord,
    Template,
    Tick,
    TickOutcome,
    decode_template,
    plan_ticks,
)
from liteq.model.job import Enqueued, NewJob
from liteq.model.schedule import AnySchedule, Cron, Every, decode_schedule
from liteq.store.engine import Engine
from liteq.timezones import tzdata_version

AT_ONCE = 250
RIVALS_WAIT_MS = 250
"""How long whoever lost a race for ticks looks away, and how often jobs that are waited for are looked at."""
REST_FACTOR = 10
LONGEST_REST_MS = 100
"""After a pass that fired something: ticks that lie close together are fired together, for a commit has its price."""
MOST_BUFFERED = 1_000
STEP_BACK_MS = 1_000
FAR_AHEAD_MS = 3 * 3_600_000
"""A cron schedule that was advanced so far in the future was advanced by a wrong clock."""
PLAIN_TIME = ""
"""The release of the time zones that schedules without any are stored with."""

log = logging.getLogger("liteq.scheduler")


class FireResult(Struct, frozen=True, kw_only=True):
    """One tick that was fired, or a schedule that could not be: ``error`` says why. ``duration`` is in seconds."""

    schedule: str
    fire_at: datetime
    success: bool
    job_id: int | None
    error: str | None
    duration: float


class _Prepared(Struct, frozen=True, kw_only=True):
    """What is worked out about a due schedule before the lock."""

    record: ScheduleRecord
    due_at: int
    schedule: AnySchedule | None = None
    plan: Plan | None = None
    jobs: dict[int, NewJob] = {}
    error: str | None = None


class _Decision(Struct, kw_only=True):
    """What is to be done about a due schedule, provided that it is still ours to do."""

    step: Advance
    name: str
    fire: list[tuple[int, NewJob]]
    traces: list[Tick]
    cancel: list[int]
    error: str | None = None


class Scheduler:
    """Fires the schedules of one file. Thread-safe: one pass at a time."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: int | None = None
        self._lost_race = False
        self._buffering = False
        self._rest_ms = 0

    def fire_due(self) -> list[FireResult]:
        """Fire everything that is due, and give what was fired and what could not be."""
        with self._lock:
            begun = self._clock.monotonic_ms()
            fired = self._pass()
            took_ms = self._clock.monotonic_ms() - begun
            self._rest_ms = min(LONGEST_REST_MS, REST_FACTOR * (took_ms + 1)) if fired else 0
            return fired

    def _pass(self) -> list[FireResult]:
        now = self._clock.now_ms()
        self._mind_clock(now)
        results = self._fire_buffered()
        self._lost_race = False
        while due := self._engine.due_schedules(now=now, limit=AT_ONCE):
            won, fired = self._fire(due)
            results += fired
            self._lost_race = won < len(due)
            if not won or len(due) < AT_ONCE:
                break
        return results

    def idle_ms(self, longest: int) -> int:
        """Give how long nothing can become due as far as is known now, at most ``longest``."""
        if self._lost_race or self._buffering:
            longest = min(longest, RIVALS_WAIT_MS)
        if self._lost_race:
            return longest
        tick = self._engine.next_tick()
        return longest if tick is None else max(self._rest_ms, min(longest, tick - self._clock.now_ms()))

    def prewarm(self, *, stopping: Callable[[], bool]) -> None:
        """Compile every cron expression, so that none is compiled when it is due."""
        after = ""
        while not stopping() and (records := self._engine.list_schedules(limit=AT_ONCE, after=after)):
            after = records[-1].name
            for record in records:
                # What cannot be read is told of when it is due.
                with suppress(LiteqError):
                    schedule = decode_schedule(record.spec)
                    if isinstance(schedule, Cron) and not stopping():
                        schedule.compiled()

    # Firing

    def _fire(self, due: Sequence[ScheduleRecord]) -> tuple[int, list[FireResult]]:
        now = self._clock.now_ms()
        begun = self._clock.monotonic_ms()
        prepared = [self._prepare(record, now) for record in due]
        try:
            with self._engine.transaction():
                mine = self._win(prepared, now)
                answers = self._carry_out(mine, now)
        except StorageError:
            raise
        except LiteqError as error:
            return self._fire_singly(prepared, error, now)
        took = (self._clock.monotonic_ms() - begun) / 1000
        return len(mine), _results(mine, answers, took)

    def _fire_singly(self, prepared: Sequence[_Prepared], error: LiteqError, now: int) -> tuple[int, list[FireResult]]:
        """One job of many cannot be stored: let the others through, and put its schedule where a person looks."""
        if len(prepared) == 1:
            broken = _broken(prepared[0].record, prepared[0].due_at, error)
            with self._engine.transaction():
                mine = self._win([broken], now)
            return len(mine), _results(mine, [], 0.0)
        won, results = 0, list[FireResult]()
        for one in prepared:
            more, fired = self._fire([one.record])
            won += more
            results += fired
        return won, results

    def _prepare(self, record: ScheduleRecord, now: int) -> _Prepared:
        due_at = record.next_fire_at if record.next_fire_at is not None else now
        try:
            schedule, template = decode_schedule(record.spec), decode_template(record.job)
            plan = plan_ticks(schedule, due_at=due_at, now=now)
            jobs = {tick: _job(record, schedule, template, tick, now) for tick in plan.fire}
        except Exception as error:  # noqa: BLE001  whatever is wrong with one schedule, the others must fire
            return _broken(record, due_at, error)
        return _Prepared(record=record, due_at=due_at, schedule=schedule, plan=plan, jobs=jobs)

    def _win(self, prepared: Sequence[_Prepared], now: int) -> list[_Decision]:
        """Decide under the lock, and give the decisions whose ticks are this process's to fire."""
        jealous = [one.record.id for one in prepared if one.schedule and one.schedule.options.overlap != "allow"]
        live = self._engine.live_jobs_of(jealous) if jealous else {}
        waiting: dict[int, int] = {}
        if any(one.schedule and one.schedule.options.overlap.startswith("buffer") for one in prepared):
            waiting = {tick.schedule_id: tick.waiting for tick in self._engine.buffered_ticks(limit=2**31)}
        decisions = [_decide(one, live.get(one.record.id, []), waiting.get(one.record.id, 0)) for one in prepared]
        won = self._engine.advance_schedules([decision.step for decision in decisions], now=now)
        return [decision for decision in decisions if decision.step.schedule_id in won]

    def _carry_out(self, mine: Sequence[_Decision], now: int) -> list[Enqueued]:
        cancelled = [job_id for decision in mine for job_id in decision.cancel]
        if cancelled:
            self._engine.cancel(cancelled, reason="a later tick of its schedule replaced it", now=now)
        shots = [(decision.step.schedule_id, tick, job) for decision in mine for tick, job in decision.fire]
        answers = self._engine.enqueue([job for *_, job in shots], now=now) if shots else []
        traces = [trace for decision in mine for trace in decision.traces]
        traces += [_trace(who, tick, answer, now) for (who, tick, _), answer in zip(shots, answers, strict=True)]
        self._engine.record_ticks(traces, now=now)
        self._buffering = self._buffering or any(trace.outcome is TickOutcome.BUFFERED for trace in traces)
        return answers

    # Ticks that waited for an earlier job

    def _fire_buffered(self) -> list[FireResult]:
        """Fire the oldest buffered tick of each schedule that has no live job any more."""
        waiting = self._engine.buffered_ticks(limit=AT_ONCE)
        self._buffering = bool(waiting)
        if not waiting:
            return []
        records = {record.id: record for record in self._engine.schedules_by_id([one.schedule_id for one in waiting])}
        live = self._engine.live_jobs_of(list(records))
        results: list[FireResult] = []
        for tick in waiting:
            record = records.get(tick.schedule_id)
            if record is not None and record.paused_at is None and tick.schedule_id not in live:
                results += self._fire_one_buffered(record, tick)
        return results

    def _fire_one_buffered(self, record: ScheduleRecord, tick: Buffered) -> list[FireResult]:
        now = self._clock.now_ms()
        begun = self._clock.monotonic_ms()
        try:
            job = decode_template(record.job).job_at(now, schedule_id=record.id, fire_at=tick.fire_at)
        except LiteqError as error:
            self._engine.settle_tick(tick, TickOutcome.FAILED, job_id=None, now=now)
            return [_result(record.name, tick.fire_at, None, str(error), 0.0)]
        with self._engine.transaction():
            first = {one.tick_id for one in self._engine.buffered_ticks(limit=2**31)}
            if tick.tick_id not in first or self._engine.live_jobs_of([record.id]):
                # Another process was quicker.
                return []
            answer = self._engine.enqueue([job], now=now)[0]
            outcome = _trace(record.id, tick.fire_at, answer, now).outcome
            self._engine.settle_tick(tick, outcome, job_id=answer.job_id, now=now)
        took = (self._clock.monotonic_ms() - begun) / 1000
        return [_result(record.name, tick.fire_at, answer.job_id, None, took)]

    # Clocks

    def _mind_clock(self, now: int) -> None:
        """Put schedules right that were advanced by another clock or other time zones than are in force now."""
        first = self._seen is None
        stepped_back = self._seen is not None and now < self._seen - STEP_BACK_MS
        self._seen = now
        if stepped_back:
            log.warning("the clock was set back; intervals start anew from here")
        if first or stepped_back:
            self._put_right(now)

    def _put_right(self, now: int) -> None:
        release = tzdata_version()
        misplaced = self._engine.misplaced_schedules(latest=now + STEP_BACK_MS, tzdata=release)
        steps = [step for record in misplaced if (step := _put_right(record, release, now)) is not None]
        for first in range(0, len(steps), AT_ONCE):
            moved = self._engine.advance_schedules(steps[first : first + AT_ONCE], now=now)
            log.info("the next ticks of %d schedules were computed anew", len(moved))


def release_for(schedule: AnySchedule) -> str:
    """Give the release of the time zones that the schedule's next tick depends on."""
    return tzdata_version() if isinstance(schedule, Cron) and schedule.timezone != "UTC" else PLAIN_TIME


def _broken(record: ScheduleRecord, due_at: int, error: Exception) -> _Prepared:
    log.error("schedule %r cannot fire: %s", record.name, error, extra={"schedule": record.name})
    return _Prepared(record=record, due_at=due_at, error=f"{type(error).__name__}: {error}"[:1000])


def _job(record: ScheduleRecord, schedule: AnySchedule, template: Template, tick: int, now: int) -> NewJob:
    late_or_jittered = max(now, tick + schedule.jitter_ms(record.name, tick))
    return template.job_at(late_or_jittered, schedule_id=record.id, fire_at=tick)


def _decide(one: _Prepared, live: list[int], waiting: int) -> _Decision:
    record = one.record
    if one.schedule is None or one.plan is None:
        step = _step(record, None, error=one.error)
        failed = Tick(schedule_id=record.id, fire_at=one.due_at, outcome=TickOutcome.FAILED)
        return _Decision(step=step, name=record.name, fire=[], traces=[failed], cancel=[], error=one.error)
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
    return _Decision(step=step, name=record.name, fire=fire, traces=traces, cancel=cancel)


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
    )


def _put_right(record: ScheduleRecord, release: str, now: int) -> Advance | None:
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
    except LiteqError as error:
        return _step(record, None, release=release, error=f"{type(error).__name__}: {error}"[:1000])
    limit = schedule.options.max_runs
    if limit is not None and record.runs >= limit:
        tick = None
    return _step(record, tick, release=release_for(schedule), spec=schedule.encode())


def _trace(schedule_id: int, tick: int, answer: Enqueued, now: int) -> Tick:
    fired = answer.answer == "new"
    return Tick(
        schedule_id=schedule_id,
        fire_at=tick,
        outcome=TickOutcome.FIRED if fired else TickOutcome.UNIQUE,
        job_id=answer.job_id,
        late_ms=max(0, now - tick) if fired else 0,
    )


def _results(mine: Sequence[_Decision], answers: Sequence[Enqueued], took: float) -> list[FireResult]:
    left = iter(answers)
    results: list[FireResult] = []
    for decision in mine:
        results += [_result(decision.name, tick, next(left).job_id, None, took) for tick, _ in decision.fire]
        if decision.error is not None:
            results.append(_result(decision.name, decision.traces[0].fire_at, None, decision.error, took))
    return results


def _result(name: str, fire_at: int, job_id: int | None, error: str | None, took: float) -> FireResult:
    return FireResult(
        schedule=name,
        fire_at=to_datetime(fire_at),
        success=error is None,
        job_id=job_id,
        error=error,
        duration=took,
    )
