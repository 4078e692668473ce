"""The supervisor's hold on the file: opened when a worker has said where it is, and anew when it is there no more."""

from collections.abc import Callable
from contextlib import suppress

from liteq.errors import LiteqError
from liteq.store.engine import Engine
from liteq.worker.leash import Hello

REOPEN_EVERY_MS = 2_000


class Ledger:
    """One engine at a time, on the file of whoever became ready last."""

    def __init__(self, open_engine: Callable[[Hello], Engine]) -> None:
        self._open_engine = open_engine
        self._wanted: Hello | None = None
        self._engine: Engine | None = None
        self._reopen_at = 0

    def learn(self, hello: Hello) -> None:
        """Take in where the file is; new code may have moved it."""
        known = self._wanted
        if known is not None and (known.path, known.opening) != (hello.path, hello.opening):
            self.close()
        self._wanted = hello

    def engine(self) -> Engine | None:
        """Give the engine, None while nobody has said on which file. Raises what is wrong with the file."""
        if self._engine is None and self._wanted is not None:
            self._engine = self._open_engine(self._wanted)
        return self._engine

    def doubt(self, now: int) -> None:
        """Open the file anew, not too often: what was open may be another than the workers have."""
        if now >= self._reopen_at:
            self._reopen_at = now + REOPEN_EVERY_MS
            self.close()

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            with suppress(LiteqError):
                engine.close()
