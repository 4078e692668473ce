"""Why a job does not start, in a line for a person."""

from liteq.model.job import JobRecord
from liteq.model.limits import LimitRecord
from liteq.model.rate import Rate, stored_rate
from liteq.model.transitions import State
from liteq.store.engine import Engine


def why_waiting(engine: Engine, record: JobRecord, *, now: int) -> str | None:
    """Give what holds up a blocked or ready job; None when nothing does but the jobs before it and free workers."""
    if record.state is State.BLOCKED:
        return _behind_key(engine, record, now)
    if record.state is State.READY:
        return _behind_gate(engine, record, now)
    return None


def _behind_key(engine: Engine, record: JobRecord, now: int) -> str:
    key = record.concurrency_key or ""
    turn, most = engine.turn_of(key), record.key_max_running or 1
    in_turn = turn.running + turn.ready
    if in_turn >= most:
        jobs = ", ".join(map(str, turn.holders)) + (", …" if in_turn > len(turn.holders) else "")
        waiting = f", {turn.ready} of them not started yet" if turn.ready else ""
        return f"key {key!r} has {in_turn} of {most} (job{'s' * (in_turn > 1)} {jobs}){waiting}"
    rate = None if record.key_rate is None else stored_rate(record.key_rate)
    if rate is not None and turn.next_at is not None and turn.next_at > now:
        return f"key {key!r} {_spent(rate, turn.next_at, now)}"
    return f"other jobs of key {key!r} come first"


def _behind_gate(engine: Engine, record: JobRecord, now: int) -> str | None:
    for queue in engine.queues():
        if queue.name == record.queue and queue.paused_at is not None:
            return f"queue {record.queue!r} is paused"
    names = {("queue", record.queue), ("task", record.task)}
    found = (_full(one, now) for one in engine.limits() if (one.of, one.name) in names)
    return next((why for why in found if why is not None), None)


def _full(one: LimitRecord, now: int) -> str | None:
    limit = one.in_force
    if limit.max_running is not None and one.running >= limit.max_running:
        return f"{one.of} {one.name!r} has {one.running} of {limit.max_running}"
    if limit.rate is not None and one.next_at is not None and one.next_at > now:
        return f"{one.of} {one.name!r} {_spent(limit.rate, one.next_at, now)}"
    return None


def _spent(rate: Rate, next_at: int, now: int) -> str:
    return f"has spent its {rate}; the next may start in {(next_at - now) / 1000:.3g} s"
