"""Named locks, as applications and tasks hold them: taken, waited for, lost and let go. The order is the engine's."""

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import PurePath
from types import TracebackType
from typing import Any, Protocol

import msgspec

from liteq.clock import Clock, to_datetime
from liteq.errors import ForkedClient, LiteqError, LockLost, LockTimeout, WrongState
from liteq.model.instants import to_ms
from liteq.model.job import Claim
from liteq.model.lock import LockWish
from liteq.model.names import check_name
from liteq.store.engine import Engine

PROBE_MS = 50
"""How often the first in line looks whether the holder still lives: a death commits nothing, and wakes nobody."""
LONGEST_LOOK_AWAY_MS = 500
LOOK_PAUSE_MS = 2
"""Between two looks: a stranger's busy commits must not keep a waiter busy too."""
WHAT_CHARACTERS = 120

log = logging.getLogger("liteq.lock")


class Attempt(Protocol):
    """What is asked of the run of a job that holds locks."""

    claim: Claim
    asked_to_stop: bool
    timed_out: bool
    lost: bool
    at_end: dict[object, Callable[[], None]]


class Who(msgspec.Struct, frozen=True):
    """Who wants a lock: the attempt of a job, else the asyncio task, else the thread. Each may enter its own again."""

    owner: Any
    what: str
    attempt: Attempt | None = None

    def wants_to_stop(self) -> bool:
        """Whether it is an attempt that should end rather than wait."""
        run = self.attempt
        return run is not None and (run.asked_to_stop or run.timed_out or run.lost)

    def wish(self, name: str) -> LockWish:
        if self.attempt is None:
            return LockWish(name=name, what=self.what)
        claim = self.attempt.claim
        return LockWish(name=name, what=self.what, job_id=claim.job_id, attempt=claim.attempt)


class HeldLock:
    """A lock that was taken. ``token`` fences: it rises by one with each taking of the name, and never falls."""

    def __init__(self, name: str, token: int, engine: Engine, who: Who) -> None:
        self.name = name
        self.token = token
        self.engine = engine
        self.who = who
        self.depth = 1
        """How many blocks of the same owner stand in one another."""

    def __repr__(self) -> str:
        return f"<HeldLock {self.name!r} token={self.token}>"

    @property
    def lost(self) -> bool:
        """Whether somebody has released it by hand meanwhile. Asks the file: about 20 microseconds."""
        return not self.engine.holds_lock(self.name, token=self.token)

    def check(self) -> None:
        """Raise LockLost if it is lost."""
        if self.lost:
            raise LockLost(f"lock {self.name!r} is no longer held under token {self.token}")


class _Stop:
    """A wish that a wait should end, said from another thread."""

    def __init__(self) -> None:
        self._said = threading.Event()
        self.wake: Callable[[], None] | None = None

    def say(self) -> None:
        self._said.set()
        wake = self.wake
        if wake is not None:
            wake()

    def was_said(self) -> bool:
        return self._said.is_set()

    def pause(self, milliseconds: int) -> None:
        if milliseconds > 0:
            self._said.wait(milliseconds / 1000)


