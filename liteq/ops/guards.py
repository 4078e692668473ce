"""How the breakers and retry budgets of tasks stand at one moment."""

import msgspec

from liteq.model.guard import BreakerState, GuardRecord
from liteq.store.engine import Engine


class GuardStats(msgspec.Struct, frozen=True, kw_only=True):
    """What guards one task. Instants and durations are in milliseconds; None where it has no breaker, or no budget.

    ``trial`` is the job that runs on trial. ``retry_wait_ms`` is how much longer than its backoff a retry would wait
    now; ``postponed`` counts those that did.
    """

    task: str
    breaker: BreakerState | None
    failure_rate: float | None = None
    window_ms: int | None = None
    min_calls: int | None = None
    open_ms: int | None = None
    opened_at: int | None = None
    open_until: int | None = None
    openings: int = 0
    trial: int | None = None
    retry_budget: str | None = None
    retry_wait_ms: int = 0
    postponed: int = 0


def guard_stats(engine: Engine, *, now: int) -> list[GuardStats]:
    """Give how each guarded task stands, by name."""
    return [_stats(record, now) for record in engine.guards()]


def _stats(record: GuardRecord, now: int) -> GuardStats:
    rule = record.breaker
    return GuardStats(
        task=record.task,
        breaker=None if rule is None else record.state(now),
        **({} if rule is None else msgspec.structs.asdict(rule)),
        opened_at=record.opened_at,
        open_until=record.open_until,
        openings=record.openings,
        trial=record.trial,
        retry_budget=None if record.budget is None else str(record.budget),
        retry_wait_ms=record.retry_wait_ms(now),
        postponed=record.postponed,
    )
