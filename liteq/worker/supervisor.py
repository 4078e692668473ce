"""Keeps worker processes alive: starts them by exec, restarts the dead, stops all, and judges who hangs.

It imports no code of the user's: the workers load the application, and say on the line where its file is. So whatever a
task does to its process, the one who judges it is another.
"""

import os
import select
import signal
import socket
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from liteq.clock import Clock
from liteq.errors import LiteqError
from liteq.model.fleet import Death, WorkerRecord
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Engine
from liteq.worker.child import Child
from liteq.worker.judging import Judging
from liteq.worker.leash import Hello
from liteq.worker.ledger import Ledger
from liteq.worker.machine import Notifier, reap_orphans
from liteq.worker.recycling import NEW_CODE, Recycling
from liteq.worker.reloading import SourceWatch
from liteq.worker.scaling import SPARE_AFTER_MS, Scaling
from liteq.worker.seat import Seat
from liteq.worker.telling import Event, Teller

LOOK_EVERY_MS = 500
TRY_AGAIN_MS = 500
CANNOT_BEGIN = 1
NEVER_READY = Death(cause="its worker was killed, for it did not become ready")
DID_NOT_STOP = Death(cause="its worker was killed, for it did not stop when asked", outcome=Outcome.RELEASED)


class SupervisorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many processes, what they get to stop in, and when one is replaced. Sizes in bytes.

    With ``most_processes`` there are between ``processes`` and so many, as the backlog wants; one that has been
    idle for ``spare_after_ms`` is ended. ``reload_on`` is a folder whose changed source files replace all workers.
    """

    processes: int = 1
    most_processes: int | None = None
    spare_after_ms: int = SPARE_AFTER_MS
    reload_on: Path | None = None
    burst: bool = False
    start_ms: int = 300_000
    """What a process gets to load the application and become ready."""
    grace_ms: int = 30_000
    max_memory: int | None = None
    max_time_ms: int | None = None
    child_stdout: int | None = None
    """The descriptor that takes what tasks print, None for this process's own."""


