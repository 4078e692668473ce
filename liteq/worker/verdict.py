"""What becomes of one attempt: the job is carried out, and its end judged. Nothing is written here."""

import random
import traceback as traceback_lines
from typing import Any

import msgspec

from liteq.clock import Clock
from liteq.errors import GiveUp, InvalidOption, LiteqError, Snooze, Undecodable
from liteq.job import Run
from liteq.memory import Memory
from liteq.model.instants import to_ms
from liteq.model.job import Claim, Completion, Report
from liteq.model.payload import encode
from liteq.model.retry import DEFAULT_RETRY, Retry, decode_backoff
from liteq.model.transitions import Outcome
from liteq.store.engine import Engine
from liteq.task import Definition

MAX_RESULT = 16 * 1024 * 1024
MAX_TRACEBACK = 16 * 1024
MAX_ERROR = 500


class TimeLimit(BaseException):
    """Raised into a task whose time is over. Not an Exception: a task's own ``except Exception`` lets it through."""


class Leaving(BaseException):
    """Raised into a task when the worker must go now; the job is given back unharmed."""


class CommandFailed(Exception):  # noqa: N818  named like the verdict it leads to
    """A command ended with another exit code than 0."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Verdict(Completion, frozen=True, kw_only=True, gc=False):
    """How an attempt is to be reported: the verb, and what it needs."""

    verb: str
    run_at: int = 0
    reason: str = ""
    memory: Memory | None = None
    """What the attempt has said and was not written yet; it goes into the commit of the report."""

    def refused(self, error: LiteqError) -> "Verdict":
        """Give the plain dead letter that stands for a report which the engine would not take."""
        words = f"its report was refused: {describe(error)}"
        report = Report(
            outcome=Outcome.FAILED,
            started_at=self.report.started_at,
            finished_at=self.report.finished_at,
            error=words,
        )
        return Verdict(verb="dead_letter", claim=self.claim, report=report, reason=words)

    def write(self, engine: Engine, *, now: int) -> None:
        """Report it, if it is no completion: those are reported many at a time. LeaseLost when late."""
        if self.verb == "retry":
            engine.retry(self.claim, run_at=self.run_at, report=self.report, now=now)
        elif self.verb == "dead_letter":
            engine.dead_letter(self.claim, reason=self.reason, report=self.report, now=now)
        elif self.verb == "snooze":
            engine.snooze(self.claim, run_at=self.run_at, report=self.report, now=now)
        elif self.verb == "abort":
            engine.abort(self.claim, report=self.report, now=now)
        else:
            engine.release([self.claim], reason=self.reason, now=now)


def with_last_words(verdict: Verdict, memory: Memory | None) -> Verdict:
    """Give the verdict with what the attempt has left to say."""
    if memory is None or not memory.unwritten():
        return verdict
    return msgspec.structs.replace(verdict, memory=memory)


class Judge:
    """Turns what came out of a task into a verdict."""

    def __init__(self, clock: Clock, default_retry: Retry = DEFAULT_RETRY) -> None:
        self._clock = clock
        self._default_retry = default_retry

    def returned(self, run: Run, definition: Definition, value: Any, started_at: int, extra: "Extra") -> Verdict:
        """Judge an attempt that returned a value."""
        claim = run.claim
        if run.timed_out and (run.saw_stop or run.overdue):
            return self.failed(run, definition, TimeLimit(), started_at, extra)
        if run.asked_to_stop and (run.saw_stop or run.overdue):
            return self._verdict("abort", claim, Outcome.ABORTED, started_at, extra, error="stopped when asked")
        result, result_error = None, None
        if value is not None:
            try:
                result = encode(value, what="result", max_bytes=MAX_RESULT)
            except Exception as error:  # noqa: BLE001  encoding calls the value's own code
                # The work is done; running it again for the sake of its result would do it twice.
                result_error = str(error) if isinstance(error, LiteqError) else describe(error)
        report = Report(
            outcome=Outcome.COMPLETED,
            started_at=started_at,
            finished_at=self._clock.now_ms(),
            log=extra.log,
            output=extra.output,
        )
        return Verdict(verb="complete", claim=claim, report=report, result=result, result_error=result_error)

    def failed(
        self, run: Run, definition: Definition | None, error: BaseException, started_at: int, extra: "Extra"
    ) -> Verdict:
        """Judge an attempt that raised."""
        claim = run.claim
        if isinstance(error, Snooze):
            return self._snooze(claim, definition, error, started_at, extra)
        if isinstance(error, Leaving):
            words = "the worker left"
            return self._verdict("release", claim, Outcome.RELEASED, started_at, extra, error=words, reason=words)
        if run.asked_to_stop and not isinstance(error, TimeLimit):
            return self._verdict("abort", claim, Outcome.ABORTED, started_at, extra, error=describe(error))
        return self._failure(claim, definition, error, started_at, extra)

    def broken(self, claim: Claim, error: Exception, started_at: int) -> Verdict:
        """Judge an attempt whose end could not be judged otherwise: a person has to look."""
        words = f"its end could not be judged: {describe(error)}"
        return self._verdict("dead_letter", claim, Outcome.FAILED, started_at, NOTHING, error=words)

    def _snooze(
        self, claim: Claim, definition: Definition | None, error: Snooze, started_at: int, extra: "Extra"
    ) -> Verdict:
        try:
            wait = to_ms(error.delay, what="the delay of Snooze")
        except (TypeError, InvalidOption) as wrong:
            return self._failure(claim, definition, wrong, started_at, extra)
        verdict = self._verdict("snooze", claim, Outcome.SNOOZED, started_at, extra, error=describe(error))
        return msgspec.structs.replace(verdict, run_at=verdict.report.finished_at + wait)

    def _failure(
        self,
        claim: Claim,
        definition: Definition | None,
        error: BaseException,
        started_at: int,
        extra: "Extra",
    ) -> Verdict:
        words, outcome = describe(error), outcome_of(error)
        if isinstance(error, TimeLimit) and claim.timeout_ms is not None:
            words = f"timed out after {claim.timeout_ms / 1000:g} s"
        trace = None if isinstance(error, (TimeLimit, CommandFailed, GiveUp)) else trace_of(error)
        exit_code = error.exit_code if isinstance(error, CommandFailed) else None
        extra = msgspec.structs.replace(extra, traceback=trace, exit_code=exit_code)
        final = self._final_reason(claim, definition, error, words)
        if final is not None:
            return self._verdict("dead_letter", claim, outcome, started_at, extra, error=words, reason=final)
        policy = decode_backoff(claim.backoff)
        wait = policy.spread(policy.delay_ms(claim.failures + 1), draw=random.random())  # noqa: S311  no secret
        verdict = self._verdict("retry", claim, outcome, started_at, extra, error=words)
        return msgspec.structs.replace(verdict, run_at=verdict.report.finished_at + wait)

    def _final_reason(
        self, claim: Claim, definition: Definition | None, error: BaseException, words: str
    ) -> str | None:
        """Give why no further attempt is worth making, None when one is."""
        if isinstance(error, Undecodable):
            wrong_type = isinstance(error.__cause__, msgspec.ValidationError)
            return f"{'bad_arguments' if wrong_type else 'undecodable'}: {words}"
        if isinstance(error, GiveUp):
            return f"gave up: {printable(str(error.reason))}"
        retry = (definition.options.retry if definition else None) or self._default_retry
        plain = isinstance(error, Exception)
        if plain and not isinstance(error, CommandFailed) and not retry.wants(error):
            return f"not worth a retry: {words}"
        if claim.last_chance:
            return f"failed {claim.failures + 1} of {claim.max_failures} times: {words}"
        return None

    def _verdict(
        self,
        verb: str,
        claim: Claim,
        outcome: Outcome,
        started_at: int,
        extra: "Extra",
        *,
        error: str,
        reason: str = "",
    ) -> Verdict:
        report = Report(
            outcome=outcome,
            started_at=started_at,
            finished_at=self._clock.now_ms(),
            error=error,
            **extra.fields(),
        )
        return Verdict(verb=verb, claim=claim, report=report, reason=reason or error)


class Extra(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt leaves beside its outcome."""

    log: str | None = None
    output: bytes | None = None
    traceback: str | None = None
    exit_code: int | None = None

    def fields(self) -> dict[str, Any]:
        return {
            "log": self.log,
            "output": self.output,
            "traceback": self.traceback,
            "exit_code": self.exit_code,
        }


