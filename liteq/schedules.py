"""The schedules of one app: those its code declares, and those the file holds."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from liteq.clock import Clock, to_datetime
from liteq.errors import InvalidName, InvalidOption, ScheduleNotFound, WrongState
from liteq.job import Job
from liteq.model.firing import (
    ScheduleRecord,
    ScheduleRow,
    Tick,
    TickOutcome,
    TickRecord,
)
from liteq.model.instants import instant_ms
from liteq.model.names import check_name
from liteq.model.schedule import AnySchedule, Schedule, decode_schedule
from liteq.model.template import Template, decode_template
from liteq.ops.schedule_stats import SchedulerStatus, collect_scheduler_status
from liteq.schedule_rows import Declaration, resumed, row_for, ticks_between
from liteq.schedule_steps import trace_of
from liteq.store.engine import Engine
from liteq.task import Call

AT_ONCE = 500
_TRIES = 20


class StoredSchedule:
    """The handle of a stored schedule, as it was read."""

    def __init__(self, record: ScheduleRecord, schedules: "Schedules") -> None:
        self.record = record
        self._schedules = schedules

    def __repr__(self) -> str:
        return f"<StoredSchedule {self.name!r}>"

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def schedule(self) -> AnySchedule:
        """The value that says when it ticks. Raises InvalidSchedule when what is stored cannot be read."""
        return decode_schedule(self.record.spec)

    @property
    def template(self) -> Template:
        """The job that each tick makes. Raises Undecodable when what is stored cannot be read."""
        return decode_template(self.record.job)

    @property
    def revision(self) -> int:
        """How often it was changed, from 1."""
        return self.record.revision

    @property
    def paused(self) -> bool:
        return self.record.paused_at is not None

    @property
    def error(self) -> str | None:
        """Why it cannot fire, None when it can."""
        return self.record.error

    @property
    def next_fire_at(self) -> datetime | None:
        """The next tick, UTC; None when there is none. A paused schedule stands where it was paused."""
        return None if self.record.next_fire_at is None else to_datetime(self.record.next_fire_at)

    @property
    def counts(self) -> dict[str, int]:
        """How many ticks had which outcome: ``fired``, ``triggered``, ``skipped: overlap`` and so on."""
        return {count.outcome.value: count.ticks for count in self._schedules.engine.tick_counts(self.record.id)}

    @property
    def average_lateness_ms(self) -> float | None:
        """How late its ticks were fired, in the mean; None while none was."""
        for count in self._schedules.engine.tick_counts(self.record.id):
            if count.outcome is TickOutcome.FIRED:
                return count.late_ms / count.ticks
        return None

    def ticks(self, *, limit: int = 20) -> list[TickRecord]:
        """Give the traces of the latest ticks first."""
        return self._schedules.engine.ticks(self.record.id, limit=limit)


class Schedules:
    """What may be done to the schedules of a file, by name. Raises ScheduleNotFound for a name that has none."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        clock: Clock,
        template_of: Callable[[Call[Any]], Template],
        get_job: Callable[[int], Job[Any]],
    ) -> None:
        self._open = engine
        self._clock = clock
        self._template_of = template_of
        self._get_job = get_job
        self._declared: dict[str, Declaration] = {}
        self._unstored: set[str] = set()

    @property
    def engine(self) -> Engine:
        return self._open()

    # Asking

    def __getitem__(self, name: str) -> StoredSchedule:
        return StoredSchedule(self._record(name), self)

    def __iter__(self) -> Iterator[StoredSchedule]:
        """Give the stored schedules by name."""
        after = ""
        while records := self.engine.list_schedules(limit=AT_ONCE, after=after):
            after = records[-1].name
            yield from (StoredSchedule(record, self) for record in records)

    def __contains__(self, name: str) -> bool:
        return self.engine.get_schedule(name) is not None

    def status(self) -> SchedulerStatus:
        """Give how the scheduler of the file is doing."""
        return collect_scheduler_status(self.engine, now=self._clock.now_ms())

    # Declaring and adding

    def note(self, name: str, schedule: AnySchedule, call: Callable[[], Call[Any]], *, replace: bool = False) -> None:
        """Remember a declaration; ``store_declared`` stores it.

        Unless it is to ``replace`` an earlier one, raises InvalidName when the name is taken here.
        """
        known = self._declared.get(check_name(name, what="schedule"))
        declared = _checked(schedule).declared()
        if (
            known is not None
            and not replace
            and (known.schedule.declared() != declared or known.template() != self._template_of(call()))
        ):
            raise InvalidName(f"two schedules would be called {name!r}; give one of them another name")
        self._declared[name] = Declaration(name, schedule, lambda: self._template_of(call()))
        self._unstored.add(name)

    def forget_stored(self) -> None:
        """The file was closed; the one that is opened next may be another."""
        self._unstored = set(self._declared)

    def declare(self, name: str, schedule: AnySchedule, call: Call[Any]) -> StoredSchedule:
        """Store a schedule that the program declares; the same again changes nothing."""
        check_name(name, what="schedule")
        template = self._template_of(call)
        self._declared[name] = Declaration(name, _checked(schedule), lambda: template)
        self._store(self._declared[name], declared=True)
        return self[name]

    def add(self, name: str, schedule: AnySchedule, call: Call[Any], *, replace: bool = False) -> StoredSchedule:
        """Store a schedule that no program declares. Raises InvalidName when one of that name says something else."""
        template = self._template_of(call)
        wanted = Declaration(check_name(name, what="schedule"), _checked(schedule), lambda: template)
        found = self.engine.get_schedule(name)
        if found is not None and not replace and row_for(found, wanted, declared=False, now=0) is not None:
            raise InvalidName(f"there is a schedule called {name!r} already, and it says something else")
        self._store(wanted, declared=found is not None and found.declared and not replace)
        return self[name]

    def store_declared(self) -> list[str]:
        """Store what was declared and not stored yet, and give the names of those that were new or had changed."""
        stored: list[str] = []
        for name in sorted(self._unstored):
            if self._store(self._declared[name], declared=True):
                stored.append(name)
            self._unstored.discard(name)
        return stored

    def prune_undeclared(self) -> list[str]:
        """Remove those that a program declared once and this one does not; give their names."""
        gone = [one for one in self if one.record.declared and one.name not in self._declared]
        return [one.name for one in gone if self.engine.remove_schedule(one.record.id, now=self._clock.now_ms())]

    def _store(self, wanted: Declaration, *, declared: bool) -> bool:
        for _ in range(_TRIES):
            now = self._clock.now_ms()
            found = self.engine.get_schedule(wanted.name)
            row = row_for(found, wanted, declared=declared, now=now)
            if row is None:
                if found is None or found.declared is declared:
                    return False
                if self.engine.declare_schedule(found, declared=declared):
                    return False
            elif self._put(found, row, now):
                return True
        raise WrongState(f"schedule {wanted.name!r} is changed by others all the time")

    def _put(self, found: ScheduleRecord | None, row: ScheduleRow, now: int) -> bool:
        with self.engine.transaction():
            if not self.engine.put_schedules([row], now=now)[0]:
                return False
            dropped = None if found is None else found.next_fire_at
            if found is not None and dropped is not None and dropped <= now and dropped != row.next_fire_at:
                gone = Tick(schedule_id=found.id, fire_at=dropped, outcome=TickOutcome.REPLACED)
                self.engine.record_ticks([gone], now=now)
        return True

    # Handling

    def trigger(self, name: str) -> Job[Any]:
        """Make a job of the schedule now, whatever is due and whatever runs; the next tick stays where it is."""
        now = self._clock.now_ms()
        return self._get_job(self._make(self._record(name), [now], TickOutcome.TRIGGERED, now)[0])

    def backfill(self, name: str, start: datetime, end: datetime) -> list[Job[Any]]:
        """Make a job for each tick from ``start`` to ``end`` that has none yet. Safe to repeat.

        Raises InvalidOption for more than 10,000 ticks, for an ``end`` in the future, and for a manual schedule.
        """
        record = self._record(name)
        now = self._clock.now_ms()
        first, last = instant_ms(start, what="start"), instant_ms(end, what="end")
        if last > now:
            raise InvalidOption("a backfill ends in the past; what is to come fires by itself")
        ticks = ticks_between(decode_schedule(record.spec), first, last)
        made: list[int] = []
        for at in range(0, len(ticks), AT_ONCE):
            made += self._make(record, ticks[at : at + AT_ONCE], TickOutcome.BACKFILLED, now)
        return [self._get_job(job_id) for job_id in made]

    def _make(self, record: ScheduleRecord, ticks: Sequence[int], outcome: TickOutcome, now: int) -> list[int]:
        template = decode_template(record.job)
        with self.engine.transaction():
            left = self._unmade(record, ticks) if outcome is TickOutcome.BACKFILLED else list(ticks)
            jobs = [template.job_at(now, schedule_id=record.id, fire_at=tick) for tick in left]
            answers = self.engine.enqueue(jobs, now=now) if jobs else []
            pairs = zip(left, answers, strict=True)
            traces = [trace_of(record.id, tick, answer, now, outcome=outcome) for tick, answer in pairs]
            self.engine.record_ticks(traces, now=now)
        return [answer.job_id for answer in answers]

    def _unmade(self, record: ScheduleRecord, ticks: Sequence[int]) -> list[int]:
        """Give those that have no job and will get none: what is due or waits fires by itself."""
        done = self.engine.ticks_with_job(record.id, ticks)
        found = self.engine.schedules_by_id([record.id])
        to_come = found[0].next_fire_at if found and found[0].paused_at is None else None
        return [tick for tick in ticks if tick not in done and (to_come is None or tick < to_come)]

    def pause(self, name: str, *, reason: str | None = None) -> bool:
        """Let it fire no more until it is resumed; false when it was paused already."""
        return self.engine.pause_schedule(self._record(name).id, reason=reason, now=self._clock.now_ms())

    def resume(self, name: str, *, catch_up: bool = False) -> bool:
        """Let it fire again: from now on, or with what was missed by its misfire policy. False if it was not paused."""
        for _ in range(_TRIES):
            record = self._record(name)
            if record.paused_at is None:
                return False
            now = self._clock.now_ms()
            past = resumed(record, catch_up=catch_up, now=now)
            with self.engine.transaction():
                if not self.engine.resume_schedule(record.id, revision=record.revision):
                    continue
                if past is not None and self.engine.advance_schedules([past[0]], now=now):
                    self.engine.record_ticks([past[1]], now=now)
            return True
        raise WrongState(f"schedule {name!r} is changed by others all the time")

    def remove(self, name: str) -> None:
        """Remove it; jobs that it has made stay. One that a program declares comes back when that program runs."""
        if not self.engine.remove_schedule(self._record(name).id, now=self._clock.now_ms()):
            raise _not_found(name)

    def _record(self, name: str) -> ScheduleRecord:
        found = self.engine.get_schedule(name)
        if found is None:
            raise _not_found(name)
        return found