class Lock:
    """A lock that is wanted: ``with`` or ``async with`` takes it, and gives a ``HeldLock``. May be used many times."""

    def __init__(self, name: str, timeout_ms: int | None, locks: "Locks", attempt: Attempt | None) -> None:
        self.name = name
        self._timeout_ms = timeout_ms
        self._locks = locks
        self._attempt = attempt
        self._entered: list[HeldLock] = []

    def __repr__(self) -> str:
        return f"<Lock {self.name!r}>"

    def __enter__(self) -> HeldLock:
        held = self._locks.take(self.name, self._timeout_ms, self._locks.who(self._attempt))
        self._entered.append(held)
        return held

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._locks.let_go(self._leave(), quiet=error is not None)

    async def __aenter__(self) -> HeldLock:
        from liteq.aside import aside  # noqa: PLC0415  it imports asyncio: 15 ms that only coroutines need

        stop, who = _Stop(), self._locks.who(self._attempt)
        held = await aside(
            lambda: self._locks.take(self.name, self._timeout_ms, who, stop),
            stop=stop.say,
            undo=lambda unwanted: self._locks.let_go(unwanted, quiet=True),
        )
        self._entered.append(held)
        return held

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        from liteq.aside import aside  # noqa: PLC0415  see above

        held, quiet = self._leave(), error is not None
        await aside(lambda: self._locks.let_go(held, quiet=quiet), stop=_nothing, undo=_forget)

    def _leave(self) -> HeldLock:
        """Give the innermost that the caller has entered."""
        owner = self._locks.who(self._attempt).owner
        # A block whose generator is closed elsewhere is left by another thread than it was entered by.
        held = next((one for one in reversed(self._entered) if one.who.owner is owner), self._entered[-1])
        self._entered.remove(held)
        return held


