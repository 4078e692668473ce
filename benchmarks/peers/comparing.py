"""How does liteq compare with other queues, each by its own worker loop, its fastest documented way, and when idle?"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from statistics import median

import msgspec

from benchmarks.harness import Plan, Row, Sample, Table, load, percentile
from benchmarks.peers.every import OURS, PEERS
from benchmarks.peers.peer import Level, Peer
from benchmarks.peers.turn import FOUND, Found
from benchmarks.process import ROOT

TURN_S = 300
PICKUPS = 15


class Entry(msgspec.Struct, eq=False):
    """A row: one peer at one durability."""

    peer: Peer
    level: Level


def measure(plan: Plan, peers: Sequence[Peer] = PEERS) -> list[Table]:
    """Give a table of figures, one of how they came about, and one of peers that could not be measured."""
    before = load()
    missing = {peer.name: reason for peer in peers if (reason := peer.missing())}
    present = [peer for peer in peers if peer.name not in missing]
    entries = [Entry(peer, level) for peer in (OURS, *present) for level in peer.levels] if present else []
    turns: dict[Entry, list[Found]] = {entry: [] for entry in entries}
    for _ in range(plan.rounds):
        for entry in entries:
            if entry.peer.name in missing:
                continue
            found = _turn(plan, entry)
            if found.unloadable:
                missing[entry.peer.name] = found.unloadable
            else:
                turns[entry].append(found)
    measured = {entry: found for entry, found in turns.items() if found}
    tables = [("peers", _figures(measured)), ("how each is driven", _ways(measured))]
    tables.append(("peers that were not measured", [{"what": name, "why": why} for name, why in missing.items()]))
    found_load = (before, load())
    return [Table(title=title, rounds=plan.rounds, load=found_load, rows=rows) for title, rows in tables if rows]


def _turn(plan: Plan, entry: Entry) -> Found:
    """Measure once, in a process of its own: no peer inherits threads, signal handlers or a SQLite from another."""
    usual = entry.peer.levels[entry.level]
    jobs = [plan.size(one, max(one // 10, 10)) for one in (usual.enqueue, usual.drain, usual.fastest)]
    jobs.append(plan.size(PICKUPS, 3))
    with plan.room() as room:
        argv = [sys.executable, "-m", "benchmarks.peers.turn", entry.peer.name, entry.level, str(room), *map(str, jobs)]
        subprocess.run(argv, cwd=ROOT, check=True, timeout=TURN_S, stdout=subprocess.DEVNULL)
        return msgspec.json.decode((room / FOUND).read_bytes(), type=Found)


def _figures(turns: dict[Entry, list[Found]]) -> list[Row]:
    ours = {entry.level: found for entry, found in turns.items() if entry.peer is OURS}
    return [_row(entry, found, ours.get(entry.level, ours.get("normal", []))) for entry, found in turns.items()]


def _row(entry: Entry, found: list[Found], ours: list[Found]) -> Row:
    own = entry.peer is OURS
    pickups = [ns / 1e6 for turn in found for ns in turn.pickups_ns]
    return {
        "what": entry.peer.name,
        "durability": entry.level,
        "jobs": found[0].drain.jobs if found[0].drain else None,
        "enqueue/s": _middle(found, _enqueue),
        "drain/s": _middle(found, _drain),
        "fastest/s": _middle(found, _fastest) if entry.peer.fastest else None,
        "CPU us/job": median(turn.drain.cpu_s / turn.drain.jobs * 1e6 for turn in found if turn.drain),
        "idle p50 ms": percentile(pickups, 50) if pickups else None,
        "p99 ms": percentile(pickups, 99) if pickups else None,
        "liteq over it: enqueue": None if own else _ratio(ours, found, _enqueue),
        "liteq over it: drain": None if own else _ratio(ours, found, _best),
    }


def _ways(turns: dict[Entry, list[Found]]) -> list[Row]:
    peers = {entry.peer.name: entry.peer for entry in turns}.values()
    return [
        {
            "what": peer.name,
            "version": peer.version(),
            "worker": peer.worker,
            "fastest": peer.fastest or "the same",
            "durability": "; ".join(f"{level}: {setting.by}" for level, setting in peer.levels.items()),
        }
        for peer in peers
    ]


def _rate(sample: Sample | None) -> float:
    assert sample is not None
    return sample.jobs / sample.wall_s


def _enqueue(found: Found) -> float:
    return _rate(found.enqueue)


def _drain(found: Found) -> float:
    return _rate(found.drain)


def _fastest(found: Found) -> float:
    return _rate(found.fastest)


def _best(found: Found) -> float:
    return max(_rate(sample) for sample in (found.drain, found.fastest) if sample is not None)


def _middle(turns: Sequence[Found], rate: Callable[[Found], float]) -> int:
    return round(median(rate(found) for found in turns))


def _ratio(ours: Sequence[Found], theirs: Sequence[Found], rate: Callable[[Found], float]) -> float:
    return median(rate(own) / rate(other) for own, other in zip(ours, theirs, strict=True))
