"""Which lanes a claim has to leave alone, and what wants to be told of what it takes: all in one look at the file."""

from collections.abc import Iterable
from typing import Self

import msgspec

from liteq.model.guard import is_open
from liteq.store.sqlite.connection import Row


class LaneRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of all queues and tasks that have any, as they stand at one moment.

    ``counted`` are the queues whose waiting jobs are counted, ``guarded`` all tasks with a breaker or a budget; of
    these ``shut`` may not be claimed now, and of each in ``on_trial`` one job may.
    """

    paused: frozenset[str]
    counted: frozenset[str]
    guarded: frozenset[str]
    shut: frozenset[str]
    on_trial: frozenset[str]

    @classmethod
    def of(cls, rows: Iterable[Row], now: int) -> Self:
        """Give the rules that the rows of ``lane_rules`` mean at the moment."""
        paused, counted, guarded, shut, on_trial = (set[str]() for _ in range(5))
        for queue, task, is_paused, is_counted, open_until, open_ms, trial_runs in rows:
            if task is None:
                paused.update([queue] * is_paused)
                counted.update([queue] * is_counted)
                continue
            guarded.add(task)
            if open_until is not None:
                closed = trial_runs or is_open(open_until, open_ms, now)
                (shut if closed else on_trial).add(task)
        sets = (frozenset(one) for one in (paused, counted, guarded, shut, on_trial))
        return cls(**dict(zip(cls.__struct_fields__, sets, strict=True)))

    def closes(self, queue: str, task: str) -> bool:
        """Tell whether nothing of the lane may be claimed."""
        return queue in self.paused or task in self.shut


NO_RULES = LaneRules.of((), 0)
"""Most files have none: made once, for every claim."""
