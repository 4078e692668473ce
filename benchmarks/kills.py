"""Workers are killed at random for minutes: is a job lost, or given two outcomes?

Each job appends a line to one file when it begins and one when it ends. ``python -m benchmarks.kills`` runs it.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.harness import Plan, Row, Table, load
from benchmarks.process import ROOT
from liteq import JobContext, Liteq, State

WORKERS = 4
FILE = "LITEQ_KILLS_FILE"


def open_app(path: Path) -> Liteq:
    """Give the app with the task that is killed."""
    app = Liteq(path)
    app.task(name="marked", max_crashes=1_000, timeout=60)(marked)
    return app


def marked(ctx: JobContext, marks: str, seconds: float) -> int:
    """Leave a mark at the beginning and at the end."""
    note(marks, f"{ctx.id} begin {ctx.attempt}")
    time.sleep(seconds)
    note(marks, f"{ctx.id} end {ctx.attempt}")
    return ctx.attempt


def note(marks: str, line: str) -> None:
    """Append a line in one write."""
    descriptor = os.open(marks, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def start(room: Path) -> "subprocess.Popen[bytes]":
    """Start a worker."""
    environment = os.environ | {FILE: str(room / "jobs.db")}
    return subprocess.Popen([sys.executable, "-m", "benchmarks.kills", "work"], cwd=ROOT, env=environment)


def measure(plan: Plan) -> list[Table]:
    """Kill workers for minutes, then let the rest be done, and count."""
    before = load()
    seconds, seed = plan.size(170, 8), 1124
    draw = random.Random(seed)
    with plan.room() as room, open_app(room / "jobs.db") as app:
        marks = str(room / "marks")
        killed = 0
        workers = [start(room) for _ in range(WORKERS)]
        over = time.monotonic() + seconds
        enqueued = 0
        try:
            while time.monotonic() < over:
                if app.count_jobs(state="ready") < 200:
                    calls = (app.call("marked", marks, draw.random() * 0.02) for _ in range(200))
                    enqueued += len(app.enqueue_many(calls))
                time.sleep(0.15)
                place = draw.randrange(WORKERS)
                workers[place].send_signal(signal.SIGKILL)
                workers[place].wait()
                workers[place] = start(room)
                killed += 1
            _wait_until_done(app)
        finally:
            for worker in workers:
                worker.terminate()
                worker.wait()
        row = _counted(app, Path(marks), enqueued) | {"kills": killed, "seconds": seconds, "seed": seed}
    return [Table(title="workers killed at random", rounds=1, load=(before, load()), rows=[row])]


def _wait_until_done(app: Liteq) -> None:
    until = time.monotonic() + 120
    while app.count_jobs(state=["ready", "running", "scheduled"]) and time.monotonic() < until:
        time.sleep(0.2)


def _counted(app: Liteq, marks: Path, enqueued: int) -> Row:
    ends = Counter(line.split()[0] for line in marks.read_text().splitlines() if line.split()[1] == "end")
    done = app.count_jobs(state="completed")
    outcomes = Counter[int]()
    crashes = 0
    before = None
    while jobs := app.list_jobs(state="completed", limit=1_000, before_id=before):
        before = jobs[-1].id
        for job in jobs:
            outcomes[job.id] += sum(attempt.outcome == "completed" for attempt in job.attempts)
            crashes += job.record.crashes
    return {
        "jobs": enqueued,
        "completed": done,
        "lost": enqueued - done,
        "never ended": enqueued - len(ends),
        "two outcomes": sum(number > 1 for number in outcomes.values()),
        "crashes charged": crashes,
        "dead": app.count_jobs(state=State.DEAD),
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        open_app(Path(os.environ[FILE])).work(threads=4)
    else:
        for table in measure(Plan(Path("/var/tmp"))):  # noqa: S108  a fresh folder of its own is made in it
            print(table.text())
