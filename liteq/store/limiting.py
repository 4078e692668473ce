"""The part of the wall that is about limits: how they are set, declared and asked for.

What they keep from being claimed is the matter of ``Engine.claim``, and of every verb by which a job leaves its turn.
"""

from collections.abc import Mapping
from typing import Protocol

from liteq.model.limits import Limit, Limited, LimitRecord, Turn


class Limiting(Protocol):
    """The verbs and questions about limits; ``Engine`` has them all."""

    def put_limit(self, of: Limited, name: str, limit: Limit) -> None:
        """Limit a queue or task as an operator wants it; a side that is None stays as it was."""
        ...

    def remove_limit(self, of: Limited, name: str) -> bool:
        """Take back what an operator has set; false when nothing was. What a program declares holds again."""
        ...

    def declare_limits(self, limits: Mapping[str, Limit]) -> None:
        """Note, by the names of tasks, what a program declares of all of its tasks. Writes only what is new."""
        ...

    def limits(self) -> list[LimitRecord]:
        """Give the limits of queues, then of tasks, by name."""
        ...

    def turn_of(self, key: str) -> Turn:
        """Give how a concurrency key stands."""
        ...