NOTHING = Extra()


def outcome_of(error: BaseException) -> Outcome:
    """Tell how an attempt ended that raised this. What would end a process counts as a crash of the attempt."""
    if isinstance(error, TimeLimit):
        return Outcome.TIMED_OUT
    return Outcome.FAILED if isinstance(error, Exception) else Outcome.CRASHED


def describe(error: BaseException) -> str:
    """Give the error in one bounded line."""
    if isinstance(error, CommandFailed | Undecodable):
        text = str(error)
    elif isinstance(error, InvalidOption):
        text = f"InvalidOption: {error}"
    else:
        text = f"{type(error).__name__}: {_text_of(error)}".removesuffix(": ")
    return printable(text)


def printable(text: str) -> str:
    """Give the text as one bounded line that can be stored and shown: surrogates and controls become question marks."""
    line = "".join(c if c.isprintable() else "?" for c in text[: 2 * MAX_ERROR].replace("\n", " ").strip())
    return line if len(line) <= MAX_ERROR else line[:MAX_ERROR] + "…"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  a task's own error may be unable to describe itself
        return "(it cannot be described)"


def trace_of(error: BaseException) -> str:
    """Give the traceback from the task on, its last 16 KiB at most."""
    try:
        lines = traceback_lines.format_exception(error)
    except Exception as second:  # noqa: BLE001  formatting calls the error's own code
        lines = [f"(no traceback: {type(second).__name__})"]
    text = "".join(lines).encode("utf-8", "replace")
    if len(text) > MAX_TRACEBACK:
        text = b"...\n" + text[-MAX_TRACEBACK:]
    return text.decode("utf-8", "replace")
