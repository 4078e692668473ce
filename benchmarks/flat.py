"""Does memory stay flat? A million jobs streamed from a generator, and one job that walks a million rows in batches.

Each runs in a fresh process (``python -m benchmarks.flat KIND FOLDER ROWS``), which tells what it held on the way.
"""

import csv
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
import psutil

from benchmarks.harness import Plan, Row, Table, load
from benchmarks.jobs import declare
from benchmarks.process import ROOT
from liteq import Call, JobContext

CHUNK = 1_000
MARKS = (10, 50, 100)
MEBIBYTE = 1024 * 1024


class Found(msgspec.Struct, kw_only=True):
    """What one process tells: how long it took, and the resident bytes at each mark in percent."""

    wall_s: float
    rss: dict[int, int]


class Gauge:
    """Notes the resident size when so much of the whole has been done."""

    def __init__(self, rows: int) -> None:
        self._marks = {rows * mark // 100: mark for mark in MARKS}
        self._process = psutil.Process()
        self.rss: dict[int, int] = {}

    def at(self, row: int) -> None:
        """Note it if this row, counted from 1, is a mark."""
        if row in self._marks:
            self.rss[self._marks[row]] = self._process.memory_info().rss


def stream(folder: Path, rows: int) -> Found:
    """Enqueue so many jobs from a generator, a thousand in one commit."""
    found, gauge = declare(folder / "jobs.db", "normal"), Gauge(rows)

    def calls() -> Iterator[Call[None]]:
        for row in range(1, rows + 1):
            yield found.noop.call()
            gauge.at(row)

    begun = time.perf_counter()
    with found.app as app:
        stored = app.enqueue_many(calls(), chunk=CHUNK)
    assert stored.jobs == rows
    return Found(wall_s=time.perf_counter() - begun, rss=gauge.rss)


def walk(folder: Path, rows: int) -> Found:
    """Run one job that reads so many rows of a CSV file, a thousand at a time."""
    source = folder / "rows.csv"
    with source.open("w", newline="", encoding="ascii") as file:
        csv.writer(file).writerows((row, f"person {row}", row * 7 % 1_000) for row in range(rows))
    app, gauge = declare(folder / "jobs.db", "normal").app, Gauge(rows)

    @app.task(name="walk")
    def walk_rows(ctx: JobContext, path: str) -> int:
        done = total = 0
        with Path(path).open(newline="", encoding="ascii") as file:
            reader = csv.reader(file)
            while not ctx.cancelled and (batch := list(islice(reader, CHUNK))):
                total += sum(int(row[2]) for row in batch)
                done += len(batch)
                gauge.at(done)
        return total

    walk_rows.enqueue(str(source))
    begun = time.perf_counter()
    with app:
        assert app.work(burst=True).completed == 1
    return Found(wall_s=time.perf_counter() - begun, rss=gauge.rss)


KINDS: dict[str, tuple[str, Callable[[Path, int], Found]]] = {
    "stream": ("enqueue_many(chunk=1000) from a generator", stream),
    "walk": ("one job, a CSV file by 1,000 rows", walk),
}


def measure(plan: Plan) -> list[Table]:
    """Give the resident size on the way; rounds would add nothing to it."""
    before, rows = load(), plan.size(1_000_000, 20_000)
    found = [_row(kind, plan, rows) for kind in KINDS]
    return [Table(title="flat: resident MiB at 10 %, 50 %, 100 %", rounds=1, load=(before, load()), rows=found)]


def _row(kind: str, plan: Plan, rows: int) -> Row:
    with plan.room() as room:
        argv = [sys.executable, "-m", "benchmarks.flat", kind, str(room), str(rows)]
        told = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True).stdout
    found = msgspec.json.decode(told, type=Found)
    marks: Row = {f"MiB at {mark} %": found.rss[mark] / MEBIBYTE for mark in MARKS}
    return {"what": KINDS[kind][0], "rows": rows, "rows/s": round(rows / found.wall_s), **marks}


def main() -> None:
    """Run one kind in this process and print what was found."""
    kind, folder, rows = sys.argv[1:]
    sys.stdout.write(msgspec.json.encode(KINDS[kind][1](Path(folder), int(rows))).decode())


if __name__ == "__main__":
    main()
