"""Schedules and their ticks: a step is a compare-and-swap, so a tick is one process's to fire."""

from collections.abc import Sequence
from typing import Any

from liteq.model.firing import (
    Advance,
    Buffered,
    ScheduleRecord,
    ScheduleRow,
    ScheduleTotals,
    Tick,
    TickCount,
    TickOutcome,
    TickRecord,
)
from liteq.model.transitions import State
from liteq.store.sqlite.asking import structs
from liteq.store.sqlite.binding import id_list
from liteq.store.sqlite.file import JobFile


class Scheduling:
    """The verbs and questions about schedules."""

    file: JobFile

    def put_schedules(self, rows: Sequence[ScheduleRow], *, now: int) -> list[bool]:
        with self.file.writer.transaction():
            return [self._put(row, now) for row in rows]

    def _put(self, row: ScheduleRow, now: int) -> bool:
        verb = "insert_schedule" if row.revision is None else "replace_schedule"
        values = {
            "name": row.name,
            "declared": int(row.declared),
            "spec": row.spec,
            "job": row.job,
            "next_fire_at": row.next_fire_at,
            "tzdata": row.tzdata,
            "now": now,
        }
        if row.revision is not None:
            values |= {"revision": row.revision, "anew": int(row.anew)}
        return bool(self.file.writer.connection.rows(verb, values))

    def declare_schedule(self, record: ScheduleRecord, *, declared: bool) -> bool:
        values = {"name": record.name, "revision": record.revision, "declared": int(declared)}
        with self.file.writer.transaction():
            return bool(self.file.writer.connection.rows("declare_schedule", values))

    def advance_schedules(self, steps: Sequence[Advance], *, now: int) -> set[int]:
        with self.file.writer.transaction():
            bindings = [_step(step, now) for step in steps]
            return {row[0] for row in self.file.writer.connection.many("advance_schedule", bindings)}

    def live_jobs_of(self, schedule_ids: Sequence[int]) -> dict[int, list[int]]:
        live: dict[int, list[int]] = {}
        for schedule_id, job_id in self.file.read("scheduled_live", {"schedule_ids": id_list(schedule_ids)}):
            live.setdefault(schedule_id, []).append(job_id)
        return live

    def record_ticks(self, ticks: Sequence[Tick], *, now: int) -> None:
        if not ticks:
            return
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            connection.many("record_tick", [_trace(tick, now) for tick in ticks])
            connection.many("count_ticks", [_count(tick) for tick in ticks])

    def settle_tick(self, tick: Buffered, outcome: TickOutcome, *, job_id: int | None, now: int) -> bool:
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            values = {"tick_id": tick.tick_id, "outcome": outcome.value, "job_id": job_id, "now": now}
            if not connection.rows("settle_tick", values):
                return False
            late_ms = now - tick.fire_at if outcome is TickOutcome.FIRED else 0
            settled = Tick(schedule_id=tick.schedule_id, fire_at=tick.fire_at, outcome=outcome, late_ms=late_ms)
            waited = Tick(schedule_id=tick.schedule_id, fire_at=tick.fire_at, outcome=TickOutcome.BUFFERED, ticks=-1)
            connection.many("count_ticks", [_count(settled), _count(waited)])
            connection.rows("forget_empty_counts", {"schedule_id": tick.schedule_id})
        return True

    def pause_schedule(self, schedule_id: int, *, reason: str | None, now: int) -> bool:
        values = {"schedule_id": schedule_id, "reason": reason, "now": now}
        with self.file.writer.transaction():
            return bool(self.file.writer.connection.rows("pause_schedule", values))

    def resume_schedule(self, schedule_id: int, *, revision: int) -> bool:
        values = {"schedule_id": schedule_id, "revision": revision}
        with self.file.writer.transaction():
            return bool(self.file.writer.connection.rows("resume_schedule", values))

    def remove_schedule(self, schedule_id: int, *, now: int) -> bool:
        who = {"schedule_id": schedule_id}
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            if not connection.rows("remove_schedule", who):
                return False
            connection.rows("drop_buffered", who | {"outcome": TickOutcome.REMOVED.value, "now": now})
            connection.rows("forget_tick_counts", who)
        return True

    def due_schedules(self, *, now: int, limit: int) -> list[ScheduleRecord]:
        return _records(self.file.read("due_schedules", {"now": now, "limit": limit}))

    def misplaced_schedules(self, *, latest: int, tzdata: str) -> list[ScheduleRecord]:
        return _records(self.file.read("misplaced_schedules", {"latest": latest, "tzdata": tzdata}))

    def next_tick(self) -> int | None:
        found = self.file.read("next_tick")
        return found[0][0] if found else None

    def schedules_by_id(self, schedule_ids: Sequence[int]) -> list[ScheduleRecord]:
        return _records(self.file.read("schedules_by_id", {"schedule_ids": id_list(schedule_ids)}))

    def get_schedule(self, name: str) -> ScheduleRecord | None:
        found = _records(self.file.read("get_schedule", {"name": name}))
        return found[0] if found else None

    def list_schedules(self, *, limit: int, after: str = "") -> list[ScheduleRecord]:
        return _records(self.file.read("list_schedules", {"after": after, "limit": limit}))

    def ticks(self, schedule_id: int, *, limit: int) -> list[TickRecord]:
        return structs(TickRecord, self.file.read("ticks", {"schedule_id": schedule_id, "limit": limit}))

    def ticks_with_job(self, schedule_id: int, ticks: Sequence[int]) -> set[int]:
        values = {"schedule_id": schedule_id, "ticks": id_list(ticks)}
        return {row[0] for row in self.file.read("ticks_with_job", values)}

    def buffered_ticks(self) -> list[Buffered]:
        return [Buffered(*row) for row in self.file.read("buffered_ticks")]

    def freed_ticks(self, *, limit: int) -> list[Buffered]:
        return [Buffered(*row) for row in self.file.read("freed_ticks", {"limit": limit})]

    def tick_counts(self, schedule_id: int | None = None) -> list[TickCount]:
        if schedule_id is None:
            return structs(TickCount, self.file.read("all_tick_counts"))
        return structs(TickCount, self.file.read("tick_counts", {"schedule_id": schedule_id}))

    def schedule_totals(self, *, now: int, overdue_since: int) -> ScheduleTotals:
        values = {"now": now, "overdue_since": overdue_since}
        return ScheduleTotals(*self.file.read("schedule_totals", values)[0])

    def states_of_ticks(self, *, newest: int) -> dict[State, int]:
        last = self.file.read("last_tick_id")
        after_id = last[0][0] - newest if last else 0
        return {State(state): jobs for state, jobs in self.file.read("states_of_ticks", {"after_id": after_id})}

    def prune_ticks(self, *, decided_before: int, limit: int) -> int:
        found = [row[0] for row in self.file.read("prunable_ticks", {"decided_before": decided_before, "limit": limit})]
        if not found:
            return 0
        with self.file.writer.transaction(durable=False):
            return len(self.file.writer.connection.rows("forget_ticks", {"tick_ids": id_list(found)}))


