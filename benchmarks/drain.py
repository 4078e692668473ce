"""How fast does one worker get through jobs that do nothing: one slot, four threads, coroutines?"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import raw
from benchmarks.harness import Case, Plan, Sample, Table, compare, timed
from benchmarks.jobs import Durability, declare


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
    found.app.enqueue_many(found.async_noop.call() for _ in range(jobs))
    with timed(sample):
        result = found.app.work(burst=True, coroutines=100)
    assert result.completed == jobs
    found.app.close()
    return sample


def measure(plan: Plan) -> list[Table]:
    """Give the rates of a worker, its start and its last checkpoint included, beside a bare loop of claims."""
    found = raw.cases("raw claim + outcome by 100", raw.drain, plan, slow=False)
    jobs = plan.size(20_000, 3_000)
    ways: dict[str, Callable[[Path, Durability, int], Sample]] = {
        "worker, 1 slot": partial(by_threads, threads=1),
        "worker, 4 threads": partial(by_threads, threads=4),
        "worker, 100 coroutines": by_coroutines,
    }
    for label, run in ways.items():
        for kind in raw.BOTH:
            case = partial(run, durability=kind, jobs=jobs)
            found.append(Case(label, kind, case, f"raw claim + outcome by 100 {kind}"))
    return [compare("drain, jobs that do nothing, one worker", plan, found)]
