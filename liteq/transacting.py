"""The part of an app that gives transactions."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager

from liteq.clock import Clock
from liteq.errors import InvalidOption
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
        try:
            with engine.application_transaction() as statements:
                yield from self._block(Transaction(statements), nested=nested)
        except BaseException:
            self._forget_stored()
            raise

    def _block(self, tx: Transaction, *, nested: bool) -> Generator[Transaction]:
        begun, turns = self.clock.monotonic_ms(), Turns()
        try:
            yield tx
            if turns.turned:
                raise InvalidOption(
                    "a transaction's block must not await: other coroutines of its thread have written into it. "
                    "It was rolled back; run the block in a thread, by asyncio.to_thread"
                )
        finally:
            turns.stop()
            tx.end()
            held = self.clock.monotonic_ms() - begun
            if held > HELD_TOO_LONG_MS and not nested:
                log.warning("a transaction kept all other writers waiting for %d ms", held, extra={"held_ms": held})
