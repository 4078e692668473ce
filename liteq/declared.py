"""What is written beside a task: the options of its jobs, and what guards all of them together."""

from collections.abc import Mapping
from typing import Any, cast

from liteq.model.guard import Breaker, Guard
from liteq.model.rate import read_rate
from liteq.task import OF_TASKS, Options, Settings


class TaskSettings(Settings, total=False):
    """The options of a job, which are the defaults here, and those of the task as a whole."""

    breaker: Breaker
    retry_budget: str


def declared(settings: TaskSettings) -> tuple[Options, Guard | None]:
    """Give the options of the task's jobs, and what guards them. Raises InvalidName, InvalidOption, TypeError."""
    of_jobs = cast("Settings", {name: value for name, value in settings.items() if name not in OF_TASKS})
    return Options().with_settings(of_jobs), _guard(settings)


def _guard(settings: Mapping[str, Any]) -> Guard | None:
    breaker, budget = settings.get("breaker"), settings.get("retry_budget")
    if breaker is None and budget is None:
        return None
    if breaker is not None and not isinstance(breaker, Breaker):
        raise TypeError(f"breaker must be a Breaker, not {type(breaker).__name__}")
    return Guard(
        breaker=None if breaker is None else breaker.rule(),
        budget=None if budget is None else read_rate(budget, what="retry_budget"),
    )
