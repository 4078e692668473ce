"""The part of the engine's wall by which an application writes tables of its own in the engine's commit."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Bindings = Sequence[Any] | Mapping[str, Any]
"""The values of a statement, by position or by name."""


class Statements(Protocol):
    """Runs an application's statements in the transaction that is open, one at a time, by the thread that opened it.

    They are in the engine's own language: here alone something crosses the wall that another engine may not understand.
    One that fails has done nothing, and the transaction goes on unless RolledBack says otherwise. Raises
    ConstraintFailed, StatementRefused for one that would reach beyond the application's own tables, StatementFailed for
    any other that cannot be run, InvalidOption in another thread, and whatever a write raises.
    """

    def execute(self, sql: str, bindings: Bindings) -> list[tuple[Any, ...]]:
        """Run the statement to its end and give all of its rows."""
        ...

    def execute_many(self, sql: str, rows: Iterable[Bindings]) -> list[tuple[Any, ...]]:
        """Run the statement once for each row, all or none, and give all rows that come back."""
        ...


class Transacting(Protocol):
    """Transactions, and whose code runs in them."""

    def transaction(self) -> AbstractContextManager[None]:
        """Run several verbs as one commit: all or nothing. Nests by joining. No user code inside."""
        ...

    def application_transaction(self) -> AbstractContextManager[Statements]:
        """Run an application's block as one commit, its statements and the verbs that its thread calls.

        In a block of the same thread it is a part that can fail alone: what it wrote is undone, the outer one goes on.
        Nothing in the block becomes visible before its end, and RolledBack is raised there if it was lost meanwhile.
        Raises ConstraintFailed where a deferred constraint does not hold at the end.
        """
        ...

    def in_transaction(self) -> bool:
        """Tell whether the calling thread has a transaction open, its own or the engine's."""
        ...

    def busy_here(self) -> bool:
        """Tell whether the calling thread is inside the engine, where nothing may interrupt it.

        The code of an application's block is outside; what it calls of the engine is not.
        """
        ...
