"""The coroutine slots of one worker: an event loop in a thread of its own, which never waits for the file itself.

It works ahead as the bench does: a slot that becomes free takes the next claimed job at once, and what has ended is
reported together, by another thread, while others run.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from liteq.errors import Busy, DiskFull, LiteqError
from liteq.job import Run, running
from liteq.model.job import Claim
from liteq.store.engine import Watch
from liteq.task import Definition
from liteq.worker.bench import EXIT_FORKED, LOOK_PAUSE_MS, TROUBLE_PAUSE_MS, WAITED_TOO_LONG_MS, drain, give_back
from liteq.worker.deafness import hear_no_signals
from liteq.worker.desk import Desk
from liteq.worker.lull import Lull
from liteq.worker.pace import LARGEST_BATCH, Pace
from liteq.worker.runner import Runner, not_started, said
from liteq.worker.verdict import Leaving, TimeLimit, Verdict, with_last_words

REPORT_WITHIN_S = 0.008
"""How long what has ended may wait for others that are about to, so that one commit serves for all."""
LOOKS_IN_VAIN = 4
PATIENT_PAUSE_MS = 4 * LOOK_PAUSE_MS
"""Between two looks after so many in vain: where others commit all the time, such as this worker's own functions."""
LONGEST_REST_S = 4
"""Without listening: what ends rings the bell."""

log = logging.getLogger("liteq.worker")


