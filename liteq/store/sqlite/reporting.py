"""What became of claims: every verb here is fenced by (job, attempt, worker), and a late one changes nothing."""

from collections.abc import Sequence
from typing import Any

import msgspec

from liteq.errors import LeaseLost, WrongState
from liteq.model.job import Claim, Completion, Report
from liteq.model.transitions import Outcome
from liteq.store.sqlite import lanes, pending
from liteq.store.sqlite.aftermath import after_end, after_leaving
from liteq.store.sqlite.binding import complete_plain_row, id_list
from liteq.store.sqlite.connection import Connection
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.guarding import note_failure, note_success, spend_retry
from liteq.store.sqlite.metering import add, count_outcome, count_outcomes
from liteq.store.sqlite.turns import return_tokens

_ENDS = {"dead_letter": "dead", "abort": "cancelled"}
"""The verbs but ``complete`` after which a job is finished, and as what its children are told."""
_FAILURES = {"retry", "dead_letter"}
FEW = 4
"""Fewer reports than this are not worth a savepoint."""


class Reporting:
    """The verbs by which workers report."""

    file: JobFile
    guarded: frozenset[str]

    def complete(self, claim: Claim, *, result: bytes | None, report: Report, now: int) -> None:
        if self.complete_many([Completion(claim=claim, report=report, result=result)], now=now):
            raise LeaseLost(_late(claim))

    def complete_many(self, completions: Sequence[Completion], *, now: int) -> list[Claim]:
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            kept, lost, marked = self._complete(completions)
            told = [attempt_row(one.claim, one.report) for one in kept if one.claim.attempt > 1 or one.report.has_words]
            if told:
                connection.many("remember", told)
            count_outcomes(connection, kept, now=now)
            if self.guarded:
                self._note_successes([one.claim for one in kept], now)
            after_end(connection, marked, failed=None, now=now)
        return lost

    def _complete(
        self, completions: Sequence[Completion]
    ) -> tuple[Sequence[Completion], list[Claim], list[tuple[int, int]]]:
        """Complete them; give those that were, the claims that came too late, and the (id, aftermath) that follow."""
        if self._all_plain(completions):
            return completions, [], []
        done = self.file.writer.connection.many("complete", [_completion(one) for one in completions])
        kept, lost = completions, list[Claim]()
        if len(done) < len(completions):
            kept, lost = _split(completions, {row[:2] for row in done})
        return kept, lost, [(job_id, aftermath) for job_id, _, aftermath in done if aftermath]

    def _all_plain(self, completions: Sequence[Completion]) -> bool:
        """Complete them, if none is late and nothing follows from the end of any; else leave them all as they were."""
        if len(completions) < FEW or any(one.claim.aftermath or one.result_error for one in completions):
            return False
        connection = self.file.writer.connection
        before = connection.changed()
        connection.plain("SAVEPOINT plain")
        connection.many("complete_plain", [complete_plain_row(one) for one in completions])
        done = connection.changed() - before == len(completions)
        if not done:
            connection.plain("ROLLBACK TO plain")
        connection.plain("RELEASE plain")
        return done

    def _note_successes(self, claims: Sequence[Claim], now: int) -> None:
        for task in {claim.task for claim in claims} & self.guarded:
            attempts = [(claim.job_id, claim.attempt) for claim in claims if claim.task == task]
            note_success(self.file.writer.connection, task, attempts, now=now)

    def retry(self, claim: Claim, *, run_at: int, report: Report, now: int) -> None:
        self._move("retry", claim, report, now, run_at=run_at)

    def dead_letter(self, claim: Claim, *, reason: str, report: Report, now: int) -> None:
        self._move("dead_letter", claim, report, now, reason=reason, now=now)

    def snooze(self, claim: Claim, *, run_at: int, report: Report, now: int) -> None:
        self._move("snooze", claim, report, now, run_at=run_at)

    def abort(self, claim: Claim, *, report: Report, now: int) -> None:
        self._move("abort", claim, report, now, now=now)

    def release(self, claims: Sequence[Claim], *, reason: str, now: int, unstarted: bool = False) -> list[Claim]:
        with self.file.writer.transaction(durable=False):
            connection = self.file.writer.connection
            moved = connection.many("release", [fence(claim) for claim in claims])
            back = {row[:2] for row in moved}
            kept = [claim for claim in claims if (claim.job_id, claim.attempt) in back]
            pending.came(connection, [claim.queue for claim in kept])
            connection.many("remember", [attempt_row(claim, _released(claim, reason, now)) for claim in kept])
            if unstarted:
                lanes.look(self.file, now=now).spend(connection, kept, now=now, tokens=-1)
                return_tokens(connection, kept, now=now)
            after_leaving(connection, [(job_id, aftermath) for job_id, _, aftermath in moved], now=now)
            cancel_as_asked(connection, [claim.job_id for claim in kept], now=now)
        return [claim for claim in claims if (claim.job_id, claim.attempt) not in back]

    def time_out(self, *, job_id: int, attempt: int, worker_id: int) -> None:
        values = {"job_id": job_id, "attempt": attempt, "worker_id": worker_id}
        with self.file.writer.transaction():
            if not self.file.writer.connection.rows("time_out", values):
                raise LeaseLost(f"job {job_id} is no longer worker {worker_id}'s (attempt {attempt})")

    def lost_claims(self, claims: Sequence[Claim]) -> list[Claim]:
        return [claim for claim in claims if not self.file.read("still_claimed", fence(claim))]

    def _move(self, verb: str, claim: Claim, report: Report, moment: int, /, **values: Any) -> None:
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            moved = connection.rows(verb, fence(claim) | {"started_at": report.started_at} | values)
            if not moved:
                self._refuse(verb, claim)
            if verb == "retry" and claim.task in self.guarded:
                report = self._postpone(claim, report, moment)
            connection.rows("remember", attempt_row(claim, report))
            count_outcome(connection, claim, report, verb=verb, now=moment)
            if verb in _FAILURES and claim.task in self.guarded:
                note_failure(connection, claim.task, (claim.job_id, claim.attempt), now=moment)
            if verb not in _ENDS:
                pending.came(connection, [claim.queue])
            if verb in _ENDS:
                after_end(connection, moved, failed=_ENDS[verb], now=moment)
            else:
                after_leaving(connection, moved, now=moment)
            cancel_as_asked(connection, [claim.job_id], now=moment)

    def _postpone(self, claim: Claim, report: Report, now: int) -> Report:
        """Have a retry wait longer where its task's budget has no room; give the report that tells so."""
        wait, budget = spend_retry(self.file.writer.connection, claim.task, now=now)
        if not wait:
            return report
        self.file.writer.connection.rows("postpone", {"job_id": claim.job_id, "wait_ms": wait})
        words = f"waits {wait / 1000:,.1f} s longer: the budget of {budget} retries is spent"
        return msgspec.structs.replace(report, error=f"{report.error} ({words})" if report.error else words)

    def _refuse(self, verb: str, claim: Claim) -> None:
        if self.file.writer.connection.rows("still_claimed", fence(claim)):
            raise WrongState(f"job {claim.job_id} does not allow {verb} in attempt {claim.attempt}")
        raise LeaseLost(_late(claim))