class Locks:
    """The locks of one app: who holds which here, and how one more is taken."""

    def __init__(self, engine: Callable[[], Engine], clock: Clock, running: Callable[[], Attempt | None]) -> None:
        self._engine = engine
        self._clock = clock
        self._running = running
        self._held: dict[tuple[int, str], HeldLock] = {}
        """By the identity of the owner, which lives as long as it is named here, and the lock's name."""
        self._counting = threading.Lock()

    def lock(self, name: str, *, timeout: timedelta | float | None, attempt: Attempt | None = None) -> Lock:
        """Give a lock to enter. Raises InvalidName and InvalidOption; waits for nothing yet."""
        limit = None if timeout is None else to_ms(timeout, what="timeout")
        return Lock(check_name(name, what="lock"), limit, self, attempt)

    def who(self, attempt: Attempt | None = None) -> Who:
        """Tell who is asking."""
        run = attempt or self._running()
        if run is not None:
            return Who(run, _printable(f"job {run.claim.job_id} of {run.claim.task}, attempt {run.claim.attempt}"), run)
        program = PurePath(sys.argv[0] if sys.argv else "").name or "python"
        task = _asyncio_task()
        if task is not None:
            return Who(task, _printable(f"{program}, coroutine {task.get_name()}"))
        thread = threading.current_thread()
        return Who(thread, _printable(f"{program}, thread {thread.name}"))

    def take(self, name: str, timeout_ms: int | None, who: Who, stop: _Stop | None = None) -> HeldLock:
        """Take the lock, once more where the owner holds it already.

        Raises LockTimeout when it is not free in time, or when the attempt that waits is to stop; LockLost when the
        owner's own was lost; WrongState inside a transaction.
        """
        engine = self._engine()
        if engine.in_transaction():
            raise WrongState(
                f"lock {name!r} cannot be taken inside a transaction: its holder could not let go meanwhile"
            )
        held = self._enter_again(engine, who, name)
        if held is not None:
            return held
        if who.attempt is not None:
            # Before the lock is taken: a time limit may interrupt the attempt at any moment from then on.
            who.attempt.at_end.setdefault(engine, partial(self._forget, who.attempt, engine))
        token = self._token(engine, who, name, timeout_ms, stop or _Stop())
        held = HeldLock(name, token, engine, who)
        self._held[(id(who.owner), name)] = held
        return held

    def _enter_again(self, engine: Engine, who: Who, name: str) -> HeldLock | None:
        """Give the lock that the owner holds already, if it does, as entered once more."""
        held = self._held.get((id(who.owner), name))
        if held is None or held.engine is not engine:
            return None
        held.check()
        with self._counting:
            # Coroutines of one attempt share it: another may have left it meanwhile.
            if held.depth == 0:
                return None
            held.depth += 1
        return held

    def let_go(self, held: HeldLock, *, quiet: bool = False) -> None:
        """Leave one block, and with the outermost the lock. A lost one is told of in the log.

        ``quiet``: an error is on its way already, and one of the file is only logged.
        """
        with self._counting:
            held.depth -= 1
            if held.depth > 0:
                return
        key = (id(held.who.owner), held.name)
        if self._held.get(key) is held:
            del self._held[key]
        try:
            if not held.engine.release_lock(held.name, token=held.token, now=self._clock.now_ms()):
                log.warning("lock %r was lost before it was released", held.name, extra={"token": held.token})
        except ForkedClient:
            # The child of a fork inside the block: the lock is its parent's.
            return
        except LiteqError:
            if not quiet:
                raise
            log.exception("lock %r could not be released; it falls with this process", held.name)

    def _forget(self, run: Attempt, engine: Engine) -> None:
        """Release what an attempt that has ended still holds."""
        for key, held in list(self._held.items()):
            if held.who.owner is run:
                del self._held[key]
        claim = run.claim
        left = engine.release_locks_of(job_id=claim.job_id, attempt=claim.attempt, now=self._clock.now_ms())
        for name in left:
            log.warning("job %d ended and left lock %r behind; it is released", claim.job_id, name)

    def _token(self, engine: Engine, who: Who, name: str, timeout_ms: int | None, stop: _Stop) -> int:
        wish = who.wish(name)
        token = engine.take_lock(wish, now=self._clock.now_ms()).token
        if token is None and timeout_ms != 0:
            token = self._wait(engine, who, wish, timeout_ms, stop)
        if token is None:
            raise self._too_late(engine, who, name, timeout_ms)
        return token

    def _wait(self, engine: Engine, who: Who, wish: LockWish, timeout_ms: int | None, stop: _Stop) -> int | None:
        """Stand in line; give the token, or None when the time is over or the wait is to end."""
        end = None if timeout_ms is None else self._clock.monotonic_ms() + timeout_ms
        watch = engine.watch()
        stop.wake = watch.wake
        token = place = None
        try:
            place = engine.join_line(wish, now=self._clock.now_ms())
            while True:
                looked_at = self._clock.monotonic_ms()
                answer = engine.take_lock(wish, place=place, now=self._clock.now_ms())
                token = answer.token
                left = LONGEST_LOOK_AWAY_MS if end is None else end - self._clock.monotonic_ms()
                if token is not None or left <= 0 or stop.was_said() or who.wants_to_stop():
                    return token
                watch.wait(min(left, PROBE_MS if answer.ahead == 0 else LONGEST_LOOK_AWAY_MS))
                stop.pause(LOOK_PAUSE_MS - (self._clock.monotonic_ms() - looked_at))
        finally:
            stop.wake = None
            watch.close()
            if place is not None and token is None:
                # What cannot be written now falls with this process; until then the turn passes after half a second.
                with suppress(LiteqError):
                    engine.leave_line(place)

    def _too_late(self, engine: Engine, who: Who, name: str, timeout_ms: int | None) -> LockTimeout:
        found = engine.get_lock(name)
        if who.wants_to_stop():
            why = "the job that waits for it is to stop"
        else:
            why = f"waited {(timeout_ms or 0) / 1000:g} s"
        if found is None:
            return LockTimeout(
                f"lock {name!r} is free by now, but was not in time: {why}", name=name, pid=None, what=None, since=None
            )
        since = to_datetime(found.taken_at)
        words = f"lock {name!r} is held by process {found.pid} ({found.what}) since {since.isoformat()}: {why}"
        return LockTimeout(words, name=name, pid=found.pid, what=found.what, since=since)


def _asyncio_task() -> Any:
    """Give the asyncio task that is asking, or None. A program that has not imported asyncio has none."""
    if "asyncio" not in sys.modules:
        return None
    import asyncio  # noqa: PLC0415  see above

    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _printable(text: str) -> str:
    """Give the text as it can be stored and shown: argv and names of threads may hold anything."""
    return "".join(one if one.isprintable() else "?" for one in text[:WHAT_CHARACTERS])


def _nothing() -> None:
    """A release is not to be stopped."""


def _forget(_value: object) -> None:
    """A release is not to be undone."""
