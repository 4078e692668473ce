"""A worker: makes itself known, runs its slots until told to stop or nothing is left, and leaves nothing behind."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from liteq.clock import Clock
from liteq.errors import InvalidOption, LiteqError
from liteq.job import running
from liteq.lock import Locks
from liteq.memory import Memory
from liteq.model.fleet import WorkerCard
from liteq.model.payload import MAX_PAYLOAD
from liteq.model.retry import DEFAULT_RETRY, Retry
from liteq.registry import Registry
from liteq.scheduler import Scheduler
from liteq.store.engine import Engine, Slate, Watch
from liteq.worker.alarm import Alarm
from liteq.worker.bench import Bench
from liteq.worker.breakers import BreakerLog
from liteq.worker.desk import Desk
from liteq.worker.hearing import Hearing
from liteq.worker.leash import Leash
from liteq.worker.limits import Limits
from liteq.worker.records import keep_records, leave_records
from liteq.worker.runner import Runner
from liteq.worker.scheduling import SchedulerLoop
from liteq.worker.settings import WorkResult, WorkSettings, result_of
from liteq.worker.tender import Tender
from liteq.worker.verdict import Judge

if TYPE_CHECKING:
    from liteq.worker.coroutines import CoroutineSlots  # for its name alone: it is loaded where it is needed

MAX_SLOTS = 1_000
LOOK_EVERY_S = 0.1
COROUTINES_LEAVE_S = 2.0
COMMANDS_LEAVE_MS = 2_500
COMMANDS_LOOK_S = 0.02

log = logging.getLogger("liteq.worker")


class Worker:
    """Runs jobs in the thread that calls ``run``, or in one of its own after ``start``."""

    def __init__(
        self,
        engine: Engine,
        tasks: Registry,
        clock: Clock,
        settings: WorkSettings,
        default_retry: Retry = DEFAULT_RETRY,
        leash: Leash | None = None,
        max_payload: int = MAX_PAYLOAD,
        locks: Locks | None = None,
    ) -> None:
        if not 1 <= settings.threads <= MAX_SLOTS or not 1 <= settings.coroutines <= MAX_SLOTS:
            raise InvalidOption(f"threads and coroutines must be from 1 to {MAX_SLOTS}")
        if settings.max_jobs is not None and settings.max_jobs < 1:
            raise InvalidOption(f"max_jobs must be at least 1, not {settings.max_jobs}")
        self._engine = engine
        self._tasks = tasks
        self._clock = clock
        self._settings = settings
        self._judge = Judge(clock, default_retry)
        self._leash = leash
        self._locks = locks or Locks(lambda: engine, clock, running.get)
        self._max_payload = max_payload
        self.left_running = 0
        """How many tasks were still in their threads when the worker had to leave."""
        self._desk: Desk | None = None
        self._wishes = 0
        self._leave_at: int | None = None
        self._watch: Watch | None = None
        self._bench: Bench | None = None
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._alarm = Alarm(clock, engine.busy_here)
        self._hearing = Hearing(clock, self._alarm)

    def start(self) -> None:
        """Run in a thread of its own; returns once the worker is known, or raises why it is not."""
        self._thread = threading.Thread(target=self._run_in_thread, name="liteq-worker", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._desk is None:
            self.join()

    def _run_in_thread(self) -> None:
        try:
            self.run()
        except BaseException as error:  # noqa: BLE001  raised again where the worker is joined
            self._error = error

    def stop(self) -> None:
        """Claim nothing more; what runs may finish."""
        if self._desk is not None:
            self._desk.stopping = True
        if self._bench is not None:
            self._bench.end()

    def join(self, timeout: float | None = None) -> None:
        """Wait until a started worker has ended, and raise what ended it if that was an error."""
        if self._thread is not None:
            self._thread.join(timeout)
        error, self._error = self._error, None
        if error is not None:
            raise error

    def run(self) -> WorkResult:
        """Work until stopped, or with ``burst`` until nothing is left; give what was done.

        In the main thread SIGINT and SIGTERM are handled: the first stops gently, after the grace or at the second one
        running jobs are given back.
        """
        keep_records()
        try:
            with self._signals():
                slate = self._engine.register_worker(self._card(), now=self._clock.now_ms())
                try:
                    return self._work(slate)
                finally:
                    self._retire(slate)
        finally:
            self._ready.set()
            leave_records()

    def _retire(self, slate: Slate) -> None:
        """Be struck from the list; a worker that cannot write just ends, and is proved dead by the next that looks."""
        try:
            if self._bench is not None and self._bench.gave_up:
                slate.release(remove=False)
            else:
                self._engine.retire_worker(slate)
                if self._settings.burst:
                    self._engine.settle()
        except LiteqError:
            log.exception("the worker could not sign off")
            slate.release(remove=False)

    def _work(self, slate: Slate) -> WorkResult:
        self._desk = desk = self._new_desk(slate)
        runner = self._new_runner(slate, desk)
        self._watch = watch = self._engine.watch()
        self._bench = bench = self._new_bench(desk, runner, watch)
        coroutines = self._coroutines(desk, runner)
        tender = self._new_tender(desk, runner, bench, coroutines)
        scheduling = SchedulerLoop(Scheduler(self._engine, self._clock)) if self._settings.scheduler else None
        # A signal may have come before there was anything to stop.
        desk.stopping = desk.stopping or self._wishes > 0
        if self._settings.burst:
            # A short one is over before the side thread has looked for the first time.
            tender.look_for_dead()
        for part in (tender, scheduling, coroutines):
            if part is not None:
                part.start()
        self._ready.set()
        if self._leash is not None:
            self._leash.hello(slate.worker_id)
        try:
            self._serve(bench, runner, coroutines)
        finally:
            if scheduling is not None:
                scheduling.stop()
            tender.stop()
            self._close(bench, coroutines, desk, runner)
            watch.close()
        error = bench.error or (coroutines.error if coroutines else None)
        if error is not None:
            raise error
        return result_of(desk.counts)

    def _new_desk(self, slate: Slate) -> Desk:
        settings = self._settings
        tasks = self._card().tasks
        return Desk(
            self._engine, self._clock, slate, queues=settings.queues, all_tasks=tasks, max_jobs=settings.max_jobs
        )

    def _new_runner(self, slate: Slate, desk: Desk) -> Runner:
        return Runner(
            self._tasks,
            self._clock,
            slate,
            self._judge,
            kill_after_ms=self._settings.kill_after_ms,
            ask_parents=self._engine.parents,
            open_memory=lambda claim: Memory(
                claim, self._engine, self._clock, max_bytes=self._max_payload, turn=desk.scribe.turn
            ),
            locks=self._locks,
            must_leave=self._must_leave,
        )

    def _new_bench(self, desk: Desk, runner: Runner, watch: Watch) -> Bench:
        return Bench(
            desk,
            runner,
            watch,
            tasks=self._names("function", "command"),
            slots=self._settings.threads,
            burst=self._settings.burst,
            must_leave=self._must_leave,
        )

    def _new_tender(self, desk: Desk, runner: Runner, bench: Bench, coroutines: "CoroutineSlots | None") -> Tender:
        return Tender(
            desk,
            runner,
            bench,
            self._limits(desk, runner, bench, coroutines),
            lease_ms=self._settings.lease_ms,
            leash=self._leash,
            retention_ms=self._settings.retention_ms,
            breakers=BreakerLog(self._engine, self._clock, self._tasks),
            hearing=self._hearing,
            coroutines=coroutines,
        )

    def _limits(self, desk: Desk, runner: Runner, bench: Bench, coroutines: "CoroutineSlots | None") -> Limits:
        return Limits(
            desk,
            runner,
            bench,
            grace_ms=self._settings.grace_ms,
            owned=self._settings.owned,
            unreported=bool if coroutines is None else coroutines.unreported,
        )

    @property
    def why(self) -> str:
        """Why the worker left: "stopped" by a signal, "max_jobs", "burst", or "" for trouble of its own."""
        if self._wishes:
            return "stopped"
        if self._desk is not None and self._desk.spent():
            return "max_jobs"
        return "burst" if self._settings.burst and self._desk is not None and not self._desk.stopping else ""

    def _serve(self, bench: Bench, runner: Runner, coroutines: "CoroutineSlots | None") -> None:
        threads = [
            threading.Thread(target=bench.serve, args=(slot,), name=f"liteq-slot-{slot}", daemon=True)
            for slot in range(1, self._settings.threads)
        ]
        self._alarm.install()
        started: list[threading.Thread] = []
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
            bench.serve(0, self._alarm if self._alarm.possible else None)
        finally:
            self._alarm.uninstall()
            bench.end()
            for thread in started:
                while thread.is_alive() and not self._must_leave():
                    thread.join(LOOK_EVERY_S)
            self._let_commands_end(runner)
            if coroutines is not None:
                self._join_coroutines(coroutines)

    def _let_commands_end(self, runner: Runner) -> None:
        """Wait a little for the commands in other threads: a job that is given back must not go on."""
        end = self._clock.monotonic_ms() + COMMANDS_LEAVE_MS
        while runner.runs_commands() and self._clock.monotonic_ms() < end:
            time.sleep(COMMANDS_LOOK_S)

    def _join_coroutines(self, coroutines: "CoroutineSlots") -> None:
        if not self._settings.burst and self._desk is not None:
            # The thread slots have ended, so this worker ends; in a burst the coroutines find their own end.
            self._desk.stopping = True
        coroutines.look_up()
        while not coroutines.join(LOOK_EVERY_S):
            if self._must_leave():
                coroutines.leave()
                # One that blocks its loop or swallows the cancel cannot be waited for; its job is given back.
                coroutines.join(COROUTINES_LEAVE_S)
                return

    def _must_leave(self) -> bool:
        return self._leave_at is not None and self._clock.monotonic_ms() >= self._leave_at

    def _close(self, bench: Bench, coroutines: "CoroutineSlots | None", desk: Desk, runner: Runner) -> None:
        try:
            bench.close()
            if coroutines is not None and not bench.gave_up:
                coroutines.give_back("the worker left")
            if not bench.gave_up:
                self._abandon(desk, runner)
        except LiteqError:
            # What cannot be written stays with this worker's row, and is taken once its lock is free.
            log.exception("not everything could be reported")

    def _abandon(self, desk: Desk, runner: Runner) -> None:
        """Give back what still runs in threads when the grace is over: a thread cannot be ended from outside."""
        runs = list(runner.runs.values())
        self.left_running = len(runs)
        for run in runs:
            run.lost = True
        desk.scribe.write(runs)
        for run in runs:
            run.finish()
        desk.release([run.claim for run in runs], "the worker left before it had ended", unstarted=False)

    def _coroutines(self, desk: Desk, runner: Runner) -> "CoroutineSlots | None":
        names = self._names("coroutine")
        if not names:
            return None
        # asyncio takes 15 ms and 5 MB, and a worker without coroutines needs none of it.
        from liteq.worker.coroutines import CoroutineSlots  # noqa: PLC0415

        settings = self._settings
        return CoroutineSlots(
            desk,
            runner,
            self._engine.watch(),
            tasks=names,
            first=settings.threads,
            slots=settings.coroutines,
            burst=settings.burst,
        )

    def _names(self, *kinds: str) -> tuple[str, ...]:
        return tuple(definition.name for definition in self._tasks if definition.kind in kinds)

    def _card(self) -> WorkerCard:
        return WorkerCard(
            name=f"{socket.gethostname()}:{os.getpid()}",
            tasks=self._names("function", "coroutine", "command"),
            queues=self._settings.queues,
            slots=self._settings.threads,
            lease_ms=self._settings.lease_ms,
            supervisor_pid=None if self._leash is None else self._leash.supervisor_pid,
            hears_stop=self._alarm.possible,
        )

    @contextmanager
    def _signals(self) -> Generator[None]:
        if not self._alarm.possible:
            yield
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            # The terminal is gone, which by default would kill, and charge what runs with a crash.
            numbers.append(signal.SIGHUP)
        before: dict[signal.Signals, Any] = {number: signal.signal(number, self._on_signal) for number in numbers}
        self._hearing.open()
        try:
            yield
        finally:
            self._hearing.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # Only flags, the alarm and the watch: a lock or a log call here could wait for the very thread it interrupts.
        self._alarm.note_heard()
        self._wishes += 1
        grace_ms = self._settings.grace_ms if self._wishes == 1 else 0
        leave_at = self._clock.monotonic_ms() + grace_ms
        # The second one may come within the handling of the first, and is not to be overruled by it.
        self._leave_at = leave_at if self._leave_at is None else min(self._leave_at, leave_at)
        if self._desk is not None:
            self._desk.stopping = True
        if self._watch is not None:
            self._watch.wake()
        self._alarm.leave_after(grace_ms)
