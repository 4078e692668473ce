"""How long does the command line take, warm: an enqueue, a status, a thousand jobs as JSON lines, the bare import?

Each run is a process of its own from its start to its end, as a shell sees it. The first of each is not counted: it
writes the bytecode, to a folder of its own, whatever the environment says of ``PYTHONDONTWRITEBYTECODE``; an
installed liteq has its bytecode from the beginning.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.harness import Plan, Row, Table, load
from benchmarks.jobs import declare
from benchmarks.process import ROOT
from benchmarks.wanted import below

LINES = 1_000
BARE, IMPORT = "python -c pass", 'python -c "import liteq"'
ENQUEUE, STATUS = "liteq enqueue noop", "liteq status"
STREAM = f"liteq enqueue echo -, {LINES:,} JSON lines"


class Command(msgspec.Struct, frozen=True):
    """The words to run and what they read from standard input."""

    argv: tuple[str, ...]
    stdin: bytes = b""


class Run(msgspec.Struct, frozen=True):
    """What one process took, in ms."""

    wall: float
    cpu: float


def measure(plan: Plan) -> list[Table]:
    """Give what each command takes and what the import adds to a bare interpreter."""
    before, runs = load(), plan.size(7, 2) * plan.rounds
    with plan.room() as room:
        path = room / "jobs.db"
        with declare(path, "full").app as app:
            app.count_jobs()
        found = by_turns(commands(path), runs, environment(room / "bytecode"))
        with declare(path, "full").app as app:
            assert app.count_jobs() == (runs + 1) * (LINES + 1)
    rows = [_row(what, ran) for what, ran in found.items()]
    return [
        Table(title="the command line, warm, durability full", rounds=runs, load=(before, load()), rows=rows),
        Table(title="the command line, judged", rounds=runs, load=(before, load()), rows=judged(found)),
    ]


def commands(path: Path) -> dict[str, Command]:
    """Give what is run, by the name that is printed."""
    liteq = (str(Path(sys.executable).with_name("liteq")), "--file", str(path), "--app", "benchmarks.crew:app")
    lines = b"".join(b'{"text": "number %d"}\n' % number for number in range(LINES))
    return {
        BARE: Command((sys.executable, "-c", "pass")),
        IMPORT: Command((sys.executable, "-c", "import liteq")),
        ENQUEUE: Command((*liteq, "enqueue", "noop")),
        STATUS: Command((*liteq, "status")),
        STREAM: Command((*liteq, "enqueue", "echo", "-"), lines),
    }


def environment(bytecode: Path) -> dict[str, str]:
    """Give this process's environment, but that bytecode is kept, and where."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(bytecode)}


def by_turns(wanted: Mapping[str, Command], runs: int, environ: Mapping[str, str]) -> dict[str, list[Run]]:
    """Run each command so often, by turns, after one run that is not counted."""
    found: dict[str, list[Run]] = {what: [] for what in wanted}
    for _ in range(runs + 1):
        for what, command in wanted.items():
            found[what].append(run(command, environ))
    return {what: ran[1:] for what, ran in found.items()}


def run(command: Command, environ: Mapping[str, str]) -> Run:
    """Run it to its end. Raises CalledProcessError if it fails."""
    cpu, begun = _children_cpu_s(), time.perf_counter()
    subprocess.run(command.argv, input=command.stdin, env=environ, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return Run((time.perf_counter() - begun) * 1000, (_children_cpu_s() - cpu) * 1000)


def judged(found: Mapping[str, Sequence[Run]]) -> list[Row]:
    """Set the medians beside what is wanted of them."""
    walls = {what: median(one.wall for one in ran) for what, ran in found.items()}
    added = median(one.wall - bare.wall for one, bare in zip(found[IMPORT], found[BARE], strict=True))
    return [
        below(f"{ENQUEUE}, ms", walls[ENQUEUE], 250),
        below(f"{STATUS}, ms", walls[STATUS], 350),
        below(f"{STREAM}, ms", walls[STREAM], 1_500),
        below("import liteq, beyond a bare interpreter, ms", added, 80),
    ]


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _row(what: str, ran: Sequence[Run]) -> Row:
    walls = [one.wall for one in ran]
    return {
        "what": what,
        "runs": len(ran),
        "ms": median(walls),
        "min": min(walls),
        "max": max(walls),
        "CPU ms": median(one.cpu for one in ran),
    }
