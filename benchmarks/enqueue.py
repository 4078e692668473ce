"""How fast do jobs get in: one by one, a thousand at a time, and from four threads at once?"""

from pathlib import Path
from threading import Thread

from benchmarks import limit, raw
from benchmarks.harness import Case, Plan, Sample, Table, compare, each, timed
from benchmarks.jobs import BOTH, Durability, Jobs, declare

THREADS = 4
BATCH = 1_000


def singly(path: Path, durability: Durability, jobs: int) -> Sample:
    """Enqueue each job by a call of its own."""
    found, sample = _opened(path, durability), Sample(jobs=jobs)
    with timed(sample):
        each(sample, found.noop.enqueue)
    found.app.close()
    return sample


def together(path: Path, durability: Durability, jobs: int) -> Sample:
    """Enqueue a thousand jobs by each call."""
    found, sample = _opened(path, durability), Sample(jobs=jobs)
    with timed(sample):
        for _ in range(jobs // BATCH):
            found.app.enqueue_many(found.noop.call() for _ in range(BATCH))
    found.app.close()
    return sample


def by_threads(path: Path, durability: Durability, jobs: int) -> Sample:
    """Enqueue each job by a call of its own, from four threads."""
    found, sample = _opened(path, durability), Sample(jobs=jobs)
    parts = [Sample(jobs=jobs // THREADS) for _ in range(THREADS)]
    threads = [Thread(target=each, args=(part, found.noop.enqueue)) for part in parts]
    with timed(sample):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sample.each_ns = [length for part in parts for length in part.each_ns]
    assert len(sample.each_ns) == jobs
    found.app.close()
    return sample


def measure(plan: Plan) -> list[Table]:
    """Give the rates of enqueueing beside both yardsticks."""
    few, some, many = plan.size(1_000, 100), plan.size(5_000, 1_000), plan.size(20_000, 3_000)
    one, thousand = (raw.SINGLY, limit.SINGLY), (raw.TOGETHER, limit.TOGETHER)
    found = raw.cases(raw.SINGLY, raw.insert_singly, plan, slow=True)
    found += raw.cases(limit.SINGLY, limit.insert_singly, plan, slow=True, bare=raw.SINGLY)
    found += [
        Case("enqueue, one a call", "full", few, singly, *one),
        Case("enqueue, one a call", "normal", some, singly, *one),
        Case("enqueue, 4 threads", "full", 4 * few, by_threads, *one),
    ]
    found += raw.cases(raw.TOGETHER, raw.insert_together, plan)
    found += raw.cases(limit.TOGETHER, limit.insert_together, plan, bare=raw.TOGETHER)
    for durability in BOTH:
        found.append(Case("enqueue_many, 1,000 a call", durability, many, together, *thousand))
    return [compare("enqueue", plan, found)]


def _opened(path: Path, durability: Durability) -> Jobs:
    """Open the file before the clock runs."""
    found = declare(path, durability)
    found.noop.enqueue()
    return found
