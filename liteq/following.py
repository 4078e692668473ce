"""What others see of a job while it runs: how far it is, and the parts of its result as they come."""

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import msgspec

from liteq.clock import Clock, to_datetime
from liteq.errors import InvalidOption, LiteqError, WaitTimeout
from liteq.model.instants import to_ms
from liteq.model.keeping import Number, PartRecord, ProgressRecord
from liteq.model.names import shown
from liteq.model.payload import decode, decoder
from liteq.store.engine import Engine
from liteq.waiting import LONGEST_LOOK_AWAY_MS

R = TypeVar("R")

LOOK_PAUSE_MS = 10
PARTS_AT_ONCE = 500


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The last that a job has said about how far it is: in which attempt, and when that was written down, UTC."""

    done: Number
    total: Number | None
    note: str | None
    attempt: int
    updated_at: datetime

    @property
    def fraction(self) -> float | None:
        """How much is done, from 0 to 1; None where the total is not known."""
        if self.total is None:
            return None
        return self.done / self.total if self.total else 1.0


def progress_of(record: ProgressRecord) -> Progress:
    return Progress(
        done=record.done,
        total=record.total,
        note=record.note,
        attempt=record.attempt,
        updated_at=to_datetime(record.updated_at),
    )


class Part:
    """One part of a job's stream."""

    __slots__ = ("_record",)

    def __init__(self, record: PartRecord) -> None:
        self._record = record

    def __repr__(self) -> str:
        return f"<Part {self.seq} of job {self._record.job_id}>"

    @property
    def seq(self) -> int:
        """Its number, from 1, through all attempts of the job; ``job.stream(after=seq)`` goes on behind it."""
        return self._record.seq

    @property
    def attempt(self) -> int:
        """Which attempt published it. Where this rises, an attempt has begun anew or gone on, as the task does."""
        return self._record.attempt

    @property
    def published_at(self) -> datetime:
        return to_datetime(self._record.published_at)

    @property
    def value(self) -> Any:
        """The value as plain JSON. Raises Undecodable."""
        return decode(self._record.value, decoder(Any), what="part")

    def value_as(self, kind: type[R] | Any) -> R:
        """Give the value in the type that is wanted. Raises Undecodable where it does not fit."""
        return cast("R", decode(self._record.value, decoder(kind), what="part"))


class Followed(ABC):
    """The part of a job's handle by which others follow it."""

    id: int
    _engine: Engine
    _clock: Clock

    @abstractmethod
    def _ended(self) -> bool:
        """Read the job anew and tell whether it has finished. Raises JobNotFound."""

    @abstractmethod
    def _refuse_to_follow(self) -> None:
        """Raise InvalidOption where following could wait for ever."""

    @property
    def progress(self) -> Progress | None:
        """The last that it has said about how far it is, read anew each time; None when it never did."""
        record = self._engine.progress([self.id]).get(self.id)
        return None if record is None else progress_of(record)

    def parts(self, *, after: int = 0) -> list[Part]:
        """Give the parts of its stream that are there by now, behind the ``seq`` given."""
        found: list[Part] = []
        while records := self._engine.parts(self.id, after=after, limit=PARTS_AT_ONCE):
            after = records[-1].seq
            found += [Part(record) for record in records]
        return found

    def stream(self, *, after: int = 0, timeout: timedelta | float | None = None) -> Generator[Part]:
        """Give the parts that the job publishes, as they come, and end when it has finished and all were given.

        ``after`` is the ``seq`` of the last part that is known already. Parts of earlier attempts are given too.
        Raises WaitTimeout when the job has not finished in time, JobNotFound when it is deleted meanwhile, and inside a
        task, while the job has not finished, InvalidOption: see ``wait``.
        """
        return _follow(self._follower(after, timeout))

    def astream(self, *, after: int = 0, timeout: timedelta | float | None = None) -> AsyncGenerator[Part]:
        """As ``stream``, for coroutines: ``async for part in job.astream()``."""
        return _follow_async(self._follower(after, timeout))

    def _follower(self, after: int, timeout: timedelta | float | None) -> "Callable[[], _Follower]":
        limit = None if timeout is None else to_ms(timeout, what="timeout")
        if not 0 <= after < 2**63:
            raise InvalidOption(f"after must be the seq of a part, or 0, not {shown(after)}")
        self._refuse_to_follow()
        return lambda: _Follower(self.id, self._engine, self._clock, ended=self._ended, after=after, limit_ms=limit)


class _Follower:
    """One reader of a job's stream. ``ended`` reads the job anew and tells whether it has finished."""

    def __init__(
        self, job_id: int, engine: Engine, clock: Clock, *, ended: Callable[[], bool], after: int, limit_ms: int | None
    ) -> None:
        self._job_id = job_id
        self._engine = engine
        self._clock = clock
        self._ended = ended
        self._after = after
        self._limit_ms = limit_ms
        self._begun = clock.monotonic_ms()
        self._watch = engine.watch()
        self._stopped = False

    def next(self) -> list[Part] | None:
        """Wait for more parts and give them; None when the job has finished and all were given.

        Raises WaitTimeout when the job has not finished in time, JobNotFound when it was deleted meanwhile.
        """
        while not self._stopped:
            # Asked first: what an ended job has published can all be seen.
            ended = self._ended()
            records = self._engine.parts(self._job_id, after=self._after, limit=PARTS_AT_ONCE)
            if records:
                self._after = records[-1].seq
                return [Part(record) for record in records]
            if ended:
                return None
            self._wait()
        return None

    def stop(self) -> None:
        """End the wait from another thread."""
        self._stopped = True
        self._watch.wake()

    def close(self) -> None:
        self._watch.close()

    def _wait(self) -> None:
        looked_at = self._clock.monotonic_ms()
        if self._watch.wait(self._pause_ms()):
            # Somebody's busy commits must not keep a reader busy too.
            time.sleep(max(0, LOOK_PAUSE_MS - (self._clock.monotonic_ms() - looked_at)) / 1000)

    def _pause_ms(self) -> int:
        if self._limit_ms is None:
            return LONGEST_LOOK_AWAY_MS
        left = self._limit_ms - (self._clock.monotonic_ms() - self._begun)
        if left <= 0:
            raise WaitTimeout(f"job {self._job_id} has not finished after {self._limit_ms / 1000:g} s")
        return min(LONGEST_LOOK_AWAY_MS, left)


def _follow(open_follower: Callable[[], _Follower]) -> Generator[Part]:
    """Give the parts as they come."""
    follower = open_follower()
    try:
        while (parts := follower.next()) is not None:
            yield from parts
    finally:
        follower.close()


async def _follow_async(open_follower: Callable[[], _Follower]) -> AsyncGenerator[Part]:
    """Give the parts as they come; a thread waits for them meanwhile, and the loop goes on."""
    import asyncio  # noqa: PLC0415  15 ms that only coroutines need

    follower = await asyncio.to_thread(open_follower)
    try:
        while (parts := await _next_in_thread(follower)) is not None:
            for part in parts:
                yield part
    finally:
        follower.close()


async def _next_in_thread(follower: _Follower) -> list[Part] | None:
    import asyncio  # noqa: PLC0415  see above

    look = asyncio.ensure_future(asyncio.to_thread(follower.next))
    try:
        return await asyncio.shield(look)
    except asyncio.CancelledError:
        # The thread still waits on what is about to be closed.
        follower.stop()
        with suppress(LiteqError):
            await look
        raise
