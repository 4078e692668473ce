"""What do limits cost? A claim beside 100,000 jobs that are blocked behind one key, and a key's own turns."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

from benchmarks.harness import Plan, Row, Table, load, percentile
from liteq.model.job import Claim, NewJob, Report
from liteq.model.limits import Limit
from liteq.model.transitions import Outcome
from liteq.store.sqlite.engine import SqliteEngine

NOW = 1_800_000_000_000
AT_ONCE = 1_000
T = TypeVar("T")


def measure(plan: Plan) -> list[Table]:
    """Give what each step of a job costs, a commit each, by turns on files that differ in one thing."""
    before = load()
    behind, steps = plan.size(100_000, 2_000), plan.size(1_500, 100)
    with plan.room() as room:
        files = {
            "an empty file": open_file(room / "empty.db"),
            f"beside {behind:,} blocked behind one key": open_file(room / "key.db", blocked=behind),
            f"beside {behind:,} ready in a full queue": open_file(room / "queue.db", full=behind),
            "in a queue with room left": open_file(room / "room.db", limit=Limit(max_running=AT_ONCE)),
            "with a key of its own": open_file(room / "keyed.db"),
        }
        keys = {"with a key of its own": "mine"}
        held = [claim for engine in files.values() for claim in claim_behind(engine)]
        costs: dict[str, dict[str, list[float]]] = {
            name: {"enqueue": [], "claim": [], "complete": []} for name in files
        }
        for _ in range(steps):
            for name, engine in files.items():
                one_job(engine, keys.get(name), costs[name])
        turns = turn_costs(files[f"beside {behind:,} blocked behind one key"], held[0], steps)
        for engine in files.values():
            engine.close()
    usual = costs["an empty file"]
    rows = [_row(name, found, usual) for name, found in costs.items()]
    first = Table(title="one job, where others cannot start (us)", rounds=1, load=(before, load()), rows=rows)
    second: Row = {"behind the key": behind, "claim + complete us": round(median(turns), 1)}
    second["p99 us"] = round(percentile(turns, 99), 1)
    return [first, Table(title="the turns of that key", rounds=1, load=(before, load()), rows=[second])]


def open_file(path: Path, *, blocked: int = 0, full: int = 0, limit: Limit | None = None) -> SqliteEngine:
    """Give a file with jobs that are blocked behind a key, or ready in a queue that is full."""
    engine = SqliteEngine(path, full=False)
    for first in range(0, blocked, AT_ONCE):
        engine.enqueue([job("behind", key="key")] * min(AT_ONCE, blocked - first), now=NOW)
    if full:
        for first in range(0, full, AT_ONCE):
            engine.enqueue([job("behind", queue="full")] * min(AT_ONCE, full - first), now=NOW)
        engine.put_limit("queue", "full", Limit(max_running=1))
    if limit is not None:
        engine.put_limit("queue", "default", limit)
    return engine


def claim_behind(engine: SqliteEngine) -> list[Claim]:
    """Take what can be taken of the jobs that the others stand behind: one, by its key or its queue."""
    return engine.claim(worker_id=7, queues=None, tasks=["behind"], limit=10, now=NOW)


def one_job(engine: SqliteEngine, key: str | None, costs: dict[str, list[float]]) -> None:
    """Bring one job through, and note how long each step took."""
    timed(costs["enqueue"], lambda: engine.enqueue([job("plain", key=key)], now=NOW))
    # Asked for all tasks, as a worker that knows them all would.
    (claim,) = timed(
        costs["claim"],
        lambda: engine.claim(worker_id=8, queues=None, tasks=["plain", "behind"], limit=1, now=NOW),
    )
    timed(costs["complete"], lambda: engine.complete(claim, result=None, report=done(), now=NOW))


def turn_costs(engine: SqliteEngine, claim: Claim, jobs: int) -> list[float]:
    """Give how long it took to end a job of the key and claim the next, for some of those behind it."""
    found: list[float] = []
    for _ in range(jobs):
        begun = time.perf_counter()
        engine.complete(claim, result=None, report=done(), now=NOW)
        (claim,) = claim_behind(engine)
        found.append((time.perf_counter() - begun) * 1e6)
    return found


def timed(costs: list[float], call: Callable[[], T]) -> T:
    """Call, note the microseconds, and give what came back."""
    begun = time.perf_counter()
    given = call()
    costs.append((time.perf_counter() - begun) * 1e6)
    return given


def job(task: str, *, queue: str = "default", key: str | None = None) -> NewJob:
    """Give a job that does nothing."""
    return NewJob(
        task=task,
        queue=queue,
        args=b"[]",
        args_crc=0,
        run_at=NOW,
        priority=0,
        max_failures=5,
        max_crashes=3,
        concurrency_key=key,
    )


def done() -> Report:
    """Give the report of an attempt that took no time."""
    return Report(outcome=Outcome.COMPLETED, started_at=NOW, finished_at=NOW)


def _row(name: str, found: dict[str, list[float]], usual: dict[str, list[float]]) -> Row:
    row: Row = {"what": name}
    for step, costs in found.items():
        row[step] = round(median(costs), 1)
    row["claim, of empty"] = round(median(found["claim"]) / median(usual["claim"]), 3)
    row["claim p99"] = round(percentile(found["claim"], 99), 1)
    return row
