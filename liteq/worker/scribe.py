"""Writes down what attempts say while they run, for all of a worker's jobs in one commit; and their last words."""

import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

from liteq.clock import Clock
from liteq.job import Run
from liteq.memory import Memory
from liteq.store.engine import Engine


class Scribe:
    """One writes at a time, until the commit is made: nobody's words can come after the report of their end.

    The turn is taken before the file's own lock, never after it.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self.turn = threading.Lock()

    def write(self, runs: Iterable[Run]) -> None:
        """Write what the runs have said since, if anything. What cannot be written waits for the next time."""
        spoke = [(run, run.memory) for run in runs if run.memory is not None and run.memory.unwritten()]
        memories = [memory for _, memory in spoke]
        with self.last_words(memories):
            self.take_down(memories)
        for run, memory in spoke:
            if memory.lost:
                run.lost = True

    @contextmanager
    def last_words(self, memories: Sequence[Memory]) -> Generator[None]:
        """Hold the turn over the block that takes down and reports; when it fails, nothing counts as written."""
        if not memories:
            yield
            return
        with self.turn:
            yield
            for memory in memories:
                memory.written()

    def take_down(self, memories: Sequence[Memory]) -> None:
        """Write what is not written yet, inside ``last_words``. What comes too late is dropped, and so noted."""
        remarks = [remark for memory in memories if (remark := memory.take()) is not None]
        if not remarks:
            return
        lost = {(claim.job_id, claim.attempt) for claim in self._engine.note(remarks, now=self._clock.now_ms())}
        for memory in memories:
            memory.lost = memory.lost or (memory.claim.job_id, memory.claim.attempt) in lost
