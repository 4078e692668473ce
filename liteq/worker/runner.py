"""Runs one claim in the calling thread and gives the verdict."""

import logging
from collections.abc import Callable
from functools import partial

from liteq.clock import Clock
from liteq.errors import LiteqError, Undecodable, UnknownTask
from liteq.job import Run, running
from liteq.lock import Locks
from liteq.memory import Memory
from liteq.model.job import Claim, JobRecord, Report
from liteq.model.payload import crc
from liteq.model.transitions import Outcome
from liteq.registry import Registry
from liteq.store.engine import Slate
from liteq.task import Definition
from liteq.worker.alarm import Alarm
from liteq.worker.commands import TERM_GRACE_MS, Output, run_command
from liteq.worker.records import kept
from liteq.worker.verdict import NOTHING, Extra, Judge, Verdict, with_last_words

log = logging.getLogger("liteq.worker")


class Runner:
    """What every slot of a worker shares: the tasks, the slate, the judge."""

    def __init__(
        self,
        tasks: Registry,
        clock: Clock,
        slate: Slate,
        judge: Judge,
        *,
        kill_after_ms: int,
        ask_parents: Callable[[int], list[JobRecord]],
        open_memory: Callable[[Claim], Memory],
        locks: Locks,
        must_leave: Callable[[], bool],
    ) -> None:
        self._must_leave = must_leave
        self.ask_parents = ask_parents
        self.open_memory = open_memory
        self.locks = locks
        self.tasks = tasks
        self.clock = clock
        self.slate = slate
        self.judge = judge
        self.kill_after_ms = kill_after_ms
        self.runs: dict[int, Run] = {}
        """The run in each busy slot."""

    def begin(self, slot: int, claim: Claim) -> tuple[Run, int]:
        """Note on the slate that the job starts now; give its run and the instant."""
        now = self.clock.now_ms()
        run = Run(claim, self)
        deadline = 0
        if claim.timeout_ms is not None:
            run.deadline_at = now + claim.timeout_ms
            run.over_at = self.clock.monotonic_ms() + claim.timeout_ms
            run.hard_at = deadline = run.over_at + self.kill_after_ms + self.extra_ms(claim)
        self.slate.start(slot, claim.job_id, claim.attempt, now, deadline)
        self.runs[slot] = run
        return run, now

    def extra_ms(self, claim: Claim) -> int:
        """Give what a task's own kind of stopping needs on top: a command's group is first asked, then killed."""
        return 2 * TERM_GRACE_MS if self._is_command(claim) else 0

    def busy(self, slots: int) -> int:
        """Give how many of the first slots are busy."""
        return sum(slot < slots for slot in list(self.runs))

    def runs_commands(self) -> bool:
        """Tell whether any slot runs a command, which ends soon after its worker must leave."""
        return any(self._is_command(run.claim) for run in list(self.runs.values()))

    def _is_command(self, claim: Claim) -> bool:
        definition = self.tasks.get(claim.task)
        return definition is not None and definition.kind == "command"

    def end(self, slot: int) -> None:
        """Note that the slot is free, and release what its attempt has left behind."""
        run = self.runs.pop(slot, None)
        if run is not None and run.at_end:
            run.finish()

    def definition(self, claim: Claim) -> Definition:
        """Give the claim's task, its arguments proved to be what was stored. UnknownTask, Undecodable."""
        definition = self.tasks.get(claim.task)
        if definition is None:
            raise UnknownTask(f"no task is called {claim.task!r} here")
        if crc(claim.args) != claim.args_crc:
            raise Undecodable("the stored arguments do not match their checksum")
        return definition

    def run(self, slot: int, claim: Claim, alarm: Alarm | None) -> Verdict:
        """Carry the claim out in this thread. Whatever the task raises becomes its verdict.

        The slot is busy until ``end``: between the two the verdict must be laid where it is reported.
        """
        try:
            run, started_at = self.begin(slot, claim)
        except LiteqError as error:
            return not_started(claim, error, self.clock.now_ms())
        try:
            verdict = self._carry_out(slot, run, started_at, alarm)
        except Exception as error:
            log.exception("the end of job %d could not be judged", claim.job_id, extra={"job_id": claim.job_id})
            verdict = self.judge.broken(claim, error, started_at)
        return verdict if run.memory is None else with_last_words(verdict, run.memory)

    def _carry_out(self, slot: int, run: Run, started_at: int, alarm: Alarm | None) -> Verdict:
        token = running.set(run)
        definition: Definition | None = None
        try:
            definition = self.definition(run.claim)
            if definition.kind == "command":
                return self._carry_out_command(slot, definition, run, started_at)
            if alarm is None:
                value = definition.signature.invoke(run.claim.args, run)
            else:
                try:
                    alarm.enter_task(run.claim.timeout_ms)
                    value = definition.signature.invoke(run.claim.args, run)
                finally:
                    alarm.leave_task()
        except BaseException as error:  # noqa: BLE001  SystemExit in a task must not end the worker
            return self.judge.failed(run, definition, error, started_at, said(run.lines))
        else:
            extra = NOTHING if run.lines is None else said(run.lines)
            return self.judge.returned(run, definition, value, started_at, extra)
        finally:
            running.reset(token)

    def _carry_out_command(self, slot: int, definition: Definition, run: Run, started_at: int) -> Verdict:
        # Never by alarm: raised while the process is being started, it would leave that to nobody.
        output = Output()
        try:
            run_command(
                definition.signature.invoke(run.claim.args, run),
                run,
                self.clock,
                output,
                mark=self.slate.run_mark(run.claim.job_id, run.claim.attempt),
                note=partial(self.slate.command, slot),
                must_leave=self._must_leave,
            )
        except BaseException as error:  # noqa: BLE001  see above
            return self.judge.failed(run, definition, error, started_at, _printed(run, output))
        else:
            return self.judge.returned(run, definition, None, started_at, _printed(run, output))


def not_started(claim: Claim, error: LiteqError, now: int) -> Verdict:
    """Give the verdict on a claim that could not even be noted as started: it goes back unharmed."""
    report = Report(outcome=Outcome.RELEASED, started_at=now, finished_at=now, error=str(error))
    return Verdict(verb="release", claim=claim, report=report, reason=f"it could not be started: {error}")


def said(lines: list[str] | None) -> Extra:
    """Give what an attempt has logged, to be kept beside its outcome."""
    return NOTHING if lines is None else Extra(log=kept(lines))


def _printed(run: Run, output: Output) -> Extra:
    return Extra(log=kept(run.lines), output=output.kept())
