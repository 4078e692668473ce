"""Why a job does not start, and what becomes of it, in a line for a person."""

from liteq.clock import to_datetime
from liteq.model.job import JobRecord
from liteq.model.limits import LimitRecord
from liteq.model.rate import Rate, stored_rate
from liteq.model.transitions import FINISHED, State
from liteq.store.engine import Engine

PARENTS_NAMED = 5


def why_waiting(engine: Engine, record: JobRecord, *, now: int) -> str | None:
    """Give what holds up a waiting, blocked or ready job; None when only the jobs before it and busy workers do."""
    if record.state is State.WAITING:
        return _behind_parents(engine, record)
    if record.state is State.BLOCKED:
        return _behind_key(engine, record, now)
    if record.state is State.READY:
        return _behind_gate(engine, record, now)
    return None


def explain_job(engine: Engine, record: JobRecord, *, now: int) -> str:
    """Give how it stands with a job, whatever its state: what holds it up, where it runs, how it ended."""
    why = why_waiting(engine, record, now=now)
    if why is not None:
        return why
    if record.state is State.READY:
        return _before_workers(engine, record)
    if record.state is State.SCHEDULED:
        tried = f"attempt {record.attempt} is over; " if record.attempt else ""
        return f"{tried}it is due at {_instant(record.run_at)}"
    if record.state is State.RUNNING:
        return f"worker {record.owner} has had it since {_instant(record.claimed_at)}, attempt {record.attempt}"
    return record.reason or record.result_error or f"it has ended at {_instant(record.finished_at)}"


def _before_workers(engine: Engine, record: JobRecord) -> str:
    alive = [worker for worker in engine.workers() if worker.alive]
    if not alive:
        return "no worker is alive"
    serving = [worker for worker in alive if worker.queues is None or record.queue in worker.queues]
    if not serving:
        return f"no living worker serves queue {record.queue!r}"
    if not any(record.task in worker.tasks for worker in serving):
        return f"no living worker that serves queue {record.queue!r} knows task {record.task!r}"
    return "nothing holds it up: the next free worker takes it, after those before it"


def _instant(moment: int | None) -> str:
    return "an unknown time" if moment is None else to_datetime(moment).isoformat(timespec="seconds")


def _behind_parents(engine: Engine, record: JobRecord) -> str:
    left = [parent for parent in engine.parents(record.id) if parent.state not in FINISHED]
    if not left:
        # Of a large fan-out some are told a moment after their last parent has ended.
        return "its parents have ended; it is about to go on"
    named = ", ".join(f"{parent.id} ({parent.state.word})" for parent in left[:PARENTS_NAMED])
    more = f" and {len(left) - PARENTS_NAMED} more" if len(left) > PARENTS_NAMED else ""
    return f"it waits for job{'s' * (len(left) > 1)} {named}{more}"


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
    return next((why for why in found if why is not None), None) or _behind_breaker(engine, record, now)


def _behind_breaker(engine: Engine, record: JobRecord, now: int) -> str | None:
    guard = next((one for one in engine.guards() if one.task == record.task), None)
    if guard is None or guard.open_until is None:
        return None
    breaker = f"the breaker of task {record.task!r}"
    if guard.state(now) == "open":
        return f"{breaker} is open; one job is let through in {_seconds(guard.open_until - now)}"
    # Half-open, it lets the next job through, and holds up the others while that runs.
    return None if guard.trial is None else f"{breaker} is half-open: job {guard.trial} is on trial"


def _full(one: LimitRecord, now: int) -> str | None:
    limit = one.in_force
    if limit.max_running is not None and one.running >= limit.max_running:
        return f"{one.of} {one.name!r} has {one.running} of {limit.max_running}"
    if limit.rate is not None and one.next_at is not None and one.next_at > now:
        return f"{one.of} {one.name!r} {_spent(limit.rate, one.next_at, now)}"
    return None


def _spent(rate: Rate, next_at: int, now: int) -> str:
    return f"has spent its {rate}; the next may start in {_seconds(next_at - now)}"


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.3g} s"