def _records(rows: Sequence[tuple[Any, ...]]) -> list[ScheduleRecord]:
    return [_record(row) for row in rows]


def _record(row: tuple[Any, ...]) -> ScheduleRecord:
    # Without a conversion of each field: ten thousand may be due in one second.
    values: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    values["declared"] = bool(values["declared"])
    return ScheduleRecord(**values)


_COLUMNS = ScheduleRecord.__struct_fields__


def _step(step: Advance, now: int) -> dict[str, Any]:
    return {
        "schedule_id": step.schedule_id,
        "revision": step.revision,
        "expected": step.expected,
        "next_fire_at": step.next_fire_at,
        "tzdata": step.tzdata,
        "runs": step.runs,
        "spec": step.spec,
        "error": step.error,
        "even_paused": int(step.even_paused),
        "now": now,
    }


def _trace(tick: Tick, now: int) -> dict[str, Any]:
    return {
        "schedule_id": tick.schedule_id,
        "fire_at": tick.fire_at,
        "outcome": tick.outcome.value,
        "ticks": tick.ticks,
        "job_id": tick.job_id,
        "now": now,
    }


def _count(tick: Tick) -> dict[str, Any]:
    return {
        "schedule_id": tick.schedule_id,
        "outcome": tick.outcome.value,
        "ticks": tick.ticks,
        "late_ms": tick.late_ms,
    }
