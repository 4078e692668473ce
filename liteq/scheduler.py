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
from liteq.errors import LiteqError, StorageError, UnknownTimeZone
from liteq.model.firing import (
    Buffered,
    ScheduleRecord,
    TickOutcome,
    plan_ticks,
)
from liteq.model.job import Enqueued
from liteq.model.schedule import Cron, decode_schedule
from liteq.model.template import decode_template
from liteq.schedule_steps import AT_ONCE, Decision, Prepared, broken, by_jobs, decide, job_of, put_right, trace_of
from liteq.store.engine import Engine
from liteq.timezones import tzdata_version

RIVALS_WAIT_MS = 250
"""How long whoever lost a race for ticks looks away, and how often jobs that are waited for are looked at."""
REST_FACTOR = 10
LONGEST_REST_MS = 100
"""After a pass that fired something: ticks that lie close together are fired together, for a commit has its price."""
STEP_BACK_MS = 1_000
log = logging.getLogger("liteq.scheduler")


class FireResult(Struct, frozen=True, kw_only=True):
    """One tick that was fired, or a schedule that could not be: ``error`` says why. ``duration`` is in seconds."""

    schedule: str
    fire_at: datetime
    success: bool
    job_id: int | None
    error: str | None
    duration: float


class Scheduler:
    """Fires the schedules of one file. Thread-safe: one pass at a time."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: int | None = None
        self._lost_race = False
        self._buffering = False
        self._moved = False
        self._rest_ms = 0
        self._unknown: set[int] = set()
        """Schedules in time zones that this machine does not know, told of already."""

    def fire_due(self) -> list[FireResult]:
        """Fire everything that is due, and give what was fired and what could not be."""
        with self._lock:
            begun = self._clock.monotonic_ms()
            self._moved = False
            fired = self._pass()
            took_ms = self._clock.monotonic_ms() - begun
            # Also after ticks that got no job: their traces are commits too.
            self._rest_ms = min(LONGEST_REST_MS, REST_FACTOR * (took_ms + 1)) if fired or self._moved else 0
            return fired

    def _pass(self) -> list[FireResult]:
        # One reading for all: a clock that is set in the middle must not part what is due from what is decided.
        now = self._clock.now_ms()
        self._mind_clock(now)
        results = self._fire_buffered(now)
        self._lost_race = False
        while due := self._engine.due_schedules(now=now, limit=AT_ONCE):
            won, fired = self._fire(due, now)
            results += fired
            self._moved = self._moved or won > 0
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

    def _fire(self, due: Sequence[ScheduleRecord], now: int) -> tuple[int, list[FireResult]]:
        prepared = [one for record in due if (one := self._prepare(record, now)) is not None]
        won, results = 0, list[FireResult]()
        for few in by_jobs(prepared):
            more, fired = self._fire_few(few, now)
            won += more
            results += fired
        return won, results

    def _fire_few(self, prepared: Sequence[Prepared], now: int) -> tuple[int, list[FireResult]]:
        begun = self._clock.monotonic_ms()
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

    def _fire_singly(self, prepared: Sequence[Prepared], error: LiteqError, now: int) -> tuple[int, list[FireResult]]:
        """One job of many cannot be stored: let the others through, and put its schedule where a person looks."""
        if len(prepared) == 1:
            aside = broken(prepared[0].record, prepared[0].due_at, error)
            with self._engine.transaction():
                mine = self._win([aside], now)
                self._carry_out(mine, now)
            return len(mine), _results(mine, [], 0.0)
        won, results = 0, list[FireResult]()
        for one in prepared:
            more, fired = self._fire_few([one], now)
            won += more
            results += fired
        return won, results

    def _prepare(self, record: ScheduleRecord, now: int) -> Prepared | None:
        due_at = record.next_fire_at if record.next_fire_at is not None else now
        try:
            schedule, template = decode_schedule(record.spec), decode_template(record.job)
            plan = plan_ticks(schedule, due_at=due_at, now=now)
            jobs = {tick: job_of(record, schedule, template, tick, now) for tick in plan.fire}
        except UnknownTimeZone as error:
            # Others may know the zone: nothing is wrong with the schedule, it is not ours to put aside.
            if record.id not in self._unknown:
                self._unknown.add(record.id)
                log.error("schedule %r cannot be fired by this process: %s", record.name, error)  # noqa: TRY400
            return None
        except Exception as error:  # noqa: BLE001  whatever is wrong with one schedule, the others must fire
            return broken(record, due_at, error)
        return Prepared(record=record, due_at=due_at, schedule=schedule, plan=plan, jobs=jobs)

    def _win(self, prepared: Sequence[Prepared], now: int) -> list[Decision]:
        """Decide under the lock, and give the decisions whose ticks are this process's to fire."""
        jealous = [one.record.id for one in prepared if one.schedule and one.schedule.options.overlap != "allow"]
        live = self._engine.live_jobs_of(jealous) if jealous else {}
        waiting: dict[int, int] = {}
        if any(one.schedule and one.schedule.options.overlap.startswith("buffer") for one in prepared):
            waiting = {tick.schedule_id: tick.waiting for tick in self._engine.buffered_ticks()}
        decisions = [decide(one, live.get(one.record.id, []), waiting.get(one.record.id, 0)) for one in prepared]
        won = self._engine.advance_schedules([decision.step for decision in decisions], now=now)
        return [decision for decision in decisions if decision.step.schedule_id in won]

    def _carry_out(self, mine: Sequence[Decision], now: int) -> list[Enqueued]:
        cancelled = [job_id for decision in mine for job_id in decision.cancel]
        if cancelled:
            self._engine.cancel(cancelled, reason="a later tick of its schedule replaced it", now=now)
        shots = [(decision.step.schedule_id, tick, job) for decision in mine for tick, job in decision.fire]
        answers = self._engine.enqueue([job for *_, job in shots], now=now) if shots else []
        traces = [trace for decision in mine for trace in decision.traces]
        traces += [trace_of(who, tick, answer, now) for (who, tick, _), answer in zip(shots, answers, strict=True)]
        self._engine.record_ticks(traces, now=now)
        self._buffering = self._buffering or any(trace.outcome is TickOutcome.BUFFERED for trace in traces)
        return answers

    # Ticks that waited for an earlier job

    def _fire_buffered(self, now: int) -> list[FireResult]:
        """Fire the oldest buffered tick of each schedule that has no live job any more."""
        results: list[FireResult] = []
        while freed := self._engine.freed_ticks(limit=AT_ONCE):
            fired = self._fire_freed(freed, now)
            results += fired
            if not fired or len(freed) < AT_ONCE:
                break
        self._buffering = bool(self._engine.buffered_ticks())
        return results

    def _fire_freed(self, freed: Sequence[Buffered], now: int) -> list[FireResult]:
        begun = self._clock.monotonic_ms()
        try:
            with self._engine.transaction():
                mine = self._still_freed(freed)
                jobs = [
                    decode_template(record.job).job_at(now, schedule_id=record.id, fire_at=tick.fire_at)
                    for tick, record in mine
                ]
                answers = self._engine.enqueue(jobs, now=now) if jobs else []
                for (tick, _), answer in zip(mine, answers, strict=True):
                    outcome = trace_of(tick.schedule_id, tick.fire_at, answer, now).outcome
                    self._engine.settle_tick(tick, outcome, job_id=answer.job_id, now=now)
        except StorageError:
            raise
        except LiteqError as error:
            return self._fire_freed_singly(freed, error, now)
        took = (self._clock.monotonic_ms() - begun) / 1000
        pairs = zip(mine, answers, strict=True)
        return [_result(record.name, tick.fire_at, one.job_id, None, took) for (tick, record), one in pairs]

    def _fire_freed_singly(self, freed: Sequence[Buffered], error: LiteqError, now: int) -> list[FireResult]:
        if len(freed) > 1:
            return [result for tick in freed for result in self._fire_freed([tick], now)]
        (tick,) = freed
        self._engine.settle_tick(tick, TickOutcome.FAILED, job_id=None, now=now)
        names = [record.name for record in self._engine.schedules_by_id([tick.schedule_id])]
        return [_result(name, tick.fire_at, None, str(error), 0.0) for name in names]

    def _still_freed(self, freed: Sequence[Buffered]) -> list[tuple[Buffered, ScheduleRecord]]:
        """Ask again under the lock: schedules may have been paused, changed or fired by another meanwhile."""
        again = {tick.tick_id for tick in self._engine.freed_ticks(limit=AT_ONCE)}
        records = {one.id: one for one in self._engine.schedules_by_id([tick.schedule_id for tick in freed])}
        return [(tick, records[tick.schedule_id]) for tick in freed if tick.tick_id in again]

    # Clocks

    def _mind_clock(self, now: int) -> None:
        """Put schedules right that were advanced by another clock or other time zones than are in force now."""
        first = self._seen is None
        stepped_back = self._seen is not None and now < self._seen - STEP_BACK_MS
        if stepped_back:
            log.warning("the clock was set back; intervals start anew from here")
        if first or stepped_back:
            self._put_right(now)
        # Only now: a pass that could not write must try it again.
        self._seen = now

    def _put_right(self, now: int) -> None:
        release = tzdata_version()
        misplaced = self._engine.misplaced_schedules(latest=now + STEP_BACK_MS, tzdata=release)
        steps = [step for record in misplaced if (step := put_right(record, release, now)) is not None]
        for first in range(0, len(steps), AT_ONCE):
            moved = self._engine.advance_schedules(steps[first : first + AT_ONCE], now=now)
            log.info("the next ticks of %d schedules were computed anew", len(moved))


def _results(mine: Sequence[Decision], answers: Sequence[Enqueued], took: float) -> list[FireResult]:
    left = iter(answers)
    results: list[FireResult] = []
    for decision in mine:
        made = [(tick, next(left)) for tick, _ in decision.fire]
        # Where the unique key was held, the tick was skipped, and its trace says so.
        results += [_result(decision.name, tick, one.job_id, None, took) for tick, one in made if one.answer == "new"]
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
