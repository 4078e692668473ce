"""Who is replaced when: decided from what the supervisor knows of its children, without one process."""

from types import SimpleNamespace
from typing import Any

from liteq.worker.recycling import NEW_CODE, Recycling


def a_child(pid: int, *, ready: bool = True) -> Any:
    """Give what recycling looks at in a worker process."""
    return SimpleNamespace(pid=pid, hello=object() if ready else None, leaving=None, started_at=0)


def due(recycling: Recycling, children: list[Any], *, now: int = 0) -> list[int]:
    """Have recycling name who is to leave, and let them go."""
    named = recycling.due(children, wanted=2, now=now)
    for child, why in named:
        child.leaving = why
    return [child.pid for child, _ in named]


def test_for_new_code_the_next_leaves_only_when_a_successor_is_ready() -> None:
    recycling = Recycling(max_memory=None, max_time_ms=None)
    children = [a_child(1), a_child(2)]
    recycling.reload(children)

    assert due(recycling, children) == [1]
    assert due(recycling, children) == [], "one is away"
    children[0] = a_child(3, ready=False)
    assert due(recycling, children) == [], "its successor still starts"
    children[0] = a_child(3)
    assert due(recycling, children) == [2]
    assert children[1].leaving == NEW_CODE
    children[1] = a_child(4)
    assert due(recycling, children) == []


def test_for_their_age_they_leave_one_by_one_too() -> None:
    recycling = Recycling(max_memory=None, max_time_ms=1_000)
    children = [a_child(1), a_child(2)]

    assert due(recycling, children, now=1_000) == []
    assert due(recycling, children, now=1_001) == [1]
    assert due(recycling, children, now=1_002) == []