class CoroutineSlots:
    """Runs coroutine tasks beside each other on one loop."""

    def __init__(
        self,
        desk: Desk,
        runner: Runner,
        watch: Watch,
        *,
        tasks: tuple[str, ...],
        first: int,
        slots: int,
        burst: bool,
    ) -> None:
        self.error: Exception | None = None
        self._desk = desk
        self._runner = runner
        self._watch = watch
        self._tasks = tasks
        self._burst = burst
        self._slots = slots
        self._free = list(range(first, first + slots))
        self._pace = Pace()
        self._claimed: deque[Claim] = deque()
        """Claims that wait for a slot. The side thread takes out what has waited too long."""
        self._ahead = 0
        """How many of those are wanted."""
        self._more = False
        """Whether the last claim found as many as were wanted."""
        self._verdicts: deque[Verdict] = deque()
        self._active: dict[asyncio.Task[Verdict], Run] = {}
        self._leaving = False
        self._reporting = False
        self._looked_at = 0
        self._lull = Lull(desk, watch, burst=burst)
        self._in_vain = 0
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="liteq-coroutines", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end; tell whether it came in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def look_up(self) -> None:
        """End the present rest: there may be nothing more to wait for."""
        self._watch.wake()
        self._call(self._ring)

    def leave(self) -> None:
        """Cancel what still runs; those jobs are given back."""
        self._call(self._cancel_all)

    def mind(self) -> None:
        """Give back what does not start: nothing has ended for long, or the worker leaves. For the side thread."""
        if self._desk.stopping:
            self.give_back("the worker left")
        elif self._desk.clock.monotonic_ms() - self._looked_at > WAITED_TOO_LONG_MS:
            self.give_back("it waited behind a long job")

    def give_back(self, reason: str) -> None:
        """Release what has not started; after an error it is still held."""
        give_back(self._claimed, self._desk, reason)

    def unreported(self) -> bool:
        """Tell whether a coroutine has ended that is not reported yet."""
        return bool(self._verdicts) or self._reporting

    def stop_asked(self, run: Run) -> None:
        """Cancel the coroutine of a run that was asked to stop."""
        self._call(self._cancel, run)

    def _call(self, step: Callable[..., None], *args: Run) -> None:
        """Have the loop do a step soon. For other threads, and a signal's handler."""
        loop = self._loop
        # It may end at any moment, and then has nothing left to do.
        with suppress(RuntimeError):
            if loop is not None:
                loop.call_soon_threadsafe(step, *args)

    def _cancel(self, run: Run) -> None:
        for task, one in self._active.items():
            if one is run:
                task.cancel()

    def _cancel_all(self) -> None:
        self._leaving = True
        for task in self._active:
            task.cancel()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:  # noqa: BLE001  logged there, and raised where the worker is joined
            self._fail(error)
        finally:
            self._watch.close()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Reports and claims go through one thread, in order; the loop goes on while that waits for the disk.
        with (
            ThreadPoolExecutor(1, "liteq-desk", initializer=hear_no_signals) as clerk,
            ThreadPoolExecutor(1, "liteq-watch", initializer=hear_no_signals) as watcher,
        ):
            while await self._try_turn(clerk, watcher):
                pass

    async def _try_turn(self, clerk: ThreadPoolExecutor, watcher: ThreadPoolExecutor) -> bool:
        try:
            return await self._turn(clerk, watcher)
        except (Busy, DiskFull) as error:
            log.warning("cannot write now, trying again: %s", error)
            await asyncio.sleep(TROUBLE_PAUSE_MS / 1000)
            return True
        except LiteqError as error:
            self._fail(error)
            self._cancel_all()
            return False

    def _fail(self, error: Exception) -> None:
        """End the whole worker: without this thread it would take coroutine jobs from others and never run them."""
        log.error("this worker cannot go on", exc_info=error)
        self.error = error
        self._desk.stopping = True

    async def _turn(self, clerk: ThreadPoolExecutor, watcher: ThreadPoolExecutor) -> bool:
        """Report and claim once, then wait for the next occasion; false when all is over."""
        loop = asyncio.get_running_loop()
        if self._desk.stopping and self._claimed:
            await loop.run_in_executor(clerk, self.give_back, "the worker left")
        ending = self.error is not None or self._desk.stopping or self._desk.spent()
        await self._exchange(clerk, ending=ending)
        while self._free and self._start_next(self._free[-1]):
            self._free.pop()
        if self._verdicts:
            self._ring_when_due()
        if not self._busy() and (ending or await self._burst_over(clerk)):
            return False
        await self._rest(watcher, listen=bool(self._free) and not ending)
        return True

    def _busy(self) -> bool:
        return bool(self._active or self._verdicts or self._claimed)

    async def _exchange(self, clerk: ThreadPoolExecutor, *, ending: bool) -> None:
        loop = asyncio.get_running_loop()
        self._reporting = True
        verdicts = drain(self._verdicts)
        # What rings from here on has not been answered.
        self._bell = loop.create_future()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        limit = 0 if ending else self._room(verdicts)
        try:
            found = await loop.run_in_executor(clerk, self._report, verdicts, limit)
        except BaseException:
            self._verdicts.extendleft(reversed(verdicts))
            raise
        finally:
            self._reporting = False
        self._more = 0 < limit <= found
        self._in_vain = 0 if found or verdicts else self._in_vain + 1

    def _report(self, verdicts: list[Verdict], limit: int) -> int:
        self._lull.note_look()
        claims = self._desk.exchange(verdicts, tasks=self._tasks, limit=limit)
        self._looked_at = self._desk.clock.monotonic_ms()
        # From here the side thread can give them back, should the loop be blocked.
        self._claimed.extend(claims)
        if claims:
            self._pace.note_sizes(claims)
        return len(claims)

    def _room(self, verdicts: list[Verdict]) -> int:
        """Give how many to claim: for the free slots, and what all will start within the next ten milliseconds."""
        if verdicts:
            spent = sum(one.report.finished_at - one.report.started_at for one in verdicts)
            self._pace.note(len(verdicts), max(0, spent) / 1000)
            self._ahead = self._pace.ahead(self._slots)
        return min(LARGEST_BATCH, max(0, len(self._free) + self._ahead - len(self._claimed)))

    async def _burst_over(self, clerk: ThreadPoolExecutor) -> bool:
        if not self._burst:
            return False
        loop = asyncio.get_running_loop()
        return not await loop.run_in_executor(clerk, self._desk.work_left)

    async def _rest(self, watcher: ThreadPoolExecutor, *, listen: bool) -> None:
        """Wait until the bell rings or, if a slot is free, something was committed."""
        assert self._bell is not None  # noqa: S101  there is one since the exchange
        pause_ms = LOOK_PAUSE_MS if self._in_vain < LOOKS_IN_VAIN else PATIENT_PAUSE_MS
        too_soon = self._looked_at + pause_ms - self._desk.clock.monotonic_ms()
        if listen and too_soon > 0 and (self._in_vain or not self._busy()):
            # Before listening: commits in that time are still news after it, and one look serves for all of them.
            await asyncio.wait([self._bell], timeout=too_soon / 1000)
        if not listen or self._bell.done():
            await asyncio.wait([self._bell], timeout=LONGEST_REST_S)
            return
        heard: asyncio.Future[Any] = asyncio.get_running_loop().run_in_executor(watcher, self._listen)
        waits: list[asyncio.Future[Any]] = [self._bell, heard]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not heard.done():
            # Called back for a finished coroutine; a call after its end would end the next wait at once.
            self._watch.wake()
        await heard

    def _ring(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def _ring_when_due(self) -> None:
        """Have verdicts reported: at once if nothing else runs or more work is needed, else together with others."""
        if self._reporting:
            return  # what is needed is seen when that exchange is over
        nothing_runs = not self._active and not self._claimed
        # Time enough for a commit; but where jobs do nothing, two threads at once only fight for the interpreter.
        few = self._ahead // 4 if self._ahead < LARGEST_BATCH else 0
        if nothing_runs or (self._more and len(self._claimed) <= few):
            self._ring()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(REPORT_WITHIN_S, self._ring)

    def _listen(self) -> None:
        self._lull.wait(self._is_over)

    def _is_over(self) -> bool:
        # Rung, whoever listens is called back: the watch was woken for that.
        return self._desk.stopping or self._bell is None or self._bell.done()

    def _start_next(self, slot: int) -> bool:
        """Start the next claimed job in the slot; tell whether one runs there now."""
        while not self._desk.stopping:
            try:
                claim = self._claimed.popleft()
            except IndexError:
                break  # the side thread may have given them back just now
            if self._begin(slot, claim):
                return True
        return False

    def _begin(self, slot: int, claim: Claim) -> bool:
        try:
            run, started_at = self._runner.begin(slot, claim)
        except LiteqError as error:
            self._verdicts.append(not_started(claim, error, self._desk.clock.now_ms()))
            self._ring()
            return False
        task = asyncio.get_running_loop().create_task(self._carry_out(run, started_at))
        self._active[task] = run
        task.add_done_callback(partial(self._ended, slot, started_at))
        return True

    def _ended(self, slot: int, started_at: int, task: "asyncio.Task[Verdict]") -> None:
        run = self._active.pop(task)
        if task.cancelled():
            # Cancelled before its first step, it had no chance to say so itself.
            cause = self._cause(asyncio.CancelledError(), run, None)
            verdict = self._runner.judge.failed(run, None, cause, started_at, said(run.lines))
            verdict = with_last_words(verdict, run.memory)
        else:
            verdict = task.result()
        self._verdicts.append(verdict)
        self._runner.end(slot)
        if not self._start_next(slot):
            self._free.append(slot)
            self._runner.slate.clear(slot)
        self._ring_when_due()

    async def _carry_out(self, run: Run, started_at: int) -> Verdict:
        try:
            verdict = await self._verdict(run, started_at)
        except Exception as error:
            job_id = run.claim.job_id
            log.exception("the end of job %d could not be judged", job_id, extra={"job_id": job_id})
            verdict = self._runner.judge.broken(run.claim, error, started_at)
        if os.getpid() != self._pid:
            os._exit(EXIT_FORKED)
        return with_last_words(verdict, run.memory)

    async def _verdict(self, run: Run, started_at: int) -> Verdict:
        running.set(run)
        judge = self._runner.judge
        definition: Definition | None = None
        try:
            definition = self._runner.definition(run.claim)
            value = await _value(definition, run)
        except BaseException as error:  # noqa: BLE001  whatever a task raises becomes its verdict
            cause = self._cause(error, run, definition)
            return judge.failed(run, definition, cause, started_at, said(run.lines))
        return judge.returned(run, definition, value, started_at, said(run.lines))

    def _cause(self, error: BaseException, run: Run, definition: Definition | None) -> BaseException:
        """Tell a time limit and a leaving worker from errors of the task's own."""
        overdue = run.over_at is not None and self._desk.clock.monotonic_ms() >= run.over_at
        if isinstance(error, TimeoutError) and overdue and definition is not None:
            return TimeLimit()
        if isinstance(error, asyncio.CancelledError) and self._leaving and not run.asked_to_stop:
            return Leaving()
        return error


async def _value(definition: Definition, run: Run) -> Any:
    """Give what the task returns; a value that comes after its time limit says so in the run."""
    work = definition.signature.invoke(run.claim.args, run)
    if run.claim.timeout_ms is None:
        return await work
    async with asyncio.timeout(run.claim.timeout_ms / 1000) as limit:
        value = await work
    if limit.expired():
        run.timed_out = run.saw_stop = True
    return value