class Supervisor:
    """Runs ``command`` in as many processes as wanted. Lives in the main thread, which alone hears signals."""

    def __init__(
        self,
        command: Sequence[str],
        open_engine: Callable[[Hello], Engine],
        clock: Clock,
        settings: SupervisorSettings,
        tell: Callable[[Event], None],
    ) -> None:
        self.totals: Counter[str] = Counter()
        """How many jobs ended in each way, of the workers that could say so."""
        self._command = command
        self._clock = clock
        self._settings = settings
        self._teller = Teller(tell, clock)
        self._ledger = Ledger(open_engine)
        self._scaling = Scaling(
            fewest=settings.processes,
            most=settings.most_processes or settings.processes,
            spare_after_ms=settings.spare_after_ms,
        )
        self._seats = [
            Seat(number, start_at=0 if number <= self._scaling.fewest else None)
            for number in range(1, self._scaling.most + 1)
        ]
        self._sources = None if settings.reload_on is None else SourceWatch(settings.reload_on)
        self._judging = Judging(grace_ms=settings.grace_ms, tell=self._say_of)
        self._recycling = Recycling(max_memory=settings.max_memory, max_time_ms=settings.max_time_ms)
        self._notifier = Notifier(dict(os.environ))
        self._deaths: dict[int, Death] = {}
        self._settle_at = 0
        self._look_at = 0
        self._wishes = 0
        self._obeyed = 0
        self._reload_wished = False
        self._ever_ready = False
        self._told_ready = False
        self._code = 0
        self._ear, self._mouth = socket.socketpair()

    def run(self) -> int:
        """Supervise until stopped, or until a burst is over; give 0, or the code of workers that could never start."""
        try:
            with self._signals():
                while any(seat.is_wanted for seat in self._seats):
                    # With nobody left to tell, the workers are not left to themselves: all is stopped in order first.
                    self._wishes = self._wishes or int(self._teller.deaf is not None)
                    self._obey()
                    self._fill()
                    self._wait()
                    self._reap()
                    self._settle()
                    self._look()
        finally:
            self._ledger.close()
        if self._teller.deaf is not None:
            raise self._teller.deaf
        return self._code

    def _fill(self) -> None:
        now = self._clock.monotonic_ms()
        for seat in self._seats:
            if self._may_start() and seat.is_due(now):
                self._start(seat, now)

    def _may_start(self) -> bool:
        # What keeps the first one from starting would keep all, and should be said once.
        return self._ever_ready or all(seat.child is None for seat in self._seats)

    def _start(self, seat: Seat, now: int) -> None:
        try:
            seat.fill(Child(self._command, self._clock, stdout=self._settings.child_stdout))
        except OSError as error:
            # Too many processes or files for now: those that run are no worse for it.
            seat.refill_later(now, lived_ms=0)
            self._say("trouble", f"no worker process can be started: {error}", seat)
        else:
            self._say("started", "a worker process was started", seat)

    def _wait(self) -> None:
        now = self._clock.monotonic_ms()
        moments = [now + LOOK_EVERY_MS]
        if self._may_start():
            moments += [seat.start_at for seat in self._seats if seat.start_at is not None]
        # Not select(), which refuses descriptors above 1023.
        poll = select.poll()
        poll.register(self._ear, select.POLLIN)
        for seat in self._seats:
            if seat.child is not None and not seat.child.line.is_over:
                poll.register(seat.child.line, select.POLLIN)
        poll.poll(max(0, min(moments) - now))
        with suppress(BlockingIOError):
            self._ear.recv(4096)

    def _reap(self) -> None:
        for seat in self._seats:
            child = seat.child
            if child is None:
                continue
            # Asked first: what it said before its end is then surely there to hear.
            code = child.process.poll()
            if child.hear():
                self._welcome(seat, child.hello)
            if code is not None:
                self._let_go(seat, child, code)
        if os.getpid() == 1:
            reap_orphans({seat.child.pid for seat in self._seats if seat.child is not None})

    def _welcome(self, seat: Seat, hello: Hello | None) -> None:
        self._ever_ready = True
        if hello is not None:
            self._ledger.learn(hello)
        self._say("ready", "a worker is ready", seat)
        ready = sum(one.child is not None and one.child.hello is not None for one in self._seats)
        if not self._told_ready and ready >= self._settings.processes:
            self._told_ready = True
            self._notifier.tell("READY=1", f"STATUS={ready} workers are ready")

    def _let_go(self, seat: Seat, child: Child, code: int) -> None:
        """Note how a child ended, and decide about its seat."""
        death = child.death(code)
        if child.hello is not None:
            self._deaths[child.hello.worker_id] = death
        if child.farewell is not None:
            self.totals.update(child.farewell.counts)
        self._say("ended", "a worker has ended" if child.ended_in_order(code) else death.cause, seat)
        child.close()
        seat.child = None
        self._decide(seat, child, code)

    def _decide(self, seat: Seat, child: Child, code: int) -> None:
        now = self._clock.monotonic_ms()
        why = child.farewell.why if child.farewell is not None else ""
        if self._wishes or seat.given_up or why == "burst" or (self._settings.burst and why == "max_jobs"):
            return
        if child.leaving is None and why == "stopped":
            self._say("left", "it was stopped by hand and is not replaced", seat)
        elif code >= 0 and not self._ever_ready:
            # It could not even begin, and has said why: its successors would not either.
            self._code = code or CANNOT_BEGIN
            self._wishes += 1
        elif child.ended_in_order(code):
            seat.refill(now)
        else:
            wait = seat.refill_later(now, lived_ms=now - child.started_at)
            if wait:
                self._say("waiting", f"the next one starts in {wait / 1000:g} s", seat)

    def _settle(self) -> None:
        """Take the jobs of children that have ended; what cannot be written now is tried again."""
        if not self._deaths or self._clock.monotonic_ms() < self._settle_at:
            return
        try:
            engine = self._ledger.engine()
            if engine is None:
                return
            taken = engine.expire(now=self._clock.now_ms(), causes=self._deaths)
        except LiteqError as error:
            self._settle_at = self._clock.monotonic_ms() + TRY_AGAIN_MS
            self._ledger.doubt(self._clock.monotonic_ms())
            self._teller.complain(f"the jobs of a dead worker cannot be taken yet: {error}")
            return
        self._deaths.clear()
        for one in taken:
            self.totals["dead"] += one.state is State.DEAD
            self._teller.say_taken(one)

    def _look(self) -> None:
        now = self._clock.monotonic_ms()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_MS
        children = [(seat, seat.child) for seat in self._seats if seat.child is not None]
        for seat, child in children:
            if child.hello is None and child.leaving is None and now - child.started_at > self._settings.start_ms:
                self._say("hung", f"it was not ready in {self._settings.start_ms / 1000:g} s; it is killed", seat)
                child.kill(NEVER_READY)
            if child.is_due_to_be_killed():
                self._say("killed", "it did not stop in time and is killed", seat)
                child.kill(DID_NOT_STOP)
        self._judge({child.hello.worker_id: child for _, child in children if child.hello is not None}, now)
        self._recycle([child for _, child in children], now)
        if self._notifier.watchdog:
            self._notifier.tell("WATCHDOG=1")

    def _judge(self, known: dict[int, Child], now: int) -> None:
        try:
            engine = self._ledger.engine()
            if engine is None or not known:
                return
            well = self._judging.look(engine, known, now=now)
            self._recycling.note(well)
            if self._scaling.most > self._scaling.fewest and not self._wishes:
                self._scale(engine, [one for one in well if known[one.id].leaving is None], now)
            if any(one.beat is None for one in well) or not engine.intact():
                # Where the workers' rows or slates are now, this engine cannot see.
                self._ledger.doubt(now)
        except LiteqError as error:
            self._ledger.doubt(now)
            self._teller.complain(f"the workers cannot be looked at: {error}")

    def _recycle(self, children: list[Child], now: int) -> None:
        changed = self._sources.changed() if self._sources is not None else []
        if changed:
            self._say("changed", f"{changed[0]}" + (f" and {len(changed) - 1} more" if len(changed) > 1 else ""))
        if self._reload_wished or changed:
            self._reload_wished = False
            self._recycling.reload(children)
            for child in children:
                if child.leaving is not None and child.kill_at is None:
                    # It drains, for however long; new code is not to wait for that.
                    child.ask_to_stop(NEW_CODE, grace_ms=self._settings.grace_ms)
            for seat in self._seats:
                if seat.child is None and seat.start_at is not None:
                    seat.refill(now)
        wanted = sum(seat.is_wanted for seat in self._seats)
        for child, why in self._recycling.due(children, wanted=wanted, now=now):
            self._say_of("recycled", child, f"it is replaced: {why}")
            # However long its jobs take: who would be given back for its length would never come to its end.
            if why == NEW_CODE or not child.ask_to_drain(why):
                child.ask_to_stop(why, grace_ms=self._settings.grace_ms)

    def _scale(self, engine: Engine, workers: list[WorkerRecord], now: int) -> None:
        """Start one more or spare one, once all that were started are ready."""
        spare = self._scaling.spare(workers, monotonic=now)
        for seat in self._seats:
            child = seat.child
            if spare is not None and child is not None and child.hello and child.hello.worker_id == spare:
                self._say("spared", "it has nothing to do", seat)
                seat.give_up()
                if not child.ask_to_drain("it has nothing to do"):
                    child.ask_to_stop("it has nothing to do", grace_ms=self._settings.grace_ms)
        wanted = sum(seat.is_wanted for seat in self._seats)
        if wanted == len(workers) and self._scaling.more(engine, workers, now=self._clock.now_ms(), monotonic=now):
            seat = next(seat for seat in self._seats if not seat.is_wanted)
            self._say("growing", f"jobs wait and all {wanted} workers are busy: one more")
            seat.refill(now)

    def _obey(self) -> None:
        """Stop: the first wish lets running jobs finish, the second gives them back, the third kills."""
        while self._obeyed < self._wishes:
            self._obeyed += 1
            if self._obeyed == 1:
                self._notifier.tell("STOPPING=1")
                self._say("stopping", "running jobs may finish; a second signal gives them back")
            for seat in self._seats:
                seat.give_up()
                if seat.child is not None:
                    self._stop(seat.child)

    def _stop(self, child: Child) -> None:
        if self._obeyed > 2:
            child.kill(DID_NOT_STOP)
        elif self._obeyed == 2:
            child.ask_to_give_back("all are stopped")
        elif child.kill_at is None:
            child.ask_to_stop("all are stopped", grace_ms=self._settings.grace_ms)

    @contextmanager
    def _signals(self) -> Generator[None]:
        self._ear.settimeout(0)
        self._mouth.settimeout(0)
        handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            # From a terminal it means that the terminal is gone.
            signal.SIGHUP: self._on_stop if os.isatty(0) else self._on_reload,
            # Its only work is done by the wake-up descriptor: the loop looks at once.
            signal.SIGCHLD: lambda _number, _frame: None,
        }
        before: dict[signal.Signals, Any] = {number: signal.signal(number, act) for number, act in handlers.items()}
        fd = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(fd)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._ear.close()
            self._mouth.close()

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._wishes += 1

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload_wished = True

    def _say_of(self, event: str, child: Child, words: str) -> None:
        self._say(event, words, next((seat for seat in self._seats if seat.child is child), None))

    def _say(self, event: str, words: str, seat: Seat | None = None) -> None:
        self._teller.say(event, words, seat)