def _not_found(name: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"there is no schedule called {name[:80]!r}")


def _checked(schedule: object) -> Any:
    if not isinstance(schedule, Schedule):
        raise TypeError(f"a schedule is made by cron, every, at or manual, not {type(schedule).__name__}")
    return schedule


def to_plain(record: ScheduleRecord, schedule: AnySchedule | None, template: Template | None) -> dict[str, Any]:
    """Give a schedule as plain values for JSON: instants as ISO text in UTC, the value and the job decoded.

    None stands for what cannot be read here.
    """
    plain: dict[str, Any] = {
        "name": record.name,
        "revision": record.revision,
        "declared": record.declared,
        "paused": record.paused_at is not None,
        "paused_reason": record.paused_reason,
        "error": record.error,
        "runs": record.runs,
    }
    for name in ("next_fire_at", "advanced_at", "created_at", "paused_at"):
        value = getattr(record, name)
        plain[name] = None if value is None else to_datetime(value).isoformat()
    plain["describe"] = None if schedule is None else schedule.describe()
    plain["schedule"] = msgspec.to_builtins(schedule)
    plain["job"] = None if template is None else _job_document(template)
    return plain


def _job_document(template: Template) -> dict[str, Any]:
    wanted = ("task", "queue", "priority", "max_failures", "timeout_ms", "tags")
    job = {name: getattr(template.job, name) for name in wanted}
    return job | {"args": msgspec.json.decode(template.job.args), "delay_ms": template.delay_ms}
