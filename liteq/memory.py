"""What one attempt keeps for the next, and what it has said that is not written down yet.

Asks the file only when the task asks. What must last is on the disk when the call returns; what is only to be seen,
progress and parts of the stream, waits for the worker's side thread, which writes for all of its jobs at once.
"""

import threading
from collections import deque
from collections.abc import Callable

from liteq.clock import Clock
from liteq.errors import InvalidOption, LeaseLost, StreamFull
from liteq.model.job import Claim
from liteq.model.keeping import MAX_PARTS, MAX_STREAM_BYTES, NewPart, ProgressNote, Remark
from liteq.model.payload import encode
from liteq.store.engine import Engine


class Memory:
    """One attempt's words and keepsakes. A task may use it from threads of its own.

    Whoever writes words down holds ``turn``, which all memories of a worker share; it is taken before the file's lock.
    """

    def __init__(self, claim: Claim, engine: Engine, clock: Clock, *, max_bytes: int, turn: threading.Lock) -> None:
        self.claim = claim
        self.lost = False
        """Whether a word was refused because the job is another attempt's."""
        self.progress: ProgressNote | None = None
        self._written: ProgressNote | None = None
        self._being_written: ProgressNote | None = None
        self._waiting: deque[NewPart] = deque()
        self._taken: list[NewPart] = []
        self._parts = 0
        self._bytes = 0
        self._steps: set[str] = set()
        self._turn = turn
        self._engine = engine
        self._clock = clock
        self._max_bytes = max_bytes

    # Said

    def publish(self, value: object) -> None:
        """Put a value at the end of the stream. The payload errors, StreamFull, LeaseLost once that is known."""
        data = encode(value, what="part", max_bytes=self._max_bytes)
        if self.lost:
            raise LeaseLost(f"job {self.claim.job_id} is no longer this worker's (attempt {self.claim.attempt})")
        if self._parts >= MAX_PARTS or self._bytes + len(data) > MAX_STREAM_BYTES:
            raise StreamFull(
                f"job {self.claim.job_id} has published {self._parts:,} parts, {self._bytes:,} bytes, in this attempt; "
                f"a stream holds {MAX_PARTS:,} parts and {MAX_STREAM_BYTES:,} bytes"
            )
        self._parts += 1
        self._bytes += len(data)
        self._waiting.append(NewPart(data, self._clock.now_ms()))

    def unwritten(self) -> bool:
        """Tell whether something was said that is not known to be written."""
        return bool(self._waiting or self._taken) or self.progress is not self._written

    def take(self) -> Remark | None:
        """Give what is not written yet, None when all is. Wants the turn."""
        while self._waiting:
            self._taken.append(self._waiting.popleft())
        progress = self.progress
        if progress is self._written and not self._taken:
            return None
        self._being_written = progress
        told = None if progress is self._written else progress
        return Remark(claim=self.claim, progress=told, parts=tuple(self._taken))

    def written(self) -> None:
        """Note that what was last taken is written, or was refused for good."""
        self._written = self._being_written
        self._taken.clear()

    # Kept

    def save(self, value: object) -> None:
        """Replace the job's checkpoint; on the disk when this returns. The payload errors, LeaseLost."""
        data = encode(value, what="checkpoint", max_bytes=self._max_bytes)
        now = self._clock.now_ms()
        self._keep(lambda: self._engine.save_checkpoint(self.claim, value=data, now=now), now)

    def saved(self) -> bytes | None:
        return self._engine.checkpoint(self.claim.job_id)

    def begin_step(self, name: str) -> bytes | None:
        """Give the result of a step that is done, None where it is to be run now.

        Raises InvalidOption for a name that this attempt has used: two steps would share one result.
        """
        if name in self._steps:
            raise InvalidOption(f"step {name!r} was taken already in this attempt; each step needs a name of its own")
        self._steps.add(name)
        return self._engine.step_result(self.claim.job_id, name)

    def encoded_result(self, name: str, value: object) -> bytes:
        """Give a step's result as JSON. Raises the payload errors."""
        return encode(value, what=f"step {name!r}", max_bytes=self._max_bytes)

    def finish_step(self, name: str, result: bytes) -> None:
        """Have the step's result on the disk when this returns. LeaseLost when late."""
        now = self._clock.now_ms()
        self._keep(lambda: self._engine.finish_step(self.claim, name=name, result=result, now=now), now)

    def _keep(self, write: Callable[[], None], now: int) -> None:
        """Write, and in the same commit what was said before: an attempt that goes on from here says it no more."""
        # Who has the file's lock already must not wait for the turn: its holder may be waiting for the file.
        if self._engine.in_transaction() or not self.unwritten():
            write()
            return
        with self._turn:
            said, before = self.take(), self._written
            try:
                with self._engine.transaction():
                    if said is not None:
                        self._engine.note([said], now=now)
                    write()
                    # Inside: a time limit may strike as soon as the engine is left, and nothing may be said twice.
                    self.written()
            except BaseException:
                if said is not None:
                    self._written = before
                    self._taken = [*said.parts, *self._taken]
                raise

    def leave_step(self, name: str) -> None:
        """The step raised: it may be tried again, in this attempt too."""
        self._steps.discard(name)

    # Stored with the job

    def tags(self) -> tuple[str, ...]:
        return self._engine.tags(self.claim.job_id)

    def metadata(self) -> bytes | None:
        return self._engine.metadata(self.claim.job_id)
