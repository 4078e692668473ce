"""Small faults, written by hand, each of which must fail a test: ``python -m tests.mutate``.

A test that passes with the fence removed proves nothing. Works on a copy of the project, never in place.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[1]
AT_ONCE = 2
TIMEOUT_S = 180
NOT_COPIED = shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", ".hypothesis", "dist", "build", "*.db*")

SQL = "liteq/store/sqlite/sql/job.sql"
STORE = "liteq/store/sqlite"

SCHEDULE_SQL = "liteq/store/sqlite/sql/schedule.sql"
SCHEDULER = "liteq/scheduler.py"

DEPENDENCY_SQL = "liteq/store/sqlite/sql/dependency.sql"
BATCH_SQL = "liteq/store/sqlite/sql/batch.sql"
DEPENDENCIES = "tests/engine/test_dependencies.py"
BATCHES = "tests/engine/test_batches.py"

VERBS = "tests/engine/test_every_verb.py"
CLAIM = "tests/engine/test_claim.py"
ENQUEUE = "tests/engine/test_enqueue.py"
REPORT = "tests/engine/test_report.py"
HANDLE = "tests/engine/test_handle.py"
EXPIRE = "tests/engine/test_expire.py"
DEATHS = "tests/crash/test_deaths.py"
HANGS = "tests/crash/test_hangs.py"
COMMANDS = "tests/crash/test_commands.py"
FLEETS = "tests/crash/test_fleet.py"
REMAINS = "tests/engine/test_remains.py"
LEASES = "tests/engine/test_leases.py"
ASK = "tests/engine/test_ask.py"
TRANSACTION = "tests/engine/test_transaction.py"
MACHINE = "tests/engine/test_machine.py"
TURNS = "tests/engine/test_turns.py"
LIMITS = "tests/engine/test_limits.py"
RATE = "tests/model/test_rate.py"
TROUBLE = "tests/store/test_trouble.py"
SCHEMA = "tests/store/test_schema.py"
SCHEDULES = "tests/engine/test_schedules.py"
STATEMENTS = "tests/store/test_statements.py"
KEEPING = "tests/engine/test_keeping.py"
KEEPING_FACE = "tests/face/test_keeping.py"
SCRIBE = "tests/worker/test_scribe.py"
KEEPING_PROCESSES = "tests/worker/test_keeping_processes.py"
FAILING_CALLS = "tests/faults/test_failing_calls.py"
FAILED_SYNCS = "tests/faults/test_failed_syncs.py"
LOCKS = "tests/engine/test_locks.py"
LOCK_MACHINE = "tests/engine/test_lock_machine.py"
LOCKS_FACE = "tests/face/test_locks.py"
STREAMS = "tests/face/test_streams.py"
LOCK_SQL = "liteq/store/sqlite/sql/lock.sql"
KILLS = "tests/faults/test_kills.py"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One edit, and the test files of which at least one test must fail.

    ``within`` names the statement or function where ``old`` is looked for; there it must stand exactly once.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    within: str = ""


FAULTS = (
    Fault(
        name="note_progress is not fenced by the attempt",
        path="liteq/store/sqlite/sql/progress.sql",
        within="-- name: note_progress\n",
        old="  AND attempt = :attempt\n",
        new="  AND :attempt > 0\n",
        tests=(VERBS,),
    ),
    Fault(
        name="note_progress is not fenced by the worker",
        path="liteq/store/sqlite/sql/progress.sql",
        within="-- name: note_progress\n",
        old="  AND owner = :worker_id\n",
        new="  AND :worker_id > 0\n",
        tests=(VERBS,),
    ),
    Fault(
        name="save_checkpoint is not fenced by the attempt",
        path="liteq/store/sqlite/sql/checkpoint.sql",
        within="-- name: save_checkpoint\n",
        old="  AND attempt = :attempt\n",
        new="  AND :attempt > 0\n",
        tests=(VERBS,),
    ),
    Fault(
        name="save_checkpoint is not fenced by the worker",
        path="liteq/store/sqlite/sql/checkpoint.sql",
        within="-- name: save_checkpoint\n",
        old="  AND owner = :worker_id\n",
        new="  AND :worker_id > 0\n",
        tests=(VERBS,),
    ),
    Fault(
        name="finish_step is not fenced by the attempt",
        path="liteq/store/sqlite/sql/step.sql",
        within="-- name: finish_step\n",
        old="  AND attempt = :attempt\n",
        new="  AND :attempt > 0\n",
        tests=(VERBS,),
    ),
    Fault(
        name="finish_step is not fenced by the worker",
        path="liteq/store/sqlite/sql/step.sql",
        within="-- name: finish_step\n",
        old="  AND owner = :worker_id\n",
        new="  AND :worker_id > 0\n",
        tests=(VERBS,),
    ),
    Fault(
        name="extend_stream is not fenced by the attempt",
        path="liteq/store/sqlite/sql/stream.sql",
        within="-- name: extend_stream\n",
        old="  AND attempt = :attempt\n",
        new="  AND :attempt > 0\n",
        tests=(KEEPING,),
    ),
    Fault(
        name="extend_stream is not fenced by the worker",
        path="liteq/store/sqlite/sql/stream.sql",
        within="-- name: extend_stream\n",
        old="  AND owner = :worker_id\n",
        new="  AND :worker_id > 0\n",
        tests=(KEEPING,),
    ),
    Fault(
        name="finish_step is not fenced by the attempt (the machine alone must see it)",
        path="liteq/store/sqlite/sql/step.sql",
        within="-- name: finish_step\n",
        old="  AND attempt = :attempt\n",
        new="  AND :attempt > 0\n",
        tests=(MACHINE,),
    ),
    Fault(
        name="parts of the present attempt make room too",
        path="liteq/store/sqlite/sql/stream.sql",
        within="-- name: shed_parts\n",
        old="attempt < :attempt",
        new="attempt <= :attempt",
        tests=(KEEPING,),
    ),
    Fault(
        name="the numbers of parts begin anew with each attempt",
        path="liteq/store/sqlite/sql/stream.sql",
        within="-- name: extend_stream\n",
        old="SET last_seq = last_seq + excluded.parts",
        new="SET last_seq = excluded.parts + last_seq - parts",
        tests=(KEEPING,),
    ),
    Fault(
        name="a completed job that runs again skips its steps",
        path="liteq/store/sqlite/sql/step.sql",
        within="-- name: completed_of\n",
        old="  AND state = @completed",
        new="  AND state = @ready",
        tests=(KEEPING,),
    ),
    Fault(
        name="a job with other arguments skips the steps of the old ones",
        path="liteq/store/sqlite/enqueueing.py",
        old="if replaced[0][1]:",
        new="if not replaced[0][1]:",
        tests=(KEEPING,),
    ),
    Fault(
        name="what jobs kept stays when they are removed",
        path="liteq/store/sqlite/handling.py",
        old="        forget_all(connection, gone)\n",
        new="",
        tests=(KEEPING,),
    ),
    Fault(
        name="long streams are removed in one commit",
        path="liteq/store/sqlite/keeping.py",
        within="def in_small_commits",
        old="if batch and size > FORGOTTEN_AT_ONCE",
        new="if batch and size > 10**9",
        tests=(KEEPING,),
    ),
    Fault(
        name="what was published before a checkpoint may be lost behind it",
        path="liteq/memory.py",
        within="    def _keep",
        old="if not self.unwritten():",
        new="if self.claim is not None:",
        tests=(SCRIBE,),
    ),
    Fault(
        name="a step is given before it is on the disk",
        path="liteq/keeping.py",
        within="    def run(self",
        old="            self._memory.finish_step(self._name, result)\n",
        new="            self._memory.encoded_result(self._name, result)\n",
        tests=(KEEPING_PROCESSES,),
    ),
    Fault(
        name="a step that is done is run again",
        path="liteq/keeping.py",
        old="return self._decoded(stored)\n        try:\n            result, value = self._checked(self._function(",
        new="pass\n        try:\n            result, value = self._checked(self._function(",
        tests=(KEEPING_FACE,),
    ),
    Fault(
        name="the last words come after the report",
        path="liteq/worker/desk.py",
        old="            self.scribe.take_down(memories)\n            self._report(verdicts, accepted)\n",
        new="            self._report(verdicts, accepted)\n            self.scribe.take_down(memories)\n",
        tests=(KEEPING_FACE,),
    ),
    Fault(
        name="words that are being written count as written",
        path="liteq/memory.py",
        within="    def unwritten",
        old="return bool(self._waiting or self._taken) or",
        new="return bool(self._waiting) or",
        tests=(SCRIBE,),
    ),
    Fault(
        name="words whose commit failed are forgotten",
        path="liteq/worker/scribe.py",
        within="    def last_words",
        old="            yield\n            for memory in memories:\n                memory.written()\n",
        new="            try:\n                yield\n            finally:\n"
        "                for memory in memories:\n                    memory.written()\n",
        tests=(SCRIBE,),
    ),
    Fault(
        name="a follower looks at the end after the parts",
        path="liteq/following.py",
        within="    def next",
        old="            if ended:\n",
        new="            if self._ended():\n",
        tests=(SCRIBE,),
    ),
    Fault(
        name="complete is not fenced by the attempt",
        path=SQL,
        within="-- name: complete\n",
        old="  AND attempt = :attempt\n",
        new="  AND :attempt > 0\n",
        tests=(VERBS,),
    ),
    Fault(
        name="complete is not fenced by the attempt (the machine alone must see it)",
        path=SQL,
        within="-- name: complete\n",
        old="  AND attempt = :attempt\n",
        new="  AND :attempt > 0\n",
        tests=(MACHINE,),
    ),
    Fault(
        name="complete is not fenced by the owner",
        path=SQL,
        within="-- name: complete\n",
        old="  AND owner = :worker_id\n",
        new="  AND :worker_id > 0\n",
        tests=(VERBS,),
    ),
    Fault(
        name="retry is not fenced by the attempt",
        path=SQL,
        within="-- name: retry\n",
        old="  AND attempt = :attempt\n",
        new="  AND :attempt > 0\n",
        tests=(VERBS,),
    ),
    Fault(
        name="retry overdraws the budget",
        path=SQL,
        within="-- name: retry\n",
        old="failures + 1 < max_failures",
        new="failures < max_failures",
        tests=(CLAIM,),
    ),
    Fault(
        name="promotion is a millisecond late",
        path=SQL,
        within="-- name: promote\n",
        old="run_at <= :now",
        new="run_at < :now",
        tests=(CLAIM,),
    ),
    Fault(
        name="lower priorities go first",
        path=SQL,
        within="-- name: lane_heads\n",
        old="priority DESC",
        new="priority",
        tests=(CLAIM,),
    ),
    Fault(
        name="lanes are merged without priority",
        path=f"{STORE}/claiming.py",
        old="return list(islice(merge(*lanes), limit))",
        new="return list(islice(merge(*lanes, key=lambda head: head[1:]), limit))",
        tests=(CLAIM,),
    ),
    Fault(
        name="paused queues are claimed from",
        path=f"{STORE}/claiming.py",
        old=" and queue not in paused",
        new=" and (queue not in paused or True)",
        tests=(CLAIM,),
    ),
    Fault(
        name="an idle claim takes the write lock",
        path=f"{STORE}/claiming.py",
        old="if not heads and not telling and not self._due(now):",
        new="if not heads and now < 0:",
        tests=(CLAIM,),
    ),
    Fault(
        name="a claim takes what rivals took meanwhile",
        path=SQL,
        within="-- name: claim\n",
        old="  AND state = @ready\n",
        new="  AND state IN (@ready, @running)\n",
        tests=("tests/store/test_trouble.py",),
    ),
    Fault(
        name="a queue that was paused meanwhile gives jobs",
        path=SQL,
        within="-- name: claim\n",
        old="  AND (:paused IS NULL OR queue NOT IN (SELECT value FROM json_each(:paused)))\n",
        new="",
        tests=("tests/store/test_trouble.py",),
    ),
    Fault(
        name="a claim does not raise the attempt",
        path=SQL,
        within="-- name: claim\n",
        old="attempt     = attempt + 1",
        new="attempt     = max(attempt, 1)",
        tests=(MACHINE,),
    ),
    Fault(
        name="unique keys are not unique",
        path=f"{STORE}/migrations/0001.sql",
        old="CREATE UNIQUE INDEX liteq_job_unique",
        new="CREATE INDEX liteq_job_unique",
        tests=(SCHEMA,),
    ),
    Fault(
        name="a period lapses a millisecond late",
        path=SQL,
        within="-- name: holder\n",
        old="held_until <= :now",
        new="held_until < :now",
        tests=(ENQUEUE,),
    ),
    Fault(
        name="a completed job keeps its key",
        path=SQL,
        within="-- name: complete\n",
        old="iif(unique_scope <= 2, NULL, unique_slot)",
        new="iif(unique_scope <= 1, NULL, unique_slot)",
        tests=(ENQUEUE,),
    ),
    Fault(
        name="a failed enqueue leaves its first half in a transaction",
        path=f"{STORE}/file.py",
        within="def all_or_none",
        old='            plain("ROLLBACK TO verb")\n',
        new="",
        tests=(ENQUEUE,),
    ),
    Fault(
        name="expire charges jobs that had not started",
        path=f"{STORE}/staffing.py",
        within="def _judge",
        old="    if started is None:\n        return _Loss(state=State.READY, outcome=Outcome.RELEASED",
        new="    if started is None:\n        return _Loss(state=State.READY, outcome=Outcome.CRASHED",
        tests=(EXPIRE,),
    ),
    Fault(
        name="expire robs the living",
        path=f"{STORE}/staffing.py",
        within="def expire",
        old="if death is None and not self._is_dead(worker.identity):",
        new="if death is None and now < 0:",
        tests=(EXPIRE,),
    ),
    Fault(
        name="poison gets one more chance",
        path=f"{STORE}/staffing.py",
        within="def _crashed",
        old="if crashes >= max_crashes:",
        new="if crashes > max_crashes:",
        tests=(EXPIRE,),
    ),
    Fault(
        name="a hard cancel is forgotten after a gentle one",
        path=SQL,
        within="-- name: ask_cancel\n",
        old="  AND (cancel_asked_at IS NULL OR :hard > cancel_hard)\n",
        new="  AND cancel_asked_at IS NULL\n",
        tests=(LEASES,),
    ),
    Fault(
        name="a lease runs out a millisecond early",
        path=f"{STORE}/staffing.py",
        within="def _take_from_hung",
        old="slate.beat < latest",
        new="slate.beat <= latest",
        tests=(LEASES,),
    ),
    Fault(
        name="a supervised worker is robbed alive",
        path=f"{STORE}/staffing.py",
        within="def _judge_living",
        old="        if worker.supervisor_pid is None:",
        new="        if worker.supervisor_pid != 0:",
        tests=(LEASES,),
    ),
    Fault(
        name="a supervisor is not waited for",
        path=f"{STORE}/staffing.py",
        old="return 0 <= now - first < LEFT_TO_SUPERVISOR_MS",
        new="return 0 > now - first",
        tests=(LEASES,),
    ),
    Fault(
        name="a verdict holds for the next attempt too",
        path=f"{STORE}/staffing.py",
        within="def _judge",
        old="if overdue_attempt == attempt:",
        new="if overdue_attempt is not None:",
        tests=(LEASES,),
    ),
    Fault(
        name="what ran beside an overdue job is charged",
        path=f"{STORE}/staffing.py",
        old='if death.unsure and connection.rows("overdue_of", who):',
        new='if death is None and connection.rows("overdue_of", who):',
        tests=(LEASES,),
    ),
    Fault(
        name="a verdict is not fenced by the attempt",
        path=SQL,
        within="-- name: time_out\n",
        old="  AND attempt = :attempt\n",
        new="  AND :attempt > 0\n",
        tests=(VERBS,),
    ),
    Fault(
        name="a supervisor does not tell the cause of a death",
        path="liteq/worker/supervisor.py",
        old="self._deaths[child.hello.worker_id] = death",
        new='self._deaths[child.hello.worker_id] = Death(cause="it died")',
        tests=(DEATHS,),
    ),
    Fault(
        name="orphaned workers work on",
        path="liteq/worker/tender.py",
        old=" and (wish := self._leash.hear()) is not None:",
        new=" and (wish := self._leash.hear()) == 'drain':",
        tests=(DEATHS,),
    ),
    Fault(
        name="a dead worker's commands run on",
        path=f"{STORE}/staffing.py",
        old="            end_group(job.group, job.group_start)",
        new="            del job",
        tests=(REMAINS, COMMANDS),
    ),
    Fault(
        name="a group is killed by its number alone",
        path=f"{STORE}/processes.py",
        within="def end_group",
        old=" and process_start(leader) == start",
        new="",
        tests=("tests/store/test_platform.py",),
    ),
    Fault(
        name="a hung worker without a living supervisor keeps its jobs",
        path=f"{STORE}/staffing.py",
        old="            end_process(identity.pid, identity.pid_start)",
        new="            del identity",
        tests=(REMAINS,),
    ),
    Fault(
        name="a namesake is buried for another process's death",
        path=f"{STORE}/staffing.py",
        old="death.pid not in {None, worker.identity.pid}",
        new="death.pid == 0",
        tests=(REMAINS,),
    ),
    Fault(
        name="a death by the overdue exit code is nobody's fault",
        path=f"{STORE}/staffing.py",
        old='if death.unsure and connection.rows("overdue_of", who):',
        new="if death.unsure and death is not UNSEEN:",
        tests=(REMAINS,),
    ),
    Fault(
        name="the supervisor spins while the first worker starts",
        path="liteq/worker/supervisor.py",
        within="def _wait",
        old="        if self._may_start():",
        new="        if True:",
        tests=(f"{FLEETS}::test_while_the_first_worker_starts_the_supervisor_waits_and_does_not_spin",),
    ),
    Fault(
        name="a worker that has signed off is waited for without end",
        path="liteq/worker/child.py",
        old="                self.kill_at = self.kill_at or self._clock.monotonic_ms() + RELEASE_MS\n",
        new="",
        tests=(f"{FLEETS}::test_a_thread_that_a_task_left_behind_does_not_keep_its_worker",),
    ),
    Fault(
        name="a job longer than its worker's time is given back",
        path="liteq/worker/supervisor.py",
        old="if why == NEW_CODE or not child.ask_to_drain(why):",
        new="if child.leaving is None:",
        tests=(f"{FLEETS}::test_a_job_that_takes_longer_than_its_workers_time_is_not_begun_again_and_again",),
    ),
    Fault(
        name="a worker too large before its first job is replaced for ever",
        path="liteq/worker/recycling.py",
        old="used = [child for child in staying if child.pid in self._worked]",
        new="used = staying",
        tests=(f"{FLEETS}::test_a_limit_on_memory_that_the_app_alone_passes_still_lets_jobs_run",),
    ),
    Fault(
        name="the second wish to stop is the first one again",
        path="liteq/worker/child.py",
        old="self._ask(signal.SIGINT, why, 0)",
        new="self._ask(signal.SIGTERM, why, 60_000)",
        tests=(f"{FLEETS}::test_two_signals_at_once_are_two",),
    ),
    Fault(
        name="who lost its lock lives on",
        path="liteq/worker/judging.py",
        old="                self._end_lost(child)\n",
        new="",
        tests=(f"{FLEETS}::test_a_task_that_becomes_another_program_is_ended_and_its_place_filled",),
    ),
    Fault(
        name="workers go on with a file that is no longer there",
        path="liteq/worker/tender.py",
        old="if not self._desk.engine.intact():",
        new="if not self._desk.engine:",
        tests=(f"{FLEETS}::test_workers_and_supervisor_follow_a_file_that_was_replaced",),
    ),
    Fault(
        name="the heart beats only when the file answers",
        path="liteq/worker/pulse.py",
        old="if now - self._turned_at < STUCK_MS:",
        new="if now - self._turned_at < 200:",
        tests=(f"{FLEETS}::test_a_lease_that_is_shorter_than_a_wait_for_the_file_kills_nobody",),
    ),
    Fault(
        name="a worker with nothing to do is never spared",
        path="liteq/worker/scaling.py",
        old="return max(bored) if bored and len(workers) > self.fewest else None",
        new="return max(bored) if bored and len(workers) < self.fewest else None",
        tests=(f"{FLEETS}::test_workers_with_nothing_to_do_are_spared",),
    ),
    Fault(
        name="late work of a loop counts as done",
        path="liteq/worker/claims.py",
        old="if self.overdue and not self.reported:",
        new="if self.overdue and self.reported:",
        tests=("tests/face/test_claims.py",),
    ),
    Fault(
        name="a command's children are left when its shell listens",
        path="liteq/worker/commands.py",
        old="        return self._signal(0)",
        new="        return False",
        tests=(COMMANDS,),
    ),
    Fault(
        name="a command outlives the grace of its worker",
        path="liteq/worker/commands.py",
        within="def look",
        old="        if self._must_leave():\n            raise Leaving\n",
        new="",
        tests=(COMMANDS,),
    ),
    Fault(
        name="the fleet's hung are only told of",
        path="liteq/worker/judging.py",
        within="def _end_hung",
        old="        child.kill(",
        new="        str(",
        tests=(HANGS,),
    ),
    Fault(
        name="a task that holds the interpreter is waited for",
        path="liteq/worker/judging.py",
        old="patience = 0 if silent is not None and silent > SILENT_MS else",
        new="patience = 10**9 if silent is not None and silent > SILENT_MS else",
        tests=(HANGS,),
    ),
    Fault(
        name="the verdict on a task past its time is not written",
        path="liteq/worker/limits.py",
        old="            self._desk.engine.time_out(",
        new="            dict(",
        tests=(HANGS,),
    ),
    Fault(
        name="tasks do not see that their job was taken",
        path="liteq/worker/tender.py",
        within="def _find_lost",
        old="                run.lost = True\n",
        new="",
        tests=(HANGS,),
    ),
    Fault(
        name="workers leave before their forerunner's successor is there",
        path="liteq/worker/recycling.py",
        old=" for child in staying) < wanted:",
        new=" for child in staying) < 1:",
        tests=("tests/crash/test_supervisor.py",),
    ),
    Fault(
        name="a killed worker's commands run on",
        path="liteq/worker/child.py",
        old="        kill_with_descendants(self.pid)",
        new="        self.process.kill()",
        tests=(HANGS,),
    ),
    Fault(
        name="expire forgets that a cancel was asked",
        path=f"{STORE}/staffing.py",
        old="cancel_as_asked(connection, [row[0] for row in jobs], now=now)",
        new="cancel_as_asked(connection, [], now=now)",
        tests=(EXPIRE,),
    ),
    Fault(
        name="release counts a failure",
        path=SQL,
        within="-- name: release\n",
        old="SET state      = @ready,\n",
        new="SET state      = @ready, failures = failures + 1,\n",
        tests=(REPORT,),
    ),
    Fault(
        name="requeue keeps the spent budget",
        path=SQL,
        within="-- name: requeue\n",
        old="    failures        = 0,\n",
        new="",
        tests=(HANDLE,),
    ),
    Fault(
        name="cancel ends what runs",
        path=SQL,
        within="-- name: cancel\n",
        old="AND state IN (@scheduled, @waiting, @blocked, @ready)",
        new="AND state IN (@scheduled, @waiting, @blocked, @ready, @running)",
        tests=(REPORT,),
    ),
    Fault(
        name="abort needs no asking",
        path=SQL,
        within="-- name: abort\n",
        old="  AND cancel_asked_at IS NOT NULL\n",
        new="",
        tests=(VERBS,),
    ),
    Fault(
        name="delete removes what runs",
        path=SQL,
        within="-- name: delete\n",
        old="  AND state <> @running\n",
        new="",
        tests=(HANDLE,),
    ),
    Fault(
        name="prune takes live jobs",
        path=SQL,
        within="-- name: prunable\n",
        old="  AND state IN (@completed, @cancelled)\n  AND finished_at < :finished_before\n",
        new="  AND state <> @dead\n  AND coalesce(finished_at, 0) < :finished_before\n",
        tests=(HANDLE,),
    ),
    Fault(
        name="prune takes the dead",
        path=SQL,
        within="-- name: prunable\n",
        old="(@completed, @cancelled)",
        new="(@completed, @cancelled, @dead)",
        tests=(VERBS,),
    ),
    Fault(
        name="until is inclusive",
        path=f"{STORE}/sql/query.sql",
        within="-- name: ids_by_state\n",
        old="enqueued_at < :until",
        new="enqueued_at <= :until",
        tests=(ASK,),
    ),
    Fault(
        name="a moved file is written to",
        path=f"{STORE}/writer.py",
        old="if self.connection.file_moved():",
        new="if self.connection.file_moved() and False:",
        tests=(SCHEMA,),
    ),
    Fault(
        name="commits are never synced",
        path=f"{STORE}/writer.py",
        old='True: "PRAGMA synchronous = FULL"',
        new='True: "PRAGMA synchronous = NORMAL"',
        tests=(SCHEMA,),
    ),
    Fault(
        name="the log goes on with a hole after a failed sync",
        path=f"{STORE}/writer.py",
        within="def note_failure",
        old="self._log_in_doubt = True",
        new="self._log_in_doubt = False",
        tests=(FAILED_SYNCS,),
    ),
    Fault(
        name="a checkpoint empties a log with a hole",
        path=f"{STORE}/checkpoint.py",
        old="        self._writer.renew_log()\n",
        new="",
        tests=(FAILED_SYNCS,),
    ),
    Fault(
        name="a journal that a dead process left closes the file for good",
        path=f"{STORE}/file.py",
        within="def _look",
        old="read_only=False",
        new="read_only=True",
        tests=(KILLS,),
    ),
    Fault(
        name="a commit that may have happened is taken for none",
        path=f"{STORE}/translate.py",
        old="unsure = committing and raw in {apsw.IOError, apsw.FullError}",
        new="unsure = committing and raw is apsw.FullError",
        tests=(FAILING_CALLS,),
    ),
    Fault(
        name="a forked child may write",
        path=f"{STORE}/writer.py",
        old="return os.getpid() != self._pid or forks() != self._forks",
        new="return os.getpid() == 0 and forks() != self._forks",
        tests=(SCHEMA,),
    ),
    Fault(
        name="a failing verb keeps its half in the shared commit",
        path=f"{STORE}/shared_commit.py",
        within="def _run_all",
        old='                plain("ROLLBACK TO shared")\n',
        new="",
        tests=(TRANSACTION,),
    ),
    Fault(
        name="a tampered schema is accepted",
        path=f"{STORE}/schema.py",
        within="def holds_liteq",
        old="if ours != expected_objects(version):",
        new="if not ours:",
        tests=(SCHEMA,),
    ),
    Fault(
        name="an index is gone",
        path=f"{STORE}/migrations/0001.sql",
        old="CREATE INDEX liteq_job_running ON liteq_job (owner) WHERE state = 5;\n",
        new="",
        tests=(STATEMENTS,),
    ),
    Fault(
        name="a step of a schedule is taken by everybody who saw the tick",
        path=SCHEDULE_SQL,
        within="-- name: advance_schedule\n",
        old="  AND next_fire_at IS :expected\n",
        new="  AND :expected IS :expected\n",
        tests=(SCHEDULES,),
    ),
    Fault(
        name="a step is taken though the schedule has changed",
        path=SCHEDULE_SQL,
        within="-- name: advance_schedule\n",
        old="  AND revision = :revision\n",
        new="  AND :revision > 0\n",
        tests=(SCHEDULES,),
    ),
    Fault(
        name="a paused schedule fires",
        path=SCHEDULE_SQL,
        within="-- name: due_schedules\n",
        old="  AND paused_at IS NULL\n",
        new="",
        tests=(SCHEDULES, STATEMENTS),
    ),
    Fault(
        name="a buffered tick is settled twice",
        path="liteq/store/sqlite/sql/tick.sql",
        within="-- name: settle_tick\n",
        old="  AND outcome = 'buffered'\n",
        new="",
        tests=(SCHEDULES,),
    ),
    Fault(
        name="jobs are made for ticks that somebody else won",
        path=SCHEDULER,
        within="def _win",
        old="if decision.step.schedule_id in won]",
        new="if won is not None]",
        tests=("tests/worker/test_firing_processes.py",),
    ),
    Fault(
        name="a tick and its job are two commits",
        path=SCHEDULER,
        within="def _fire_few",
        old="            with self._engine.transaction():\n",
        new="            if prepared:\n",
        tests=("tests/face/test_schedules.py",),
    ),
    Fault(
        name="the grace is not looked at",
        path="liteq/model/firing.py",
        within="def plan_ticks",
        old="if tick >= oldest_allowed)",
        new="if tick >= 0)",
        tests=("tests/face/test_schedules.py",),
    ),
    Fault(
        name="a clock that was set back is not noticed",
        path=SCHEDULER,
        within="def _mind_clock",
        old="now < self._seen - STEP_BACK_MS",
        new="now < 0",
        tests=("tests/face/test_schedules.py",),
    ),
    Fault(
        name="a live job does not hold up the next tick",
        path=SCHEDULE_SQL,
        within="-- name: scheduled_live\n",
        old="  AND state <= 5\n",
        new="  AND state <= 4\n",
        tests=(SCHEDULES,),
    ),
    Fault(
        name="max_runs is not counted",
        path="liteq/schedule_steps.py",
        within="def _outcome",
        old="runs >= options.max_runs",
        new="runs > options.max_runs",
        tests=("tests/face/test_schedules.py",),
    ),
    Fault(
        name="the number of a key lets one more in",
        path=f"{STORE}/turns.py",
        within="def _who_may(",
        old=">= most:",
        new="> most:",
        tests=(TURNS,),
    ),
    Fault(
        name="the number of a key lets one more in (the machine alone must see it)",
        path=f"{STORE}/turns.py",
        within="def _who_may(",
        old=">= most:",
        new="> most:",
        tests=(MACHINE,),
    ),
    Fault(
        name="only the number of who is next counts, not those in their turn",
        path=f"{STORE}/turns.py",
        within="def _who_may(",
        old="turn.most or line[0].max_running",
        new="line[0].max_running",
        tests=(TURNS,),
    ),
    Fault(
        name="those let in together are not held to the smallest number",
        path=f"{STORE}/turns.py",
        within="def _who_may(",
        old="most = min(most, job.max_running)",
        new="most = max(most, job.max_running)",
        tests=(TURNS,),
    ),
    Fault(
        name="ready jobs of a key are not in their turn",
        path=f"{STORE}/sql/key.sql",
        within="-- name: in_turn\n",
        old="  AND state IN (@ready, @running)\n",
        new="  AND state = @running\n",
        tests=(TURNS,),
    ),
    Fault(
        name="a better job waits behind a worse one that no worker has taken",
        path=f"{STORE}/turns.py",
        within="def _swap(",
        old="if first.place >= (-priority, run_at, job_id):",
        new="if True:",
        tests=(TURNS,),
    ),
    Fault(
        name="a worse job takes the turn of a better one (the machine alone must see it)",
        path=f"{STORE}/turns.py",
        within="def _swap(",
        old=">= (-priority",
        new="<= (-priority",
        tests=(MACHINE,),
    ),
    Fault(
        name="the line goes by age alone",
        path=f"{STORE}/sql/key.sql",
        within="-- name: line\n",
        old="ORDER BY priority DESC, run_at, id",
        new="ORDER BY run_at, id",
        tests=(TURNS,),
    ),
    Fault(
        name="jobs of paused queues are let in before those that can start",
        path=f"{STORE}/turns.py",
        within="def _line(",
        old="key=lambda one: one.queue in paused",
        new="key=lambda one: 0",
        tests=(TURNS,),
    ),
    Fault(
        name="the end of a job with a key lets in nobody",
        path=f"{STORE}/aftermath.py",
        within="def after_leaving(",
        old="aftermath & KEYED",
        new="aftermath & 16",
        tests=(TURNS,),
    ),
    Fault(
        name="a retry keeps the turn (the machine alone must see it)",
        path=f"{STORE}/reporting.py",
        within="def _move(",
        old="            else:\n                after_leaving(connection, moved, now=moment)\n",
        new="",
        tests=(MACHINE,),
    ),
    Fault(
        name="a job that is taken out while it is next lets in nobody",
        path=f"{STORE}/aftermath.py",
        within="def after_deletion(",
        old="    settle_keys(connection, (row[3] for row in deleted), now=now)\n",
        new="",
        tests=(TURNS,),
    ),
    Fault(
        name="a rescheduled job with a key settles nothing",
        path=f"{STORE}/handling.py",
        within="def reschedule(",
        old="            settle_keys(self.file.writer.connection, (row[1] for row in moved), now=now)\n",
        new="",
        tests=(TURNS,),
    ),
    Fault(
        name="promoted jobs with a key do not get in line",
        path=SQL,
        within="-- name: promote\n",
        old="iif(concurrency_key IS NULL, @ready, @blocked)",
        new="@ready",
        tests=(TURNS,),
    ),
    Fault(
        name="requeued jobs with a key do not get in line",
        path=SQL,
        within="-- name: requeue\n",
        old="iif(concurrency_key IS NULL, @ready, @blocked)",
        new="@ready",
        tests=(TURNS,),
    ),
    Fault(
        name="released jobs with a key do not get in line",
        path=SQL,
        within="-- name: release\n",
        old="iif(concurrency_key IS NULL, @ready, @blocked)",
        new="@ready",
        tests=(TURNS,),
    ),
    Fault(
        name="children with a key do not get in line",
        path=f"{STORE}/sql/dependency.sql",
        within="-- name: unblock\n",
        old="WHEN concurrency_key IS NULL THEN @ready",
        new="WHEN 1 THEN @ready",
        tests=(TURNS,),
    ),
    Fault(
        name="a lost worker's job with a key does not get in line",
        path=SQL,
        within="-- name: expire\n",
        old="iif(:state = @ready AND concurrency_key IS NOT NULL, @blocked, :state)",
        new=":state",
        tests=(TURNS,),
    ),
    Fault(
        name="the token of a key is not spent",
        path=f"{STORE}/turns.py",
        within="def _has_token(",
        old="> ready:",
        new="> -1:",
        tests=(TURNS,),
    ),
    Fault(
        name="ready jobs of a key share a token",
        path=f"{STORE}/turns.py",
        within="def _has_token(",
        old="> ready:",
        new="> 0:",
        tests=(TURNS,),
    ),
    Fault(
        name="nobody looks at a key again when it has a token",
        path=f"{STORE}/turns.py",
        within="def _has_token(",
        old="    if ready == 0:\n",
        new="    if ready < 0:\n",
        tests=(TURNS,),
    ),
    Fault(
        name="a limit lets one more run",
        path=f"{STORE}/lanes.py",
        within="def hold_to(",
        old="one.max_running - running",
        new="one.max_running - running + 1",
        tests=(LIMITS,),
    ),
    Fault(
        name="a limit lets one more run (the machine alone must see it)",
        path=f"{STORE}/lanes.py",
        within="def hold_to(",
        old="one.max_running - running",
        new="one.max_running - running + 1",
        tests=(MACHINE,),
    ),
    Fault(
        name="the limit of a task is that of each queue",
        path=f"{STORE}/lanes.py",
        within="def take(",
        old="((QUEUE, queue), (TASK, task))",
        new="((QUEUE, queue),)",
        tests=(LIMITS,),
    ),
    Fault(
        name="limits are not read again under the lock",
        path=f"{STORE}/claiming.py",
        within="def claim(",
        old="telling=telling) or gates.limited:",
        new="telling=telling):",
        tests=(TROUBLE,),
    ),
    Fault(
        name="a rate is not spent by claims",
        path=f"{STORE}/lanes.py",
        within="def spend(",
        old="tokens=tokens * taken",
        new="tokens=0",
        tests=(LIMITS,),
    ),
    Fault(
        name="a batch spends one token",
        path=f"{STORE}/lanes.py",
        within="def spend(",
        old="tokens=tokens * taken",
        new="tokens=tokens",
        tests=(LIMITS,),
    ),
    Fault(
        name="late releases give tokens back",
        path=f"{STORE}/reporting.py",
        within="def release(",
        old="spend(connection, kept, now=now, tokens=-1)",
        new="spend(connection, claims, now=now, tokens=-1)",
        tests=(LIMITS,),
    ),
    Fault(
        name="late releases give the tokens of their keys back",
        path=f"{STORE}/reporting.py",
        within="def release(",
        old="return_tokens(connection, kept, now=now)",
        new="return_tokens(connection, claims, now=now)",
        tests=(TURNS,),
    ),
    Fault(
        name="jobs that had started give their tokens back",
        path=f"{STORE}/reporting.py",
        within="def release(",
        old="            if unstarted:\n",
        new="            if claims:\n",
        tests=(LIMITS,),
    ),
    Fault(
        name="time does not wake who waits for a token",
        path=SQL,
        within="-- name: next_due\n",
        old="next_us > :now * 1000",
        new="next_us < 0 * :now",
        tests=(LIMITS,),
    ),
    Fault(
        name="what a program declares goes before the operator",
        path=f"{STORE}/sql/limit.sql",
        within="-- name: gates\n",
        old="coalesce(max_running, declared_max_running)",
        new="coalesce(declared_max_running, max_running)",
        tests=(LIMITS,),
    ),
    Fault(
        name="setting one side drops the other",
        path=f"{STORE}/sql/limit.sql",
        within="-- name: put_limit\n",
        old="coalesce(excluded.rate, rate)",
        new="excluded.rate",
        tests=(LIMITS,),
    ),
    Fault(
        name="a rate is faster than promised",
        path="liteq/model/rate.py",
        within="def interval_us(",
        old="-(-self.per_ms * 1_000 // self.count)",
        new="self.per_ms * 1_000 // (self.count + 1)",
        tests=(RATE,),
    ),
    Fault(
        name="lateness adds up",
        path="liteq/model/rate.py",
        within="def _since(",
        old="if now_us - next_us <= GRACE_US:",
        new="if now_us == next_us:",
        tests=(RATE,),
    ),
    Fault(
        name="a clock that was set back holds up a rate",
        path="liteq/model/rate.py",
        within="def _since(",
        old="next_us > now_us + interval",
        new="next_us > now_us + 10**15",
        tests=(RATE,),
    ),
    Fault(
        name="tokens pile up without end",
        path="liteq/model/rate.py",
        within="def _since(",
        old="return max(next_us, now_us",
        new="return min(next_us, now_us",
        tests=(RATE,),
    ),
    Fault(
        name="a burst ends while jobs wait behind a running one of their key",
        path=f"{STORE}/claiming.py",
        within="def work_left(",
        old=', *self.file.read("next_lanes", {"until": until})]',
        new="]",
        tests=(LIMITS,),
    ),
    Fault(
        name="a burst waits for a token that comes tomorrow",
        path=f"{STORE}/lanes.py",
        within="def opens_by(",
        old="<= until for",
        new="> 0 for",
        tests=(LIMITS,),
    ),
    Fault(
        name="a lock's token is given out twice",
        path=LOCK_SQL,
        within="-- name: take_lock\n",
        old="SET token     = token + 1,\n",
        new="SET token     = token,\n",
        tests=(LOCKS,),
    ),
    Fault(
        name="a late release frees the lock of the next holder",
        path=LOCK_SQL,
        within="-- name: release_lock\n",
        old="  AND token = :token\n",
        new="  AND :token > 0\n",
        tests=(LOCKS,),
    ),
    Fault(
        name="a late release frees the lock of the next holder (the machine alone must see it)",
        path=LOCK_SQL,
        within="-- name: release_lock\n",
        old="  AND token = :token\n",
        new="  AND :token > 0\n",
        tests=(LOCK_MACHINE,),
    ),
    Fault(
        name="who comes last takes the lock first",
        path=f"{STORE}/locking.py",
        within="def _look",
        old="if ahead == 0 or",
        new="if ahead >= 0 or",
        tests=(LOCKS,),
    ),
    Fault(
        name="a stopped waiter keeps everybody from a free lock",
        path=f"{STORE}/locking.py",
        within="def _look",
        old="freed_at + ahead * TURN_MS",
        new="freed_at + ahead * 10**15",
        tests=(LOCKS,),
    ),
    Fault(
        name="the locks of the dead stay theirs",
        path=f"{STORE}/locking.py",
        within="def _if_dead",
        old="identity if not is_own and",
        new="identity if is_own and",
        tests=(LOCKS,),
    ),
    Fault(
        name="a job that is taken from its worker keeps its locks",
        path=f"{STORE}/staffing.py",
        old='        connection.rows("free_locks_of_job", {"job_id": job_id, "attempt": attempt, "now": now})\n',
        new="",
        tests=(LOCKS,),
    ),
    Fault(
        name="an attempt's locks outlive it",
        path="liteq/worker/runner.py",
        old="if run is not None and run.at_end:",
        new="if run is None:",
        tests=(LOCKS_FACE,),
    ),
    Fault(
        name="a block within a block releases the lock",
        path="liteq/lock.py",
        within="def let_go",
        old="if held.depth > 0:",
        new="if held.depth > 1:",
        tests=(LOCKS_FACE,),
    ),
    Fault(
        name="who waits no more stays in line",
        path="liteq/lock.py",
        old="                    engine.leave_line(place)\n",
        new="                    str(place)\n",
        tests=(LOCKS_FACE,),
    ),
    Fault(
        name="a stream is one commit",
        path="liteq/enqueueing.py",
        old="if len(calls) == size or held",
        new="if len(calls) < 0 or held",
        tests=(STREAMS,),
    ),
    Fault(
        name="a stream of large arguments has no bound",
        path="liteq/enqueueing.py",
        old="== size or held >= CHUNK_BYTES:",
        new="== size:",
        tests=(STREAMS,),
    ),
    Fault(
        name="a child becomes ready with its first parent",
        path=DEPENDENCY_SQL,
        within="-- name: unblock\n",
        old="parents_left > 1",
        new="parents_left > 2",
        tests=(DEPENDENCIES, MACHINE),
    ),
    Fault(
        name="a child is told of its parent whatever state it is in",
        path=DEPENDENCY_SQL,
        within="-- name: unblock\n",
        old="  AND state = @waiting\n",
        new="",
        tests=(DEPENDENCIES, MACHINE),
    ),
    Fault(
        name="a failed parent cancels no child",
        path="liteq/store/sqlite/aftermath.py",
        within="def _tell",
        old="    if stop:\n",
        new="    if stop and not run:\n",
        tests=(DEPENDENCIES, MACHINE),
    ),
    Fault(
        name="grandchildren are not told",
        path="liteq/store/sqlite/aftermath.py",
        within="def _tell",
        old='        _follow(connection, [row[:2] for row in gone if row[1]], "cancelled", now)\n',
        new="",
        tests=(DEPENDENCIES,),
    ),
    Fault(
        name="parents are told once more when they end again",
        path="liteq/store/sqlite/aftermath.py",
        within="def _begin",
        old='    connection.rows("have_told", {"job_ids": id_list(parents)})\n',
        new="",
        tests=(DEPENDENCIES,),
    ),
    Fault(
        name="a batch has finished with its last but one",
        path=BATCH_SQL,
        within="-- name: count_ends\n",
        old=":cancelled >= jobs",
        new=":cancelled >= jobs - 1",
        tests=(BATCHES, MACHINE),
    ),
    Fault(
        name="a batch that has finished can be joined",
        path=BATCH_SQL,
        within="-- name: join_batch\n",
        old="  AND finished_at IS NULL\n",
        new="",
        tests=(BATCHES, MACHINE),
    ),
    Fault(
        name="a batch that was cancelled can be joined",
        path=BATCH_SQL,
        within="-- name: join_batch\n",
        old="  AND cancelled_at IS NULL\n",
        new="",
        tests=(BATCHES,),
    ),
    Fault(
        name="a member that runs again still counts as ended",
        path="liteq/store/sqlite/handling.py",
        within="def _requeue",
        old='        connection.rows("reopen_batch", {"job_id": job_id})\n',
        new="",
        tests=(BATCHES, MACHINE),
    ),
    Fault(
        name="callbacks come each time that a batch finishes",
        path="liteq/store/sqlite/making.py",
        within="def make_callbacks",
        old="if template is None or made[callback] is not None:",
        new="if template is None:",
        tests=(BATCHES,),
    ),
    Fault(
        name="more may fail than are allowed",
        path=BATCH_SQL,
        within="-- name: count_ends\n",
        old="dead + cancelled <= max_failed",
        new="dead + cancelled <= max_failed + 1",
        tests=(BATCHES,),
    ),
    Fault(
        name="a deleted member is not counted",
        path="liteq/store/sqlite/aftermath.py",
        within="def after_deletion",
        old="if batch_id is not None]",
        new="if batch_id is not None and parents]",
        tests=(BATCHES, MACHINE),
    ),
    Fault(
        name="a member that is cancelled at birth is not counted",
        path="liteq/store/sqlite/enqueueing.py",
        within="def _insert_child",
        old="            stopped.append(job)\n",
        new="            stopped.clear()\n",
        tests=(BATCHES, MACHINE),
    ),
    Fault(
        name="cancelled jobs have a fallback",
        path="liteq/store/sqlite/aftermath.py",
        within="def _follow",
        old='if failed == "dead":',
        new="if failed:",
        tests=(BATCHES,),
    ),
)


def broken(text: str, fault: Fault) -> str:
    """Give the text with the fault in it. Raises ValueError unless the place is found exactly once."""
    head, found, rest = text.partition(fault.within) if fault.within else ("", "", text)
    if fault.within and not found:
        raise ValueError(f"no {fault.within.strip()!r} in {fault.path}")
    # A statement ends where the next begins, a function likewise.
    ends = [rest.find(start) for start in ("\n-- name: ", "\ndef ", "\n    def ") if fault.within and start in rest]
    end = min(ends, default=len(rest))
    rest, tail = rest[:end], rest[end:]
    if rest.count(fault.old) != 1:
        raise ValueError(
            f"{rest.count(fault.old)} places for {fault.old.strip()!r} in {fault.path} {fault.within.strip()}"
        )
    return head + found + rest.replace(fault.old, fault.new) + tail


def sound(tests: tuple[str, ...]) -> bool:
    """Tell whether the tests pass in a copy without a fault: else their failing proves nothing."""
    with tempfile.TemporaryDirectory(prefix="liteq-mutate-") as folder:
        copy = Path(folder) / "liteq"
        shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
        return _verdict(copy, tests)[0] == "SURVIVED"


def try_out(fault: Fault) -> tuple[bool, str]:
    """Plant the fault in a copy and run its tests there; give whether they caught it, and a line to print."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="liteq-mutate-") as folder:
        copy = Path(folder) / "liteq"
        shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
        target = copy / fault.path
        try:
            target.write_text(broken(target.read_text(encoding="utf-8"), fault), encoding="utf-8")
        except ValueError as error:
            return False, f"MISPLACED      {fault.name}: {error}"
        verdict, caught = _verdict(copy, fault.tests)
    return caught, f"{verdict:<9} {time.monotonic() - began:4.1f}s {fault.name}"


def _verdict(copy: Path, tests: tuple[str, ...]) -> tuple[str, bool]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # The copy comes before the editable install of the project itself.
    paths = os.pathsep.join([str(copy), str(copy / "cli")])
    try:
        ended = subprocess.run(
            command,
            cwd=copy,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "caught", True
    # 1: tests failed. Anything else but 0 is a run that told nothing.
    if ended.returncode not in {0, 1}:
        return f"BROKE {ended.returncode}: {ended.stdout[-300:]}{ended.stderr[-300:]}", False
    return ("caught", True) if ended.returncode else ("SURVIVED", False)


def main() -> int:
    """Try every fault whose name holds the word given, all without one; 1 when any was not caught."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [fault for fault in FAULTS if wanted in fault.name]
    began, missed = time.monotonic(), 0
    if not sound(tuple(sorted({test for fault in chosen for test in fault.tests}))):
        sys.stdout.write("the tests fail without any fault; mend that first\n")
        return 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for n, (caught, line) in enumerate(pool.map(try_out, chosen), 1):
            missed += not caught
            sys.stdout.write(f"{n:>2}/{len(chosen)} {line}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - missed} caught, {missed} not, in {time.monotonic() - began:.0f} s\n")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
