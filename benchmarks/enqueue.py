"""How fast do jobs get in: one by one, a thousand at a time, in a transaction, from four threads at once?"""

from functools import partial
from pathlib import Path
from statistics import median
from threading import Thread

from benchmarks import limit, raw, straight
from benchmarks.harness import Case, Plan, Sample, Table, each, load, rates, ratios, run_by_turns, timed
from benchmarks.jobs import BOTH, Durability, Jobs, declare
from benchmarks.wanted import at_least, figure

THREADS = 4
BATCH = 1_000
CALLS = 100
SINGLY, THREADED = "enqueue, one a call", f"enqueue, {THREADS} threads"
TOGETHER = "enqueue_many, 1,000 a call"
WITH, MAIL = ", 2 arguments", ("a@example.org", 7)


def singly(path: Path, durability: Durability, jobs: int, *, arguments: bool = False) -> Sample:
    """Enqueue each job by a call of its own."""
    found, sample = _opened(path, durability), Sample(jobs=jobs)
    enqueue = partial(found.mail.enqueue, *MAIL) if arguments else found.noop.enqueue
    with timed(sample):
        each(sample, enqueue)
    found.app.close()
    return sample


def together(path: Path, durability: Durability, jobs: int, *, arguments: bool = False) -> Sample:
    """Enqueue a thousand jobs by each call."""
    found, sample = _opened(path, durability), Sample(jobs=jobs)
    call = partial(found.mail.call, *MAIL) if arguments else found.noop.call
    with timed(sample):
        for _ in range(jobs // BATCH):
            found.app.enqueue_many(call() for _ in range(BATCH))
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


def in_transactions(path: Path, durability: Durability, jobs: int) -> Sample:
    """Enqueue each job by a call of its own, a hundred calls in one transaction."""
    found, sample = _opened(path, durability), Sample(jobs=jobs)
    with timed(sample):
        for _ in range(jobs // CALLS):
            with found.app.transaction():
                for _ in range(CALLS):
                    found.noop.enqueue()
    found.app.close()
    return sample


def measure(plan: Plan) -> list[Table]:
    """Give the rates of enqueueing beside both yardsticks, and what threads gain by sharing commits."""
    few, some, many = plan.size(3_000, 100), plan.size(5_000, 1_000), plan.size(20_000, 3_000)
    one, thousand = (raw.SINGLY, limit.SINGLY), (raw.TOGETHER, limit.TOGETHER)
    single = Case(SINGLY, "full", few, singly, *one)
    threaded = Case(THREADED, "full", THREADS * few, by_threads, *one)
    cases = raw.cases(raw.SINGLY, raw.insert_singly, plan, slow=True)
    cases += raw.cases(limit.SINGLY, limit.insert_singly, plan, slow=True, bare=raw.SINGLY)
    cases += [
        Case(straight.LABEL, "full", few, straight.insert, *one),
        Case(straight.LABEL, "normal", many, straight.insert, *one),
    ]
    cases += [
        single,
        Case(SINGLY, "normal", many, singly, *one),
        Case(SINGLY + WITH, "normal", many, partial(singly, arguments=True), *one),
        threaded,
    ]
    cases += raw.cases(raw.TOGETHER, raw.insert_together, plan)
    cases += raw.cases(limit.TOGETHER, limit.insert_together, plan, bare=raw.TOGETHER)
    for kind in BOTH:
        cases.append(Case(f"enqueue, {CALLS} a transaction", kind, some, in_transactions, *thousand))
        cases.append(Case(TOGETHER, kind, many, together, *thousand))
    cases.append(Case(TOGETHER + WITH, "normal", many, partial(together, arguments=True), *thousand))
    before = load()
    found = run_by_turns(plan, cases)
    table = rates("enqueue", plan, before, found)
    gain = median(ratios(found[threaded], found[single]))
    judged = [
        at_least("one a call, normal, of own tables", figure(table, SINGLY, "normal", "of own"), 0.7),
        at_least("one a call, full, of own tables", figure(table, SINGLY, "full", "of own"), 0.85),
        at_least("1,000 a call, normal, of own tables", figure(table, TOGETHER, "normal", "of own"), 0.6),
        at_least(f"{THREADS} threads over one, one job a call, full", gain, 2.0),
    ]
    return [table, Table(title="enqueue, judged", rounds=plan.rounds, load=(before, load()), rows=judged)]


def _opened(path: Path, durability: Durability) -> Jobs:
    """Open the file before the clock runs."""
    found = declare(path, durability)
    found.noop.enqueue()
    return found
