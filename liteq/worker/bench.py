"""The thread slots of one worker: claimed jobs lie on a bench, and each slot takes the next.

Whoever finds the bench empty reports what is finished and claims the next batch, in one commit; the others wait. With
one slot that is simply a loop, without a hop between threads.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from liteq.errors import Busy, DiskFull, LiteqError
from liteq.model.job import Claim
from liteq.store.engine import Watch
from liteq.worker.alarm import Alarm
from liteq.worker.desk import Desk
from liteq.worker.lull import Lull
from liteq.worker.pace import Pace
from liteq.worker.runner import Runner
from liteq.worker.verdict import Verdict

LONGEST_IDLE_MS = 1_000
LOOK_PAUSE_MS = 10
"""Between two looks for nothing: a stranger's busy commits must not keep an idle worker busy too."""
TROUBLE_PAUSE_MS = 500
WAITED_TOO_LONG_MS = 50
EXIT_FORKED = 0

T = TypeVar("T")

log = logging.getLogger("liteq.worker")


class Bench:
    """Claims that wait for a slot and verdicts that wait to be reported."""

    def __init__(
        self,
        desk: Desk,
        runner: Runner,
        watch: Watch,
        *,
        tasks: tuple[str, ...],
        slots: int,
        burst: bool,
        must_leave: Callable[[], bool],
    ):
        self.error: LiteqError | None = None
        """What ended the bench, when it was not a wish."""
        self._desk = desk
        self._runner = runner
        self._watch = watch
        self._tasks = tasks
        self._slots = slots
        self._burst = burst
        self._must_leave = must_leave
        self.gave_up = False
        """Whether the bench ended with reports that could not be written."""
        self._pid = os.getpid()
        self._pace = Pace()
        self._claimed: deque[Claim] = deque()
        self._verdicts: deque[Verdict] = deque()
        self._changed = threading.Condition()
        self._fetching = False
        self._idle = False
        self._ended = False
        self._laid_at = 0
        self._laid = 0
        self._reported_at = 0
        self._lull = Lull(desk, watch, burst=burst)

    def serve(self, slot: int, alarm: Alarm | None = None) -> None:
        """Run jobs in the calling thread until the bench ends."""
        try:
            while (claim := self._next(slot)) is not None:
                verdict = self._runner.run(slot, claim, alarm)
                if os.getpid() != self._pid:
                    # A task forked, and its child came back here: it is no worker, and has nothing to sign off.
                    os._exit(EXIT_FORKED)
                self._verdicts.append(verdict)
                self._runner.end(slot)
        except LiteqError as error:
            # One slot less would never be seen: the worker ends, and whoever supervises it starts another.
            self._fail(error)

    def end(self) -> None:
        """Hand out nothing more; slots end with the job that they are at."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._watch.wake()

    def mind(self) -> None:
        """Report what has waited too long behind a long job, and give back what has not started."""
        now = self._desk.clock.monotonic_ms()
        if self._fetching and not self._idle:
            return
        if self._verdicts and now - self._reported_at > WAITED_TOO_LONG_MS:
            self._report()
        if self._claimed and now - self._laid_at > WAITED_TOO_LONG_MS and self._runner.busy(self._slots) >= self._slots:
            self._give_back("it waited behind a long job")

    def close(self) -> None:
        """Give back and report what is left, unless the worker has to leave without."""
        if self.gave_up:
            return
        try:
            self._give_back("the worker left")
        finally:
            self._report()

    def _next(self, slot: int) -> Claim | None:
        cleared = False
        while True:
            try:
                if not self._ended:
                    return self._claimed.popleft()
            except IndexError:
                pass  # nothing is laid out: fetch, or wait for who fetches
            if not cleared:
                # What has finished must not be charged if this process dies while it is reported.
                self._runner.slate.clear(slot)
                cleared = True
            with self._changed:
                if self._fetching:
                    if self._idle and self._verdicts:
                        self._watch.wake()
                    self._changed.wait(LONGEST_IDLE_MS / 1000)
                    continue
                if self._ended and (self.gave_up or not self._verdicts):
                    return None
                self._fetching = True
            try:
                self._fetch()
            finally:
                with self._changed:
                    self._fetching = False
                    self._changed.notify_all()

    def _fetch(self) -> None:
        try:
            found = self._exchange(0 if self._ended else self._room())
            if not found and not self._ended:
                self._rest()
        except (Busy, DiskFull) as error:
            log.warning("cannot write now, trying again: %s", error)
            self._pause_in_trouble()
            return
        except LiteqError as error:
            self._fail(error)

    def _fail(self, error: LiteqError) -> None:
        log.error("this worker cannot go on", exc_info=error)
        self.error = error
        self.gave_up = True
        self.end()

    def _room(self) -> int:
        if self._laid:
            spent = self._desk.clock.monotonic_ms() - self._laid_at
            self._pace.note(self._laid, spent * self._slots / 1000)
        return self._pace.batch(max(1, self._slots - self._runner.busy(self._slots)))

    def _exchange(self, limit: int) -> bool:
        begun = self._desk.clock.monotonic_ms()
        self._lull.note_look()
        claims = self._report(limit)
        self._laid_at = self._reported_at
        if claims:
            self._pace.note_exchange((self._laid_at - begun) / 1000)
            self._pace.note_sizes(claims)
        self._laid = len(claims)
        self._claimed.extend(claims)
        return bool(claims)

    def _rest(self) -> None:
        """Wait for a commit, a due job, or a finished one."""
        if self._desk.stopping or self._desk.spent():
            self.end()
            return
        if self._burst and not self._runner.runs and not self._desk.work_left():
            self.end()
            return
        self._idle = True
        try:
            self._lull.wait(self._is_over)
        finally:
            self._idle = False
        too_soon = self._reported_at + LOOK_PAUSE_MS - self._desk.clock.monotonic_ms()
        if too_soon > 0:
            time.sleep(too_soon / 1000)

    def _is_over(self) -> bool:
        return self._ended or self._desk.stopping

    def _pause_in_trouble(self) -> None:
        for _ in range(10):
            if self._must_leave():
                # The rows stay as they are: whoever can write again proves this worker dead and takes them.
                self.gave_up = True
                self.end()
                return
            time.sleep(TROUBLE_PAUSE_MS / 10_000)

    def _report(self, limit: int = 0) -> list[Claim]:
        """Report what is finished and claim up to ``limit`` more; after an error the verdicts still wait."""
        verdicts = drain(self._verdicts)
        try:
            claims = self._desk.exchange(verdicts, tasks=self._tasks, limit=limit)
        except BaseException:
            self._verdicts.extendleft(reversed(verdicts))
            raise
        self._reported_at = self._desk.clock.monotonic_ms()
        return claims

    def _give_back(self, reason: str) -> None:
        give_back(self._claimed, self._desk, reason)


def give_back(claimed: deque[Claim], desk: Desk, reason: str) -> None:
    """Release claims that have not started; after an error they are still held."""
    back = drain(claimed)
    try:
        desk.release(back, reason, unstarted=True)
    except BaseException:
        claimed.extend(back)
        raise


def drain(queue: deque[T]) -> list[T]:
    """Take everything out; what other threads append meanwhile is taken too or stays, and is never lost."""
    taken: list[T] = []
    while queue:
        try:
            taken.append(queue.popleft())
        except IndexError:
            break
    return taken
