CREATE TABLE liteq_meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE liteq_job (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    state           INTEGER NOT NULL CHECK (state BETWEEN 1 AND 8),
    priority        INTEGER NOT NULL,
    run_at          INTEGER NOT NULL,
    attempt         INTEGER NOT NULL DEFAULT 0,
    failures        INTEGER NOT NULL DEFAULT 0,
    crashes         INTEGER NOT NULL DEFAULT 0,
    max_failures    INTEGER NOT NULL,
    max_crashes     INTEGER NOT NULL,
    timeout_ms      INTEGER,
    owner           INTEGER,
    enqueued_at     INTEGER NOT NULL,
    claimed_at      INTEGER,
    started_at      INTEGER,
    finished_at     INTEGER,
    cancel_asked_at INTEGER,
    cancel_hard     INTEGER NOT NULL DEFAULT 0,
    overdue_attempt INTEGER,
    parents_left    INTEGER NOT NULL DEFAULT 0,
    aftermath       INTEGER NOT NULL DEFAULT 0,
    batch_id        INTEGER,
    schedule_id     INTEGER,
    fire_at         INTEGER,
    unique_scope    INTEGER,
    held_until      INTEGER,
    key_max_running INTEGER,
    args_crc        INTEGER NOT NULL,
    queue           TEXT NOT NULL,
    task            TEXT NOT NULL,
    unique_key      TEXT,
    unique_slot     TEXT,
    concurrency_key TEXT,
    key_rate        TEXT,
    reason          TEXT,
    result_error    TEXT,
    backoff         BLOB,
    metadata        BLOB,
    on_dead         BLOB,
    args            BLOB NOT NULL,
    result          BLOB
) STRICT;

CREATE INDEX liteq_job_ready ON liteq_job (queue, task, priority DESC, run_at, id) WHERE state = 4;
CREATE INDEX liteq_job_scheduled ON liteq_job (run_at, queue, task, priority) WHERE state = 1;
CREATE INDEX liteq_job_waiting ON liteq_job (queue, task, priority) WHERE state = 2;
CREATE INDEX liteq_job_keyed ON liteq_job (concurrency_key, state, priority DESC, run_at, id, key_max_running, key_rate)
    WHERE concurrency_key IS NOT NULL AND state BETWEEN 3 AND 5;
CREATE INDEX liteq_job_running ON liteq_job (owner) WHERE state = 5;
CREATE INDEX liteq_job_dead ON liteq_job (queue, task, priority) WHERE state = 7;
CREATE INDEX liteq_job_schedule ON liteq_job (schedule_id) WHERE schedule_id IS NOT NULL AND state <= 5;
CREATE INDEX liteq_job_batch ON liteq_job (batch_id) WHERE batch_id IS NOT NULL;
CREATE UNIQUE INDEX liteq_job_unique ON liteq_job (unique_slot) WHERE unique_slot IS NOT NULL;

CREATE TABLE liteq_attempt (
    job_id      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    worker      TEXT NOT NULL,
    claimed_at  INTEGER,
    started_at  INTEGER,
    finished_at INTEGER NOT NULL,
    exit_code   INTEGER,
    error       TEXT,
    traceback   TEXT,
    log         TEXT,
    output      BLOB,
    PRIMARY KEY (job_id, attempt)
) STRICT;

