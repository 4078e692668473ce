"""The part of the wall that is about schedules: stored, advanced by whoever comes first, their ticks remembered."""

from collections.abc import Sequence
from typing import Protocol

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


class Scheduling(Protocol):
    """The verbs and questions about schedules; ``Engine`` has them all."""

    def put_schedules(self, rows: Sequence[ScheduleRow], *, now: int) -> list[bool]:
        """Store each that is new, or still has the revision it is to replace; tell for each whether it was so."""
        ...

    def declare_schedule(self, record: ScheduleRecord, *, declared: bool) -> bool:
        """Note whether a program declares it, without any other change; false when it has changed meanwhile."""
        ...

    def advance_schedules(self, steps: Sequence[Advance], *, now: int) -> set[int]:
        """Take each step whose schedule still stands where it is expected, unpaused; give their schedules' ids.

        Whoever is given an id owns the ticks that were stepped over: nobody else is given it for them.
        """
        ...

    def live_jobs_of(self, schedule_ids: Sequence[int]) -> dict[int, list[int]]:
        """Give the ids of the live jobs of each of the schedules that has any."""
        ...

    def record_ticks(self, ticks: Sequence[Tick], *, now: int) -> None:
        """Leave the traces of ticks, and count them."""
        ...

    def settle_tick(self, tick: Buffered, outcome: TickOutcome, *, job_id: int | None, now: int) -> bool:
        """Give a buffered tick its outcome, and count it as that; false when somebody else has."""
        ...

    def pause_schedule(self, schedule_id: int, *, reason: str | None, now: int) -> bool:
        """Let the schedule be due no more until it is resumed; false when it was paused already."""
        ...

    def resume_schedule(self, schedule_id: int, *, revision: int) -> bool:
        """Let the schedule be due again where it stands; false when it was not paused or has changed."""
        ...

    def remove_schedule(self, schedule_id: int, *, now: int) -> bool:
        """Remove a schedule and its counts. Its jobs stay; ticks that were buffered are dropped, with a trace."""
        ...

    def due_schedules(self, *, now: int, limit: int) -> list[ScheduleRecord]:
        """Give the schedules with a tick not later than ``now``, those that wait longest first."""
        ...

    def misplaced_schedules(self, *, latest: int, tzdata: str) -> list[ScheduleRecord]:
        """Give those whose next tick was computed after ``latest``, or by other time zones than ``tzdata``'s."""
        ...

    def next_tick(self) -> int | None:
        """Give the earliest tick to come of a schedule that is not paused."""
        ...

    def schedules_by_id(self, schedule_ids: Sequence[int]) -> list[ScheduleRecord]: ...

    def get_schedule(self, name: str) -> ScheduleRecord | None: ...

    def list_schedules(self, *, limit: int, after: str = "") -> list[ScheduleRecord]:
        """Give the schedules by name, at most ``limit``, only names behind ``after``."""
        ...

    def ticks(self, schedule_id: int, *, limit: int) -> list[TickRecord]:
        """Give the traces of the latest ticks first."""
        ...

    def ticks_with_job(self, schedule_id: int, ticks: Sequence[int]) -> set[int]:
        """Give those of the ticks that have a job as far as traces are kept, or wait for one."""
        ...

    def buffered_ticks(self) -> list[Buffered]:
        """Give, of each schedule that has any, the oldest tick that waits for an earlier job to end."""
        ...

    def freed_ticks(self, *, limit: int) -> list[Buffered]:
        """Give at most ``limit`` of those whose schedule has no live job any more, and is not paused."""
        ...

    def tick_counts(self, schedule_id: int | None = None) -> list[TickCount]:
        """Give how many ticks had which outcome, of one schedule or of each."""
        ...

    def schedule_totals(self, *, now: int, overdue_since: int) -> ScheduleTotals: ...

    def states_of_ticks(self, *, newest: int) -> dict[State, int]:
        """Count the jobs of the ``newest`` traces by their state."""
        ...
