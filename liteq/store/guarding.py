"""The part of the engine's wall about breakers and retry budgets."""

from collections.abc import Mapping
from typing import Protocol

from liteq.model.guard import Guard, GuardRecord


class GuardVerbs(Protocol):
    """What guards tasks is kept in the file: every engine's claims and reports obey it, whoever stored it."""

    def put_guards(self, guards: Mapping[str, Guard | None]) -> None:
        """Store what guards each of the tasks, None for nothing. How a breaker stands is kept where one stays."""
        ...

    def guards(self) -> list[GuardRecord]:
        """Give what guards tasks, by their names."""
        ...

    def reset_breaker(self, task: str) -> bool:
        """Close a task's breaker and forget what it has counted; false when it was closed."""
        ...
