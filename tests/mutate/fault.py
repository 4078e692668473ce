"""One small fault, and the files that faults and their tests are in."""

import msgspec

SQL = "liteq/store/sqlite/sql/job.sql"
STORE = "liteq/store/sqlite"
SCHEDULE_SQL = "liteq/store/sqlite/sql/schedule.sql"
SCHEDULER = "liteq/scheduler.py"
DEPENDENCY_SQL = "liteq/store/sqlite/sql/dependency.sql"
BATCH_SQL = "liteq/store/sqlite/sql/batch.sql"
DEPENDENCIES = "tests/engine/test_dependencies.py"
BATCHES = "tests/engine/test_batches.py"
FALLBACKS = "tests/engine/test_fallbacks.py"
VERBS = "tests/engine/test_every_verb.py"
CLAIM = "tests/engine/test_claim.py"
ENQUEUE = "tests/engine/test_enqueue.py"
REPORT_MANY = "tests/engine/test_report_many.py"
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
KEY_RATES = "tests/engine/test_key_rates.py"
LIMITS = "tests/engine/test_limits.py"
RATE = "tests/model/test_rate.py"
SECOND_LOOK = "tests/store/test_second_look.py"
SCHEMA = "tests/store/test_schema.py"
FILE = "tests/store/test_file.py"
DISK = "tests/store/test_disk.py"
NEIGHBOURS = "tests/store/test_neighbours.py"
SCHEDULES = "tests/engine/test_schedules.py"
STATEMENTS = "tests/store/test_statements.py"
PENDING = "tests/engine/test_pending.py"
DEBOUNCE = "tests/engine/test_debounce.py"
BREAKERS = "tests/engine/test_breakers.py"
RETRY_BUDGETS = "tests/engine/test_retry_budgets.py"
GUARD_MACHINE = "tests/engine/test_guard_machine.py"
FULL_QUEUES = "tests/face/test_full_queues.py"
DEBOUNCE_FACE = "tests/face/test_debounce.py"
KEEPING = "tests/engine/test_keeping.py"
STEPS = "tests/face/test_steps.py"
PROGRESS = "tests/face/test_progress.py"
SCRIBE = "tests/worker/test_scribe.py"
KEEPING_PROCESSES = "tests/worker/test_keeping_processes.py"
FAILING_CALLS = "tests/faults/test_failing_calls.py"
FAILED_SYNCS = "tests/faults/test_failed_syncs.py"
LOCKS = "tests/engine/test_locks.py"
LOCK_MACHINE = "tests/engine/test_lock_machine.py"
LOCKS_FACE = "tests/face/test_locks.py"
STREAMS = "tests/face/test_streams.py"
LOCK_SQL = "liteq/store/sqlite/sql/lock.sql"
COROUTINES = "tests/worker/test_coroutines.py"
KILLS = "tests/faults/test_kills.py"
TRANSACTIONS_FACE = "tests/face/test_transactions.py"
STATEMENTS_FACE = "tests/face/test_statements.py"


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
