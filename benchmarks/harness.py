"""Runs cases in rounds, takes medians and spread, prints plain tables. Knows nothing of what is measured."""

import os
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.jobs import Durability

Cell = str | float | int | None
Row = dict[str, Cell]


class Plan(msgspec.Struct, frozen=True):
    """How much to measure, and below which folder."""

    folder: Path
    rounds: int = 3
    quick: bool = False

    def size(self, usual: int, quick: int) -> int:
        """Give the number to use."""
        return quick if self.quick else usual

    @contextmanager
    def room(self) -> Generator[Path]:
        """Give an empty folder that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="liteq-bench-", dir=self.folder) as name:
            yield Path(name)


class Sample(msgspec.Struct, kw_only=True):
    """One run of one case. ``each_ns`` is the length of single calls, where those were timed."""

    jobs: int
    wall_s: float = 0.0
    cpu_s: float = 0.0
    each_ns: list[int] = []


class Case(msgspec.Struct, frozen=True):
    """Something to run in each round.

    ``bare`` and ``own`` are the labels of the cases of the same durability that are its yardsticks: bare apsw on a bare
    table, and on liteq's own.
    """

    label: str
    durability: Durability
    jobs: int
    run: Callable[[Path, Durability, int], Sample]
    bare: str | None = None
    own: str | None = None


class Table(msgspec.Struct, kw_only=True):
    """What was found, with the load average (one minute) before and after."""

    title: str
    rounds: int
    load: tuple[float, float]
    rows: list[Row]

    def text(self) -> str:
        """Give the table as aligned text."""
        heads = list(dict.fromkeys(head for row in self.rows for head in row))
        lines = [heads, *([_shown(row.get(head)) for head in heads] for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
        body = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        top = f"{self.title}  [rounds: {self.rounds}, load average {self.load[0]:.2f} -> {self.load[1]:.2f}]"
        return "\n".join([top, *(line.rstrip() for line in body)])


@contextmanager
def timed(sample: Sample) -> Generator[None]:
    """Put the wall time and this process's CPU time of the block into the sample."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    sample.wall_s, sample.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


def each(sample: Sample, call: Callable[[], object]) -> None:
    """Make one call for each job and note how long it took."""
    for _ in range(sample.jobs):
        begun = time.perf_counter_ns()
        call()
        sample.each_ns.append(time.perf_counter_ns() - begun)


def load() -> float:
    """Give the load average of the last minute."""
    return os.getloadavg()[0]


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the value that ``percent`` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


def compare(title: str, plan: Plan, cases: Sequence[Case]) -> Table:
    """Run every case once a round and give their rates."""
    before = load()
    return rates(title, plan, before, run_by_turns(plan, cases))


def run_by_turns(plan: Plan, cases: Sequence[Case]) -> dict[Case, list[Sample]]:
    """Run every case once a round, by turns, so that a busy minute of the machine falls on all of them."""
    samples: dict[Case, list[Sample]] = {case: [] for case in cases}
    for _ in range(plan.rounds):
        for case in cases:
            with plan.room() as room:
                samples[case].append(case.run(room / "jobs.db", case.durability, case.jobs))
    return samples


def rates(title: str, plan: Plan, before: float, samples: Mapping[Case, list[Sample]]) -> Table:
    """Give a row for each case; ``before`` is the load average when its first round began."""
    by_name = {f"{case.label} {case.durability}": found for case, found in samples.items()}
    rows = [_row(case, found, by_name) for case, found in samples.items()]
    return Table(title=title, rounds=plan.rounds, load=(before, load()), rows=rows)


def _row(case: Case, samples: list[Sample], by_name: dict[str, list[Sample]]) -> Row:
    rates = [sample.jobs / sample.wall_s for sample in samples]
    row: Row = {
        "what": case.label,
        "durability": case.durability,
        "jobs": samples[0].jobs,
        "jobs/s": round(median(rates)),
        "min": round(min(rates)),
        "max": round(max(rates)),
        "CPU us/job": median(sample.cpu_s / sample.jobs * 1e6 for sample in samples),
    }
    for yardstick, label in (("of bare", case.bare), ("of own", case.own)):
        beside = by_name.get(f"{label} {case.durability}")
        row[yardstick] = None if beside is None else median(ratios(samples, beside))
    if samples[0].each_ns:
        for percent in (50, 99):
            row[f"p{percent} ms"] = median(percentile(sample.each_ns, percent) / 1e6 for sample in samples)
    return row


def ratios(samples: Sequence[Sample], beside: Sequence[Sample]) -> list[float]:
    """Give the rates of the one divided by those of the other, round by round."""
    pairs = zip(samples, beside, strict=True)
    return [(one.jobs / one.wall_s) / (raw.jobs / raw.wall_s) for one, raw in pairs]


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.2f}" if abs(cell) < 100 else f"{cell:,.0f}"
