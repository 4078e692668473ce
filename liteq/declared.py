"""What is written beside a task: the options of its jobs, and what holds for all of them together."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from liteq.errors import InvalidOption
from liteq.model.guard import Breaker, Guard
from liteq.model.limits import Limit, limit_of
from liteq.model.rate import Rate, check_rate
from liteq.options import OF_TASKS, Options, Settings


class TaskSettings(Settings, total=False):
    """The options of a job, which are the defaults here, and those of the task as a whole."""

    max_running: int | None
    rate: Rate | str | None
    breaker: Breaker | None
    retry_budget: Rate | str | None


class Declared(msgspec.Struct, frozen=True):
    """The options of a task's jobs, how many of them may run, and what guards them."""

    options: Options
    limit: Limit
    guard: Guard | None


def declared(settings: TaskSettings) -> Declared:
    """Give what the settings mean. Raises InvalidName, InvalidOption, TypeError."""
    of_jobs = cast("Settings", {name: value for name, value in settings.items() if name not in OF_TASKS})
    limit = limit_of(settings.get("max_running"), settings.get("rate"))
    return Declared(Options().with_settings(of_jobs), limit, _guard(settings))


def _guard(settings: Mapping[str, Any]) -> Guard | None:
    breaker, budget = settings.get("breaker"), settings.get("retry_budget")
    if breaker is None and budget is None:
        return None
    if breaker is not None and not isinstance(breaker, Breaker):
        raise TypeError(f"breaker must be a Breaker, not {type(breaker).__name__}")
    return Guard(
        breaker=None if breaker is None else breaker.rule(),
        budget=None if budget is None else _budget(budget),
    )


def _budget(value: object) -> Rate:
    try:
        rate = check_rate(value, what="retry_budget")
    except InvalidOption as error:
        raise InvalidOption(f"retry_budget: {error}") from error
    if rate.burst > 1:
        raise InvalidOption("a retry_budget has no burst: all of it may be spent at once, and it fills evenly")
    return rate