def _late(claim: Claim) -> str:
    return f"job {claim.job_id} is no longer this worker's (attempt {claim.attempt}); the report was dropped"


def cancel_as_asked(connection: Connection, job_ids: Sequence[int], *, now: int) -> set[int]:
    """Cancel those jobs that were asked to stop while they ran and have just come to rest instead; give their ids."""
    if not job_ids:
        return set()
    gone = connection.rows("cancel_as_asked", {"job_ids": id_list(job_ids), "now": now})
    for _, _, queue, task in gone:
        add(connection, queue, task, now=now, cancelled=1)
    pending.left(connection, [row[2] for row in gone])
    after_end(connection, [row[:2] for row in gone], failed="cancelled", now=now)
    return {row[0] for row in gone}


def fence(claim: Claim) -> dict[str, Any]:
    """Give the bindings that every write about a running job carries."""
    return {"job_id": claim.job_id, "attempt": claim.attempt, "worker_id": claim.worker_id}


def _completion(one: Completion) -> dict[str, Any]:
    claim, report = one.claim, one.report
    return {
        "job_id": claim.job_id,
        "attempt": claim.attempt,
        "worker_id": claim.worker_id,
        "result": one.result,
        "result_error": one.result_error,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
    }


def _split(completions: Sequence[Completion], done: set[tuple[int, int]]) -> tuple[list[Completion], list[Claim]]:
    # A job may stand twice in one report, as an old claim and as a new one or by mistake: one was let through.
    kept: list[Completion] = []
    lost: list[Claim] = []
    for one in completions:
        fenced = one.claim.job_id, one.claim.attempt
        if fenced in done:
            done.discard(fenced)
            kept.append(one)
        else:
            lost.append(one.claim)
    return kept, lost


def _released(claim: Claim, reason: str, now: int) -> Report:
    return Report(outcome=Outcome.RELEASED, started_at=claim.claimed_at, finished_at=now, error=reason)


def attempt_row(claim: Claim, report: Report) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "attempt": claim.attempt,
        "worker_id": claim.worker_id,
        "outcome": report.outcome.value,
        "claimed_at": claim.claimed_at,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "exit_code": report.exit_code,
        "error": report.error,
        "traceback": report.traceback,
        "log": report.log,
        "output": report.output,
    }
