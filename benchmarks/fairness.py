"""Do processes that write at once take turns? Eight of them commit one job after the other, fully durable."""

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import Plan, Row, Table, load, percentile
from benchmarks.jobs import declare
from benchmarks.process import ROOT

PROCESSES = 8


def measure(plan: Plan) -> list[Table]:
    """Give the commits of the slowest and of the quickest process, and how long a commit took."""
    before = load()
    seconds = plan.size(10, 2)
    with plan.room() as room:
        found = declare(room / "jobs.db", "full")
        found.noop.enqueue()
        starting = time.time() + 2
        command = [sys.executable, "-m", "benchmarks.fairness", str(room / "jobs.db"), str(starting), str(seconds)]
        writers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
        told = [json.loads(writer.communicate()[0]) for writer in writers]
        jobs = found.app.count_jobs()
        found.app.close()
    counts = [len(one["waits_ms"]) for one in told]
    waits = [wait for one in told for wait in one["waits_ms"]]
    assert jobs == sum(counts) + 1
    row: Row = {
        "processes": PROCESSES,
        "seconds": seconds,
        "commits": sum(counts),
        "slowest": min(counts),
        "quickest": max(counts),
        "share": min(counts) / max(counts),
        "p50 ms": percentile(waits, 50),
        "p99 ms": percentile(waits, 99),
        "max ms": max(waits),
        "errors": sum(one["errors"] for one in told),
    }
    return [Table(title="single commits at once, full durability", rounds=1, load=(before, load()), rows=[row])]


def write(path: Path, starting: float, seconds: float) -> None:
    """Enqueue one job after the other, and tell how long each took."""
    found = declare(path, "full")
    found.app.count_jobs()
    time.sleep(max(0.0, starting - time.time()))
    waits: list[float] = []
    errors = 0
    while time.time() < starting + seconds:
        begun = time.perf_counter()
        try:
            found.noop.enqueue()
        except Exception:  # noqa: BLE001  whatever is refused is what is counted here
            errors += 1
        else:
            waits.append((time.perf_counter() - begun) * 1000)
    found.app.close()
    print(json.dumps({"waits_ms": waits, "errors": errors}))


if __name__ == "__main__":
    write(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
