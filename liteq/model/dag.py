"""Jobs that wait for each other, as a directed graph without circles: their order, longest way and drawing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

import msgspec

from liteq.errors import DependencyError
from liteq.model.transitions import State

_NAMED_OF_A_CIRCLE = 5

_COLOURS = {
    "completed": "fill:#d3f2d8,stroke:#2e7d32",
    "running": "fill:#d6e6ff,stroke:#1f5fbf",
    "dead": "fill:#ffd9d6,stroke:#b3261e",
    "cancelled": "fill:#e6e6e6,stroke:#777777",
}


def in_order(parents: Sequence[Iterable[int]], name_of: Callable[[int], str]) -> list[int]:
    """Give all places so that each comes after its parents, and otherwise as they stand.

    ``parents`` has the places of each one's parents. Raises DependencyError for a circle, with some of its names.
    """
    waits_for = [set(before) for before in parents]
    children: list[list[int]] = [[] for _ in parents]
    for place, before in enumerate(waits_for):
        for parent in before:
            children[parent].append(place)
    free = [place for place, before in enumerate(waits_for) if not before]
    heapify(free)
    order: list[int] = []
    while free:
        place = heappop(free)
        order.append(place)
        for child in children[place]:
            waits_for[child].discard(place)
            if not waits_for[child]:
                heappush(free, child)
    if len(order) < len(waits_for):
        raise DependencyError(f"these jobs wait for each other in a circle: {_circle(waits_for, name_of)}")
    return order


def _circle(waits_for: Sequence[set[int]], name_of: Callable[[int], str]) -> str:
    """Walk from parent to parent: who is left all wait, so the walk must come back to itself."""
    walk: list[int] = []
    seen: set[int] = set()
    place = next(place for place, before in enumerate(waits_for) if before)
    while place not in seen:
        seen.add(place)
        walk.append(place)
        place = min(waits_for[place])
    circle = walk[walk.index(place) :]
    names = [name_of(one) for one in circle[:_NAMED_OF_A_CIRCLE]]
    more = len(circle) - len(names)
    return " after ".join([*names, f"{more} more" if more > 0 else name_of(place)])


class DagNode(msgspec.Struct, frozen=True, kw_only=True):
    """One job of the graph; ``run_ms`` is how long it ran, or runs so far."""

    id: int
    task: str
    state: State
    run_ms: int = 0


class Dag(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs by id, and (parent, child) for each time that one waits for another. Ids rise from parent to child."""

    nodes: Mapping[int, DagNode]
    links: Sequence[tuple[int, int]]

    def parents(self) -> dict[int, list[int]]:
        """Give the parents of each job, by id."""
        found: dict[int, list[int]] = {job_id: [] for job_id in sorted(self.nodes)}
        for parent, child in self.links:
            if parent in found and child in found:
                found[child].append(parent)
        return {child: sorted(before) for child, before in found.items()}

    def critical_path(self) -> list[DagNode]:
        """Give the way from a first job to a last that took longest by the jobs' own run times: where to shorten.

        Of ways that took the same the one with more jobs counts, so that it says something before anything has run.
        """
        parents = self.parents()
        best: dict[int, tuple[int, int]] = {}
        came_from: dict[int, int | None] = {}
        for job_id, before in parents.items():
            longest = max(before, key=lambda parent: best[parent], default=None)
            total, jobs = (0, 0) if longest is None else best[longest]
            best[job_id] = (total + self.nodes[job_id].run_ms, jobs + 1)
            came_from[job_id] = longest
        if not best:
            return []
        path: list[DagNode] = []
        at: int | None = max(best, key=lambda job_id: (best[job_id], -job_id))
        while at is not None:
            path.append(self.nodes[at])
            at = came_from[at]
        return path[::-1]

    def mermaid(self) -> str:
        """Give the graph as a Mermaid flowchart."""
        lines = ["flowchart TD"]
        lines += [f'    j{node.id}["{node.id} {_plain(node.task)}"]:::{node.state.word}' for node in self._sorted()]
        lines += [f"    j{parent} --> j{child}" for child, before in self.parents().items() for parent in before]
        lines += [f"    classDef {word} {colours}" for word, colours in _COLOURS.items()]
        return "\n".join(lines)

    def _sorted(self) -> list[DagNode]:
        return [self.nodes[job_id] for job_id in sorted(self.nodes)]


def _plain(text: str) -> str:
    """Give a name that means nothing to Mermaid or to the page around it."""
    return "".join(one if one.isalnum() or one in " ._-:" else f"#{ord(one)};" for one in text)
