"""Workers are killed at random while a key and a queue let three jobs run at once: does a fourth ever start?

Each job looks for a free one of three locks, which the kernel frees with the process that dies. ``python -m
benchmarks.slots`` runs it.
"""

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.harness import Plan, Row, Table, load
from benchmarks.kills import note
from benchmarks.process import ROOT
from liteq import Liteq

WORKERS = 8
MOST = 3
FILE = "LITEQ_SLOTS_FILE"
FAMILIES = ("keyed", "narrow", "task")


def open_app(path: Path) -> Liteq:
    """Give the app with the tasks that are killed."""
    app = Liteq(path)
    app.task(name="slotted", max_crashes=1_000, timeout=60)(slotted)
    app.task(name="limited", max_crashes=1_000, timeout=60, max_running=MOST)(slotted)
    return app


def slotted(room: str, family: str, seconds: float) -> None:
    """Take a lock, say which, and work for a while; say "over" if there is none."""
    for slot in range(MOST):
        with Path(room, f"{family}.{slot}").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            note(str(Path(room, family)), str(slot))
            time.sleep(seconds)
            return
    note(str(Path(room, family)), "over")


def start(room: Path) -> "subprocess.Popen[bytes]":
    """Start a worker."""
    environment = os.environ | {FILE: str(room / "jobs.db")}
    return subprocess.Popen([sys.executable, "-m", "benchmarks.slots", "work"], cwd=ROOT, env=environment)


def measure(plan: Plan) -> list[Table]:
    """Kill workers for minutes, then let the rest be done, and count which locks were taken."""
    before = load()
    seconds, draw = plan.size(120, 8), random.Random(1124)
    with plan.room() as room, open_app(room / "jobs.db") as app:
        app.limit_queue("narrow", max_running=MOST)
        killed = enqueued = 0
        workers = [start(room) for _ in range(WORKERS)]
        over = time.monotonic() + seconds
        try:
            while time.monotonic() < over:
                if app.count_jobs(state=["ready", "blocked"]) < 300:
                    enqueued += _enqueue(app, str(room), draw)
                time.sleep(0.15)
                place = draw.randrange(WORKERS)
                workers[place].send_signal(signal.SIGKILL)
                workers[place].wait()
                workers[place] = start(room)
                killed += 1
            until = time.monotonic() + 120
            while app.count_jobs(state=["ready", "running", "scheduled", "blocked"]) and time.monotonic() < until:
                time.sleep(0.2)
        finally:
            for worker in workers:
                worker.terminate()
                worker.wait()
        facts: Row = {"seconds": seconds, "workers": WORKERS, "kills": killed, "jobs": enqueued}
        facts |= {"completed": app.count_jobs(state="completed")}
        rows = [_row(room, family) for family in FAMILIES]
    return [
        Table(title="three at once, workers killed at random", rounds=1, load=(before, load()), rows=[facts]),
        Table(title="starts by the lock they took", rounds=1, load=(before, load()), rows=rows),
    ]


def _enqueue(app: Liteq, room: str, draw: random.Random) -> int:
    calls = [
        app.call("slotted", room, "keyed", draw.random() * 0.05).using(concurrency_key="k", max_running_per_key=MOST),
        app.call("slotted", room, "narrow", draw.random() * 0.05).using(queue="narrow"),
        app.call("limited", room, "task", draw.random() * 0.05),
    ]
    return len(app.enqueue_many(calls * 100))


def _row(room: Path, family: str) -> Row:
    taken = Counter((room / family).read_text().split())
    row: Row = {"limit of": {"keyed": "a key", "narrow": "a queue", "task": "a task"}[family]}
    return row | {f"lock {slot + 1}": taken[str(slot)] for slot in range(MOST)} | {"a fourth at once": taken["over"]}


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        open_app(Path(os.environ[FILE])).work(threads=2)
    else:
        for table in measure(Plan(Path("/var/tmp"), quick="quick" in sys.argv)):  # noqa: S108  a fresh folder in it
            print(table.text())
