"""How fast does one worker get through jobs that do nothing: one slot, four threads, coroutines?"""

from functools import partial
from pathlib import Path

from benchmarks import limit, raw
from benchmarks.harness import Case, Plan, Sample, Table, compare, timed
from benchmarks.jobs import BOTH, Durability, declare, declare_coroutine
from benchmarks.wanted import at_least, figure

ONE_SLOT = "worker, 1 slot"


def by_threads(path: Path, durability: Durability, jobs: int, threads: int) -> Sample:
    """Run plain functions in so many slots."""
    found, sample = declare(path, durability), Sample(jobs=jobs)
    found.app.enqueue_many(found.noop.call() for _ in range(jobs))
    with timed(sample):
        result = found.app.work(burst=True, threads=threads)
    assert result.completed == jobs
    found.app.close()
    return sample


def by_coroutines(path: Path, durability: Durability, jobs: int) -> Sample:
    """Run coroutine functions, a hundred at a time."""
    found, sample = declare(path, durability), Sample(jobs=jobs)
    task = declare_coroutine(found.app)
    found.app.enqueue_many(task.call() for _ in range(jobs))
    with timed(sample):
        result = found.app.work(burst=True, coroutines=100)
    assert result.completed == jobs
    found.app.close()
    return sample


def measure(plan: Plan) -> list[Table]:
    """Give the rates of a worker, its start and its last checkpoint included, beside both yardsticks."""
    yardsticks = (raw.DRAIN, limit.DRAIN)
    # So many that the start of a worker counts for little: it is the rate at which one goes on.
    jobs = plan.size(100_000, 3_000)
    found = raw.cases(raw.DRAIN, raw.drain, plan, many=jobs)
    found += raw.cases(limit.DRAIN, limit.drain, plan, many=jobs, bare=raw.DRAIN)
    for kind in BOTH:
        found += [
            Case(ONE_SLOT, kind, jobs, partial(by_threads, threads=1), *yardsticks),
            Case("worker, 4 threads", kind, jobs, partial(by_threads, threads=4), *yardsticks),
            Case("worker, 100 coroutines", kind, jobs, by_coroutines, *yardsticks),
        ]
    table = compare("drain, jobs that do nothing, one worker", plan, found)
    judged = [
        at_least("one slot, normal, of own tables", figure(table, ONE_SLOT, "normal", "of own"), 0.7),
        at_least("one slot, normal, of a bare table", figure(table, ONE_SLOT, "normal", "of bare"), 0.25),
        at_least("one slot, normal, jobs/s", figure(table, ONE_SLOT, "normal", "jobs/s"), 40_000),
        at_least("one slot, full, jobs/s", figure(table, ONE_SLOT, "full", "jobs/s"), 30_000),
    ]
    return [table, Table(title="drain, judged", rounds=plan.rounds, load=table.load, rows=judged)]
