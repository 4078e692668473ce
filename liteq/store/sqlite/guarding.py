"""Breakers and retry budgets: what attempts of guarded tasks lead to, in the transaction that reports them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from liteq.model.guard import SLICES, BreakerRule, Guard, GuardRecord, spend
from liteq.model.job import Claim
from liteq.model.rate import Rate
from liteq.store.sqlite.binding import name_list
from liteq.store.sqlite.connection import Connection, Row
from liteq.store.sqlite.file import JobFile

Fence = tuple[int, int]
"""The id of a job, and the attempt."""


class Guarding:
    """The verbs about what guards tasks."""

    file: JobFile

    def put_guards(self, guards: Mapping[str, Guard | None]) -> None:
        stored = {record.task: record for record in self.guards()}
        if all(_same(stored.get(task), guard) for task, guard in guards.items()):
            return
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            wanted = {task: guard for task, guard in guards.items() if guard is not None}
            connection.rows("remove_guards", {"tasks": name_list(task for task in guards if task not in wanted)})
            connection.many("put_guard", [_columns(task, guard) for task, guard in wanted.items()])

    def guards(self) -> list[GuardRecord]:
        return [_record(row) for row in self.file.read("guards")]

    def reset_breaker(self, task: str) -> bool:
        with self.file.writer.transaction():
            return _close(self.file.writer.connection, task)


def note_success(connection: Connection, task: str, attempts: Sequence[Fence], *, now: int) -> None:
    """Take in attempts of a guarded task that completed: one of them on trial closes its breaker."""
    rule, opened_at, trial = _breaker(connection, task)
    if rule is None:
        return
    if opened_at is None:
        _count(connection, task, rule, now, succeeded=len(attempts))
    elif trial in attempts:
        _close(connection, task)


def note_failure(connection: Connection, task: str, attempt: Fence, *, now: int) -> None:
    """Take in an attempt of a guarded task that failed: one too many opens its breaker, one on trial opens it again."""
    rule, opened_at, trial = _breaker(connection, task)
    if rule is None:
        return
    if opened_at is not None:
        # What was claimed before it opened says nothing new.
        if attempt == trial:
            _open(connection, task, rule, now)
        return
    _count(connection, task, rule, now, failed=1)
    oldest = _oldest_slice(rule, now)
    succeeded, failed = connection.rows("attempts_counted", {"task": task, "oldest": oldest})[0]
    if rule.trips(succeeded=succeeded, failed=failed):
        _open(connection, task, rule, now)


def begin_trials(connection: Connection, tasks: Collection[str], claims: Sequence[Claim]) -> None:
    """Note which of the claims is the one on trial, for each task whose breaker is half-open."""
    for claim in claims:
        if claim.task in tasks:
            values = {"task": claim.task, "job_id": claim.job_id, "attempt": claim.attempt}
            connection.rows("begin_trial", values)


def spend_retry(connection: Connection, task: str, *, now: int) -> tuple[int, Rate | None]:
    """Take one retry from the task's budget; give how much longer it has to wait, and the budget if there is one."""
    found = connection.rows("guard", {"task": task})
    if not found or found[0][7] is None:
        return 0, None
    *_, retries, retries_ms, spent_at, spent_until = found[0]
    budget = Rate(count=retries, per_ms=retries_ms)
    wait, spent_until = spend(budget, spent_at, spent_until, now)
    values = {"task": task, "now": now, "spent_until": spent_until, "postponed": int(wait > 0)}
    connection.rows("spend_retry", values)
    return wait, budget


def _breaker(connection: Connection, task: str) -> tuple[BreakerRule | None, int | None, Fence | None]:
    found = connection.rows("guard", {"task": task})
    if not found or found[0][0] is None:
        return None, None, None
    failure_rate, window_ms, min_calls, open_ms, opened_at, *trial = found[0][:7]
    rule = BreakerRule(failure_rate=failure_rate, window_ms=window_ms, min_calls=min_calls, open_ms=open_ms)
    return rule, opened_at, (trial[0], trial[1])


def _count(connection: Connection, task: str, rule: BreakerRule, now: int, **counts: int) -> None:
    values = {"task": task, "slice": now // rule.slice_ms, "succeeded": 0, "failed": 0}
    connection.rows("count_attempts", values | counts)
    connection.rows("forget_counts", {"task": task, "oldest": _oldest_slice(rule, now)})


def _oldest_slice(rule: BreakerRule, now: int) -> int:
    return now // rule.slice_ms - SLICES + 1


def _open(connection: Connection, task: str, rule: BreakerRule, now: int) -> None:
    connection.rows("open_breaker", {"task": task, "now": now, "open_until": now + rule.open_ms})
    _forget_counts(connection, task)


def _close(connection: Connection, task: str) -> bool:
    closed = bool(connection.rows("close_breaker", {"task": task}))
    _forget_counts(connection, task)
    return closed


def _forget_counts(connection: Connection, task: str) -> None:
    connection.rows("forget_counts", {"task": task, "oldest": 2**62})


def _columns(task: str, guard: Guard) -> dict[str, Any]:
    breaker, budget = guard.breaker, guard.budget
    return {
        "task": task,
        "failure_rate": breaker and breaker.failure_rate,
        "window_ms": breaker and breaker.window_ms,
        "min_calls": breaker and breaker.min_calls,
        "open_ms": breaker and breaker.open_ms,
        "retries": budget and budget.count,
        "retries_ms": budget and budget.per_ms,
    }


def _record(row: Row) -> GuardRecord:
    task, failure_rate, window_ms, min_calls, open_ms, opened_at, open_until, openings, trial, *budget = row
    retries, retries_ms, spent_at, spent_until, postponed = budget
    rule = None
    if failure_rate is not None:
        rule = BreakerRule(failure_rate=failure_rate, window_ms=window_ms, min_calls=min_calls, open_ms=open_ms)
    return GuardRecord(
        task=task,
        breaker=rule,
        opened_at=opened_at,
        open_until=open_until,
        openings=openings,
        trial=trial,
        budget=None if retries is None else Rate(count=retries, per_ms=retries_ms),
        spent_at=spent_at,
        spent_until=spent_until,
        postponed=postponed,
    )


def _same(record: GuardRecord | None, guard: Guard | None) -> bool:
    if record is None or guard is None:
        return record is None and guard is None
    return (record.breaker, record.budget) == (guard.breaker, guard.budget)