CREATE TABLE liteq_dependency (
    parent_id INTEGER NOT NULL,
    child_id  INTEGER NOT NULL,
    policy    INTEGER NOT NULL CHECK (policy BETWEEN 1 AND 2),
    place     INTEGER NOT NULL,
    told      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (parent_id, child_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX liteq_dependency_child ON liteq_dependency (child_id, place);

CREATE TABLE liteq_fanout (
    parent_id   INTEGER NOT NULL,
    up_to_child INTEGER NOT NULL,
    failed      TEXT,
    after_child INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (parent_id, up_to_child)
) STRICT, WITHOUT ROWID;

CREATE TABLE liteq_batch (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL,
    jobs          INTEGER NOT NULL DEFAULT 0,
    completed     INTEGER NOT NULL DEFAULT 0,
    dead          INTEGER NOT NULL DEFAULT 0,
    cancelled     INTEGER NOT NULL DEFAULT 0,
    max_failed    INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    finished_at   INTEGER,
    cancelled_at  INTEGER,
    success_job   INTEGER,
    failure_job   INTEGER,
    complete_job  INTEGER,
    error         TEXT,
    on_success    BLOB,
    on_failure    BLOB,
    on_complete   BLOB
) STRICT;

CREATE TABLE liteq_tag (
    tag    TEXT NOT NULL,
    job_id INTEGER NOT NULL,
    PRIMARY KEY (tag, job_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX liteq_tag_job ON liteq_tag (job_id);

CREATE TABLE liteq_progress (
    job_id     INTEGER PRIMARY KEY,
    attempt    INTEGER NOT NULL,
    done       ANY NOT NULL,
    total      ANY,
    note       TEXT,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE liteq_checkpoint (
    job_id   INTEGER PRIMARY KEY,
    attempt  INTEGER NOT NULL,
    saved_at INTEGER NOT NULL,
    value    BLOB NOT NULL
) STRICT;

CREATE TABLE liteq_step (
    job_id      INTEGER NOT NULL,
    name        TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    result      BLOB NOT NULL,
    PRIMARY KEY (job_id, name)
) STRICT;

CREATE TABLE liteq_stream (
    job_id   INTEGER PRIMARY KEY,
    last_seq INTEGER NOT NULL,
    parts    INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    dropped  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE liteq_part (
    job_id       INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    value        BLOB NOT NULL,
    PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE liteq_queue (
    name          TEXT PRIMARY KEY,
    paused_at     INTEGER,
    paused_reason TEXT,
    max_pending   INTEGER,
    pending       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE liteq_guard (
    task          TEXT PRIMARY KEY,
    failure_rate  REAL,
    window_ms     INTEGER,
    min_calls     INTEGER,
    open_ms       INTEGER,
    opened_at     INTEGER,
    open_until    INTEGER,
    openings      INTEGER NOT NULL DEFAULT 0,
    trial_job_id  INTEGER,
    trial_attempt INTEGER,
    retries       INTEGER,
    retries_ms    INTEGER,
    spent_at      INTEGER,
    spent_until   INTEGER,
    postponed     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE liteq_guard_count (
    task      TEXT NOT NULL,
    slice     INTEGER NOT NULL,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task, slice)
) STRICT, WITHOUT ROWID;

CREATE TABLE liteq_limit (
    kind                 INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 2),
    name                 TEXT NOT NULL,
    max_running          INTEGER,
    rate                 TEXT,
    declared_max_running INTEGER,
    declared_rate        TEXT,
    next_us              INTEGER,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE liteq_key (
    name    TEXT PRIMARY KEY,
    next_us INTEGER NOT NULL,
    full_at INTEGER NOT NULL,
    wake_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX liteq_key_full ON liteq_key (full_at) WHERE wake_at IS NULL;
CREATE INDEX liteq_key_wake ON liteq_key (wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE liteq_worker (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    name             TEXT NOT NULL,
    pid              INTEGER NOT NULL,
    pid_start        INTEGER,
    boot_id          TEXT NOT NULL,
    pid_namespace    INTEGER NOT NULL,
    life_ino         INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    tasks            TEXT NOT NULL,
    queues           TEXT,
    slots            INTEGER NOT NULL,
    lease_ms         INTEGER,
    supervisor_pid   INTEGER,
    supervisor_start INTEGER
) STRICT;

CREATE TABLE liteq_holder (
    id            INTEGER PRIMARY KEY,
    pid           INTEGER NOT NULL,
    pid_start     INTEGER,
    boot_id       TEXT NOT NULL,
    pid_namespace INTEGER NOT NULL,
    life_ino      INTEGER NOT NULL
) STRICT;

CREATE TABLE liteq_lock (
    name      TEXT PRIMARY KEY,
    token     INTEGER NOT NULL,
    holder_id INTEGER,
    job_id    INTEGER,
    attempt   INTEGER,
    taken_at  INTEGER NOT NULL,
    freed_at  INTEGER,
    what      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX liteq_lock_holder ON liteq_lock (holder_id) WHERE holder_id IS NOT NULL;
CREATE INDEX liteq_lock_job ON liteq_lock (job_id) WHERE job_id IS NOT NULL;

CREATE TABLE liteq_lock_line (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    name      TEXT NOT NULL,
    holder_id INTEGER NOT NULL
) STRICT;

CREATE INDEX liteq_lock_line_name ON liteq_lock_line (name, id);
CREATE INDEX liteq_lock_line_holder ON liteq_lock_line (holder_id);

CREATE TABLE liteq_metric (
    minute    INTEGER NOT NULL,
    queue     TEXT NOT NULL,
    task      TEXT NOT NULL,
    completed INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER NOT NULL DEFAULT 0,
    dead      INTEGER NOT NULL DEFAULT 0,
    crashed   INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    run_ms    INTEGER NOT NULL DEFAULT 0,
    wait_ms   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (minute, queue, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE liteq_schedule (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL UNIQUE,
    revision      INTEGER NOT NULL DEFAULT 1,
    declared      INTEGER NOT NULL CHECK (declared BETWEEN 0 AND 1),
    spec          BLOB NOT NULL,
    job           BLOB NOT NULL,
    next_fire_at  INTEGER,
    advanced_at   INTEGER NOT NULL,
    tzdata        TEXT NOT NULL,
    runs          INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    paused_at     INTEGER,
    paused_reason TEXT,
    error         TEXT
) STRICT;

CREATE INDEX liteq_schedule_due ON liteq_schedule (next_fire_at) WHERE next_fire_at IS NOT NULL AND paused_at IS NULL;

CREATE TABLE liteq_tick (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    schedule_id INTEGER NOT NULL,
    fire_at     INTEGER NOT NULL,
    decided_at  INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    ticks       INTEGER NOT NULL,
    job_id      INTEGER
) STRICT;

CREATE INDEX liteq_tick_schedule ON liteq_tick (schedule_id, fire_at);
CREATE INDEX liteq_tick_buffered ON liteq_tick (schedule_id, id) WHERE outcome = 'buffered';

CREATE TABLE liteq_tick_count (
    schedule_id INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    ticks       INTEGER NOT NULL,
    late_ms     INTEGER NOT NULL,
    PRIMARY KEY (schedule_id, outcome)
) STRICT, WITHOUT ROWID;
