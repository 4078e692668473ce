"""How soon after ``kill -9`` of its worker does another one start the job again?"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.harness import Plan, Row, Table, load, percentile
from benchmarks.holding import FILE, hold
from benchmarks.process import ROOT
from liteq import Liteq

WORKERS = 3
ENOUGH = 2
PATIENCE_S = 30.0
SUPERVISED = [sys.executable, "-m", "liteq_cli", "--app", "benchmarks.holding:app", "work", "--log-level", "error"]
ALONE = [sys.executable, "-m", "benchmarks.holding"]


def measure(plan: Plan) -> list[Table]:
    """Give the times from the kill to the second start, under a supervisor and without."""
    before = load()
    rows: list[Row] = []
    for what, command, processes in (
        (f"one of {WORKERS} under a supervisor", [*SUPERVISED, "--processes", str(WORKERS)], 1),
        (f"one of {WORKERS} on their own", ALONE, WORKERS),
    ):
        with plan.room() as room, declared(room / "jobs.db") as app, _running(command, processes, room) as another:
            times = [_recovery(app, room, number, another) for number in range(plan.size(20, 3))]
        rows.append(
            {
                "what": what,
                "kills": len(times),
                "p50": percentile(times, 50),
                "p99": percentile(times, 99),
                "max": max(times),
            }
        )
    return [Table(title="from kill -9 to the second start, ms", rounds=1, load=(before, load()), rows=rows)]


def declared(path: Path) -> Liteq:
    """Give an app on the file that knows the task."""
    app = Liteq(path)
    app.task(name="hold")(hold.function)
    return app


@contextmanager
def _running(command: list[str], processes: int, room: Path) -> Generator[Callable[[], None]]:
    """Run processes beside the block; give what replaces one of them, which a supervisor does by itself."""
    environment = os.environ | {FILE: str(room / "jobs.db")}
    with ExitStack() as all_of_them:

        def start() -> None:
            process = subprocess.Popen(command, cwd=ROOT, env=environment)
            all_of_them.callback(process.wait)
            all_of_them.callback(process.terminate)

        for _ in range(processes):
            start()
        yield start if processes > 1 else lambda: None


def _recovery(app: Liteq, room: Path, number: int, another: Callable[[], None]) -> float:
    # One to kill and one to take over: after many quick deaths in a row a supervisor waits before it starts the next.
    _wait_for(lambda: sum(worker.alive for worker in app.engine.workers()) >= ENOUGH)
    mark = room / f"mark{number}"
    job = app.enqueue(app.call("hold", mark=str(mark)))
    _wait_for(lambda: len(_starts(mark)) == 1)
    killed_at = time.time_ns()
    os.kill(_starts(mark)[0][1], signal.SIGKILL)
    _wait_for(lambda: len(_starts(mark)) == 2)
    another()
    app.cancel(job.id)
    _wait_for(lambda: job.refresh().state.word == "cancelled")
    return (_starts(mark)[1][0] - killed_at) / 1e6


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the workers do not do what was expected of them")
        time.sleep(0.001)


def _starts(mark: Path) -> list[tuple[int, int]]:
    if not mark.exists():
        return []
    return [(int(at), int(pid)) for at, pid in (line.split() for line in mark.read_text("ascii").splitlines())]
