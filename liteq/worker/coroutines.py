"""The coroutine slots of one worker: an event loop in a thread of its own, which never waits for the file itself."""

import asyncio
import logging
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from liteq.errors import Busy, DiskFull, LiteqError
from liteq.job import Run, running
from liteq.model.job import Claim
from liteq.store.engine import Watch
from liteq.task import Definition
from liteq.worker.bench import EXIT_FORKED, LOOK_PAUSE_MS, TROUBLE_PAUSE_MS, drain
from liteq.worker.deafness import hear_no_signals
from liteq.worker.desk import Desk
from liteq.worker.runner import Runner, not_started, said
from liteq.worker.verdict import Leaving, TimeLimit, Verdict, with_last_words

LARGEST_BATCH = 256
LONGEST_LISTEN_MS = 2_000
LONGEST_REST_S = 2 * LONGEST_LISTEN_MS / 1000
"""Longer than the watch waits: woken from here, it would take that for a commit and look again and again."""

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
        self._free = deque(range(first, first + slots))
        self._verdicts: deque[Verdict] = deque()
        self._active: dict[asyncio.Task[None], Run] = {}
        self._leaving = False
        self._reporting = False
        self._looked_at = 0
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
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

    def leave(self) -> None:
        """Cancel what still runs; those jobs are given back."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._cancel_all)

    def unreported(self) -> bool:
        """Tell whether a coroutine has ended that is not reported yet."""
        return bool(self._verdicts) or self._reporting

    def stop_asked(self, run: Run) -> None:
        """Cancel the coroutine of a run that was asked to stop."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._cancel, run)

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
        ending = self.error is not None or self._desk.stopping or self._desk.spent()
        if ending and not self._active and not self._verdicts:
            return False
        claims = await loop.run_in_executor(clerk, self._exchange, 0 if ending else len(self._free))
        for claim in claims:
            self._begin(claim)
        if claims and self._free:
            # Quick coroutines may finish before the next claim: one turn of the loop lets them.
            await asyncio.sleep(0)
            return True
        if not claims and not self._active and not self._verdicts and await self._burst_over(clerk):
            return False
        await self._rest(watcher, listen=bool(self._free) and not ending)
        return True

    def _exchange(self, limit: int) -> list[Claim]:
        self._reporting = True
        verdicts = drain(self._verdicts)
        self._looked_at = self._desk.clock.monotonic_ms()
        try:
            return self._desk.exchange(verdicts, tasks=self._tasks, limit=min(limit, LARGEST_BATCH))
        except BaseException:
            self._verdicts.extendleft(reversed(verdicts))
            raise
        finally:
            self._reporting = False

    async def _burst_over(self, clerk: ThreadPoolExecutor) -> bool:
        if not self._burst:
            return False
        loop = asyncio.get_running_loop()
        return not await loop.run_in_executor(clerk, self._desk.work_left)

    async def _rest(self, watcher: ThreadPoolExecutor, *, listen: bool) -> None:
        """Wait until a coroutine has finished or, if a slot is free, something was committed."""
        loop = asyncio.get_running_loop()
        waits: set[asyncio.Future[Any]] = set(self._active)
        heard: asyncio.Future[Any] | None = None
        if listen:
            heard = loop.run_in_executor(watcher, self._listen)
            waits.add(heard)
        if not waits or self._verdicts:
            await asyncio.sleep(0)
        else:
            await asyncio.wait(waits, timeout=LONGEST_REST_S, return_when=asyncio.FIRST_COMPLETED)
        if heard is not None:
            if not heard.done():
                # Called back for a finished coroutine; a call after its end would end the next wait at once.
                self._watch.wake()
            await heard
        too_soon = self._looked_at + LOOK_PAUSE_MS - self._desk.clock.monotonic_ms()
        if too_soon > 0 and not self._active and not self._verdicts:
            await asyncio.sleep(too_soon / 1000)

    def _listen(self) -> bool:
        return self._watch.wait(self._desk.idle_ms(LONGEST_LISTEN_MS))

    def _begin(self, claim: Claim) -> None:
        slot = self._free.popleft()
        try:
            run, started_at = self._runner.begin(slot, claim)
        except LiteqError as error:
            self._free.append(slot)
            self._verdicts.append(not_started(claim, error, self._desk.clock.now_ms()))
            return
        task = asyncio.get_running_loop().create_task(self._carry_out(claim, slot, run, started_at))
        self._active[task] = run
        task.add_done_callback(partial(self._ended, slot, started_at))

    def _ended(self, slot: int, started_at: int, task: asyncio.Task[None]) -> None:
        run = self._active.pop(task)
        if task.cancelled():
            # Cancelled before its first step, it had no chance to say so itself.
            cause = self._cause(asyncio.CancelledError(), run, None)
            self._lay(slot, self._runner.judge.failed(run, None, cause, started_at, said(run)))

    def _lay(self, slot: int, verdict: Verdict) -> None:
        self._verdicts.append(verdict)
        self._runner.slate.clear(slot)
        self._runner.end(slot)
        self._free.append(slot)

    async def _carry_out(self, claim: Claim, slot: int, run: Run, started_at: int) -> None:
        try:
            verdict = await self._verdict(claim, run, started_at)
        except Exception as error:
            log.exception("the end of job %d could not be judged", claim.job_id, extra={"job_id": claim.job_id})
            verdict = self._runner.judge.broken(claim, error, started_at)
        if os.getpid() != self._pid:
            os._exit(EXIT_FORKED)
        self._lay(slot, with_last_words(verdict, run))

    async def _verdict(self, claim: Claim, run: Run, started_at: int) -> Verdict:
        running.set(run)
        judge = self._runner.judge
        definition: Definition | None = None
        try:
            definition = self._runner.definition(claim)
            async with asyncio.timeout(None if claim.timeout_ms is None else claim.timeout_ms / 1000) as limit:
                value = await definition.signature.invoke(claim.args, run)
        except BaseException as error:  # noqa: BLE001  whatever a task raises becomes its verdict
            cause = self._cause(error, run, definition)
            return judge.failed(run, definition, cause, started_at, said(run))
        if limit.expired():
            run.timed_out = run.saw_stop = True
        return judge.returned(run, definition, value, started_at, said(run))

    def _cause(self, error: BaseException, run: Run, definition: Definition | None) -> BaseException:
        """Tell a time limit and a leaving worker from errors of the task's own."""
        overdue = run.over_at is not None and self._desk.clock.monotonic_ms() >= run.over_at
        if isinstance(error, TimeoutError) and overdue and definition is not None:
            return TimeLimit()
        if isinstance(error, asyncio.CancelledError) and self._leaving and not run.asked_to_stop:
            return Leaving()
        return error
