"""How much of the ideal is left when jobs do something: sleep, use the CPU, run a program?

The workers come up first and are idle; then all jobs of a kind are enqueued in one commit, and the time is that from
the first start to the last end that the jobs themselves have recorded: no start of a process is in it, all commits but
the last are. *share* is the ideal time divided by that: jobs * ms / slots for jobs that sleep, jobs * ms / cores for
those that use the CPU (one core a process: one interpreter lock), and for commands what a bare loop of ``subprocess``
takes, again over the cores. *of bare* is the time of as many bare processes that do the same in a loop, divided by the
time here (``python -m benchmarks.work BODY JOBS AT``): it shows what the machine had to give at that moment.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any

import msgspec

from benchmarks.harness import Plan, Row, Table, load
from benchmarks.jobs import Durability, burn, declare, declare_bodies, declare_coroutine_body, doze
from benchmarks.process import ROOT, WorkerProcess, worker_argv
from benchmarks.spans import span_s, wait_for_workers, wait_until_left
from benchmarks.wanted import at_least
from liteq import Call, Liteq

CORES = os.cpu_count() or 1
MOST = 4_800
COMMAND = ("true",)


class Body(msgspec.Struct, frozen=True):
    """What a job does: ``ms`` long (0 means that a bare loop has to tell), so often for each slot.

    ``bare`` does it without a queue. ``sleeps``: as many as there are slots go on at once, else as there are cores.
    """

    label: str
    ms: int
    often: int
    sleeps: bool
    bare: Callable[[], None] | None = None


class Shape(msgspec.Struct, frozen=True):
    """How many processes of how many slots each; those are threads and, for coroutine jobs, coroutines at once."""

    processes: int
    slots: int
    durability: Durability = "full"


class Run(msgspec.Struct, frozen=True):
    """One body in one shape: the jobs, their span, the CPU seconds of the workers, the ideal and the bare span."""

    jobs: int
    span_s: float
    cpu_s: float
    ideal_s: float
    bare_s: float | None


def run_program() -> None:
    """Run the command and wait for it."""
    subprocess.run(COMMAND, check=True)


BODIES = {
    "doze1": Body("sleep 1 ms", 1, 300, sleeps=True, bare=lambda: doze(1)),
    "doze10": Body("sleep 10 ms", 10, 30, sleeps=True, bare=lambda: doze(10)),
    "async1": Body("coroutine, sleep 1 ms", 1, 300, sleeps=True),
    "async10": Body("coroutine, sleep 10 ms", 10, 30, sleeps=True),
    "burn": Body("CPU 1 ms", 1, 600, sleeps=False, bare=lambda: burn(1)),
    "command": Body("command true", 0, 150, sleeps=False, bare=run_program),
}
WORKERS = {"--bodies": ("doze1", "doze10", "burn", "command"), "--coroutine-bodies": ("async1", "async10")}
SHAPES = [Shape(processes, slots) for processes in (1, 2) for slots in (1, 4, 16)]
UNSYNCED = [Shape(processes, 1, "normal") for processes in (1, 2)]
"""For the CPU jobs alone: the difference is what they wait for the disk, once in about ten milliseconds of work."""
JUDGED = [Shape(2, 1), Shape(2, 1, "normal")]


def measure(plan: Plan) -> list[Table]:
    """Give the share of the ideal for each kind of job in each shape, and what is wanted of two processes."""
    before = load()
    found: dict[tuple[str, Shape], list[Run]] = {}
    for _ in range(plan.rounds):
        each_s = {name: bare_s(plan, name, 1) / jobs_of(plan, name, 1) for name, one in BODIES.items() if one.ms == 0}
        for shape in shapes(plan):
            for name, run in in_shape(plan, shape, each_s).items():
                found.setdefault((name, shape), []).append(run)
    loads = (before, load())
    rows = [
        _row(name, shape, found[name, shape]) for name in BODIES for shape in shapes(plan) if (name, shape) in found
    ]
    judged = [row for shape in JUDGED for row in _judged(shape, found["burn", shape])]
    return [
        Table(title="jobs that do something", rounds=plan.rounds, load=loads, rows=rows),
        Table(title="work, judged", rounds=plan.rounds, load=loads, rows=judged),
    ]


def shapes(plan: Plan) -> list[Shape]:
    """Give the shapes to measure, in a quick run only those that are judged."""
    return JUDGED if plan.quick else SHAPES + UNSYNCED


def jobs_of(plan: Plan, name: str, at_once: int) -> int:
    """Give how many jobs a run has, so many of which can go on at once."""
    body = BODIES[name]
    return min(MOST, plan.size(body.often, max(4, body.often // 10)) * at_once)


def in_shape(plan: Plan, shape: Shape, each_s: dict[str, float]) -> dict[str, Run]:
    """Run one kind of job after the other; ``each_s`` is what a bare command takes.

    Coroutine jobs have workers of their own: one that knows of coroutines has an event loop beside its slots.
    """
    runs: dict[str, Run] = {}
    for flag, names in (WORKERS if shape in SHAPES else {"--bodies": ("burn",)}).items():
        with plan.room() as room, declare(room / "jobs.db", shape.durability).app as app, ExitStack() as running:
            flags = (flag, f"--threads={shape.slots}", f"--concurrent={shape.slots}")
            argv = worker_argv(room / "jobs.db", shape.durability, *flags)
            workers = [WorkerProcess(argv) for _ in range(shape.processes)]
            for worker in workers:
                running.callback(worker.stop)
            wait_for_workers(app, shape.processes)
            calls = calls_of(app)
            for name in names:
                runs[name] = _run(plan, shape, name, each_s, app, calls[name], workers)
    return runs


def _run(
    plan: Plan,
    shape: Shape,
    name: str,
    each_s: dict[str, float],
    app: Liteq,
    call: Call[Any],
    workers: list[WorkerProcess],
) -> Run:
    body, slots = BODIES[name], shape.processes * shape.slots
    at_once = slots if body.sleeps else min(CORES, shape.processes if body.ms else slots)
    jobs = jobs_of(plan, name, at_once)
    cpu_s = sum(worker.cpu_s() for worker in workers)
    span = _span(app, call, jobs)
    cpu_s = sum(worker.cpu_s() for worker in workers) - cpu_s
    bare = bare_s(plan, name, shape.processes, jobs) if body.bare and shape.slots == 1 else None
    return Run(jobs, span, cpu_s, jobs * each_s.get(name, body.ms / 1000) / at_once, bare)


def calls_of(app: Liteq) -> dict[str, Call[Any]]:
    """Give a call for each body."""
    bodies, doze_async = declare_bodies(app), declare_coroutine_body(app)
    return {
        "doze1": bodies.doze.call(1),
        "doze10": bodies.doze.call(10),
        "async1": doze_async.call(1),
        "async10": doze_async.call(10),
        "burn": bodies.burn.call(1),
        "command": app.command(COMMAND),
    }


def bare_s(plan: Plan, name: str, processes: int, jobs: int | None = None) -> float:
    """Give the seconds that so many bare processes take together for the jobs, their start not included."""
    jobs = jobs_of(plan, name, processes) if jobs is None else jobs
    starting = time.time() + 0.3
    words = [sys.executable, "-m", "benchmarks.work", name, str(jobs // processes), str(starting)]
    children = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(processes)]
    told = [tuple(map(float, child.communicate()[0].split())) for child in children]
    return max(end for _, end in told) - min(begun for begun, _ in told)


def _span(app: Liteq, call: Call[Any], jobs: int) -> float:
    handles = app.enqueue_many(call for _ in range(jobs))
    wait_until_left(app, 0)
    return span_s(app, handles[0].id)


def _row(name: str, shape: Shape, runs: list[Run]) -> Row:
    rates = [run.jobs / run.span_s for run in runs]
    bare = [run.bare_s / run.span_s for run in runs if run.bare_s is not None]
    return {
        "what": BODIES[name].label,
        "durability": shape.durability,
        "processes": shape.processes,
        "slots each": shape.slots,
        "jobs": runs[0].jobs,
        "jobs/s": round(median(rates)),
        "min": round(min(rates)),
        "max": round(max(rates)),
        "CPU us/job": median(run.cpu_s / run.jobs * 1e6 for run in runs),
        "share": median(run.ideal_s / run.span_s for run in runs),
        "of bare": median(bare) if bare else None,
    }


def _judged(shape: Shape, runs: list[Run]) -> list[Row]:
    what = f"CPU jobs of 1 ms, {shape.processes} processes, {shape.durability}"
    return [
        at_least(f"{what}: share of so many cores", median(run.ideal_s / run.span_s for run in runs), 0.9),
        at_least(f"{what}: of bare processes", median((run.bare_s or 0) / run.span_s for run in runs), 0.9),
        # Whatever else the machine does: how much of the CPU time that the workers got went into the jobs.
        at_least(f"{what}: of the CPU time used", median(run.jobs / 1000 / run.cpu_s for run in runs), 0.9),
    ]


def main() -> None:
    """Do one body in a bare loop, from a moment on, and print when that began and ended."""
    name, jobs, starting = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    body = BODIES[name].bare
    assert body is not None
    time.sleep(max(0.0, starting - time.time()))
    begun = time.time()
    for _ in range(jobs):
        body()
    print(begun, time.time())


if __name__ == "__main__":
    main()
