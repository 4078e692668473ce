"""``python -m benchmarks [NAME ...] [--rounds N] [--quick] [--folder DIR] [--json PATH]``."""

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import msgspec

from benchmarks import (
    commands,
    depth,
    drain,
    edge,
    enqueue,
    fairness,
    flat,
    latency,
    limit,
    limits,
    memory,
    recovery,
    schedules,
    work,
)
from benchmarks.harness import Plan, Table
from benchmarks.page import renew
from benchmarks.peers import comparing

QUESTIONS = {
    "limit": limit.measure,
    "enqueue": enqueue.measure,
    "drain": drain.measure,
    "fairness": fairness.measure,
    "flat": flat.measure,
    "work": work.measure,
    "depth": depth.measure,
    "memory": memory.measure,
    "edge": edge.measure,
    "commands": commands.measure,
    "latency": latency.measure,
    "limits": limits.measure,
    "peers": comparing.measure,
    "recovery": recovery.measure,
    "schedules": schedules.measure,
}
DEFAULT_FOLDER = Path("/var/tmp")  # noqa: S108  a fresh folder of its own is made in it, on a real disk


def machine() -> dict[str, str]:
    """Give what the figures depend on, and nothing that names the machine."""
    return {
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "apsw": apsw.apsw_version(),
        "sqlite": apsw.sqlite_lib_version(),
    }


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure liteq beside raw apsw.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(QUESTIONS)}; all without one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few jobs: to see that it runs, not for figures")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where the files lie: the disk to measure")
    parser.add_argument("--json", type=Path, help="write the figures there too, after each question")
    parser.add_argument("--page", type=Path, help="put the tables there, in place of those of the same title")
    options = parser.parse_args()
    if unknown := set(options.names) - set(QUESTIONS):
        parser.error(f"no such question: {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}")
    plan = Plan(options.folder, max(1, options.rounds), options.quick)
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    tables: list[Table] = []
    try:
        for tables in measured(plan, options.names or list(QUESTIONS)):
            if options.json:
                write(options.json, tables)
    except KeyboardInterrupt:
        print(f"stopped; tables so far: {len(tables)}", file=sys.stderr)
        sys.exit(130)
    if options.page:
        for title in renew(options.page, tables):
            print(f"not in {options.page}: {title}")


def measured(plan: Plan, names: Sequence[str]) -> Iterator[list[Table]]:
    """Measure and print one question after the other; give all tables so far after each."""
    tables: list[Table] = []
    for place, name in enumerate(names, 1):
        print(f"measuring {name} ({place} of {len(names)}) ...", file=sys.stderr, flush=True)
        for table in QUESTIONS[name](plan):
            print(f"\n{table.text()}", flush=True)
            tables.append(table)
        yield tables


def write(path: Path, tables: list[Table]) -> None:
    """Write the figures as one JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode({"machine": machine(), "tables": tables})))


if __name__ == "__main__":
    main()
