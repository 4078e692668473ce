"""A process is killed at any call on its files; others go on with what it left."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from signal import SIGKILL
from typing import NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from liteq.model.job import JobFilter
from liteq.model.transitions import State
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import NOW, claim_some, enqueue_one
from tests.faults.recording import Recording
from tests.faults.stock import Stock, stock_of
from tests.faults.vfs import Watcher, watched
from tests.faults.victim import Line, Order

SEED = 1_124
LENGTH = 40
KILLS = 90
CALLS_TO_MAKE_A_FILE = 70
"""Until the file is in WAL mode; later calls are those of any commit."""
MOST_AT_ONCE = 3
ROOT = Path(__file__).parents[2]


class Death(NamedTuple):
    """What a victim told before it died, or came to its end."""

    told: list[Line]
    calls: int
    signal: int | None


class Victim:
    """The process that plays the script."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def play(self, order: Order) -> Death:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(msgspec.json.encode(order) + b"\n")
        stdin.flush()
        told: list[Line] = []
        calls = 0
        while (line := msgspec.json.decode(stdout.readline(), type=Line)).signal is None:
            calls = line.calls
            if line.verb is not None:
                told.append(line)
        return Death(told, calls, line.signal)


@pytest.fixture
def victim() -> Iterator[Victim]:
    command = [sys.executable, "-W", "error", "-m", "tests.faults.victim"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Victim(process)


@pytest.fixture
def stocks(tmp_path: Path) -> list[Stock]:
    """Give how things stand after each verb of the script, when nobody is killed."""
    folder = tmp_path / "unharmed"
    folder.mkdir()
    return Recording(folder, seed=SEED, length=LENGTH, full=True).stocks


def complaints(engine: SqliteEngine, told: list[Line], stocks: list[Stock]) -> list[str]:
    """Give what is wrong after a death: what was told, and perhaps one verb more, must stand, each done once."""
    found = engine.check(full=True)
    possible = stocks[max(len(told) - 1, 0) : len(told) + 1]
    if stock_of(engine) not in possible:
        found.append("what was told does not stand")
    enqueued = {job_id for line in told if line.verb == "enqueue" for job_id in line.job_ids}
    kept = enqueued.intersection(*({row[0] for row in stock[0]} for stock in possible))
    lost = sorted(job_id for job_id in kept if engine.get_job(job_id) is None)
    if lost:
        found.append(f"jobs {lost} are lost")
    completed = sum(len(line.job_ids) for line in told if line.verb == "complete")
    counted = sum(row.completed for row in engine.metrics(since_minute=0))
    if not completed <= counted <= completed + MOST_AT_ONCE:
        found.append(f"{completed} jobs were completed, {counted} completions are counted")
    return found


def goes_on(engine: SqliteEngine) -> list[str]:
    """Take the dead worker's jobs, and use the file further; give what is wrong."""
    running = JobFilter(states=(State.RUNNING,))
    owned = {job.id for job in engine.list_jobs(running, limit=1_000)}
    expired = {one.job_id for one in engine.expire(now=NOW)}
    job_id = enqueue_one(engine)
    claims = claim_some(engine, limit=1_000)
    if expired != owned or engine.workers() or job_id not in {claim.job_id for claim in claims}:
        return [f"of the jobs {owned} in a dead worker's name {expired} were taken"]
    return []


def kill_at(order: Order, victim: Victim, stocks: list[Stock], *, sibling: bool) -> tuple[Death, list[str]]:
    """Have a victim die, with the file open here meanwhile or not, and look at what it left."""
    path = Path(order.path)
    with watched(Watcher()), ExitStack() as opened:
        engine = SqliteEngine(path) if sibling else None
        death = victim.play(order)
        engine = engine or SqliteEngine(path)
        opened.callback(engine.close)
        wrong = complaints(engine, death.told, stocks) + goes_on(engine)
    return death, wrong


@pytest.mark.parametrize("torn", [False, True], ids=["before", "within"])
@pytest.mark.parametrize("sibling", [False, True], ids=["alone", "sibling"])
def test_a_killed_process_leaves_all_that_it_told_and_its_jobs_to_others(
    torn: bool, sibling: bool, tmp_path: Path, victim: Victim, stocks: list[Stock], tally: Counter[str]
) -> None:
    order = Order(path=str(tmp_path / "whole.db"), seed=SEED, length=LENGTH, nth=0, torn=torn)
    unharmed, wrong = kill_at(order, victim, stocks, sibling=sibling)
    assert (wrong, unharmed.signal, len(unharmed.told)) == ([], 0, len(stocks))

    for nth in range(1, unharmed.calls, unharmed.calls // KILLS):
        here = replace(order, path=str(tmp_path / f"{nth}.db"), nth=nth)
        death, found = kill_at(here, victim, stocks, sibling=sibling)
        wrong += [f"killed at call {nth}: {words}" for words in found]
        assert death.signal == SIGKILL
        tally[f"kills, {'with a sibling' if sibling else 'alone'}, seed {SEED}"] += 1

    assert wrong == []


def test_a_process_that_is_killed_while_it_makes_the_file_leaves_one_that_others_open(
    tmp_path: Path, victim: Victim, stocks: list[Stock], tally: Counter[str]
) -> None:
    wrong: list[str] = []

    for nth in range(1, CALLS_TO_MAKE_A_FILE):
        order = Order(path=str(tmp_path / f"{nth}.db"), seed=SEED, length=LENGTH, nth=nth)
        _, found = kill_at(order, victim, stocks, sibling=False)
        wrong += [f"killed at call {nth}: {words}" for words in found]
        tally[f"kills, making the file, seed {SEED}"] += 1

    assert wrong == []


def test_the_looks_find_a_victim_that_told_of_what_it_had_not_done(
    tmp_path: Path, victim: Victim, stocks: list[Stock]
) -> None:
    order = Order(path=str(tmp_path / "whole.db"), seed=SEED, length=LENGTH, nth=0, boasts=True)
    calls = victim.play(order).calls
    found: list[str] = []

    for nth in range(calls // 2, calls, calls // 20):
        boast = replace(order, path=str(tmp_path / f"{nth}.db"), nth=nth)
        found += kill_at(boast, victim, stocks, sibling=False)[1]

    assert "what was told does not stand" in found
