"""The part of an app that gives transactions."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager

from liteq.clock import Clock
from liteq.store.engine import Engine
from liteq.transaction import Transaction, Turns

HELD_TOO_LONG_MS = 100

log = logging.getLogger("liteq.transaction")


class Transacting(ABC):
    """The part of ``Liteq`` that knows transactions."""

    clock: Clock

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """What keeps the jobs."""

    @abstractmethod
    def _forget_stored(self) -> None:
        """Take nothing for stored any more: it may have been undone."""

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """Make one commit of a block: the application's own statements, and what its thread does to jobs meanwhile.

        ``tx.execute("INSERT INTO orders VALUES (?)", (42,)); ship.enqueue(42)``: both are stored when the block has
        ended, on the disk where ``durability`` says so, and neither if it raises; the exception goes on. Tables of the
        application need ``Liteq(path, shared=True)``. A block within a block is a savepoint.

        The block belongs to its thread, and keeps all other writers of the file waiting: one that takes more than
        100 ms is told of in the log. It must not wait for jobs, nor ``await``: InvalidOption. Raises RolledBack where
        the transaction was lost before the end, ConstraintFailed where a deferred constraint does not hold there.
        """
        engine = self.engine
        nested = engine.in_transaction()
        begun = ended = 0
        try:
            with engine.application_transaction() as statements:
                begun = self.clock.monotonic_ms()
                try:
                    yield from _run(Transaction(statements))
                finally:
                    ended = self.clock.monotonic_ms()
        except BaseException:
            self._forget_stored()
            raise
        finally:
            # Told when the lock is free again, and of the outermost block alone.
            if ended - begun > HELD_TOO_LONG_MS and not nested:
                held = {"held_ms": ended - begun}
                log.warning("a transaction kept all other writers waiting for %d ms", ended - begun, extra=held)


def _run(tx: Transaction) -> Generator[Transaction]:
    turns = Turns()
    try:
        yield tx
        turns.refuse()
    finally:
        turns.stop()
        tx.end()
