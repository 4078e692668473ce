"""Jobs one after another and side by side, before any of them is stored."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from liteq.errors import InvalidOption
from liteq.task import Call, Payload

MAX_DEPTH = 50

N = TypeVar("N")


class _Flow:
    """Parts in a row, each a job not yet enqueued or a flow again."""

    __slots__ = ("depth", "parts")
    word = ""

    def __init__(self, parts: Sequence[Any]) -> None:
        if not parts:
            raise InvalidOption(f"a {self.word} needs at least one job")
        for part in parts:
            if not isinstance(part, (Call, Payload, _Flow)):
                raise TypeError(f"a {self.word} is made of jobs, as task.call() gives them, not {type(part).__name__}")
        self.parts: tuple[Any, ...] = tuple(parts)
        self.depth: int = 1 + max((part.depth for part in self.parts if isinstance(part, _Flow)), default=0)
        if self.depth > MAX_DEPTH:
            raise InvalidOption(f"chains and groups may lie {MAX_DEPTH} deep in each other, not deeper")

    def __repr__(self) -> str:
        return f"<{self.word} of {len(self.parts)}>"


class Chain(_Flow):
    """Jobs that run one after another; each can ask for the result of the one before by ``ctx.parents``."""

    __slots__ = ()
    word = "chain"


class Group(_Flow):
    """Jobs that run side by side; what follows a group in a chain waits for all of it."""

    __slots__ = ()
    word = "group"


Part = Call[Any] | Payload | Chain | Group


def chain(*parts: Part) -> Chain:
    """Give jobs that run one after another. Raises InvalidOption for none, TypeError for what is no job."""
    return Chain(parts)


def group(*parts: Part) -> Group:
    """Give jobs that run side by side. Raises InvalidOption for none, TypeError for what is no job."""
    return Group(parts)


def unfold(part: Part, add: Callable[[Call[Any] | Payload, list[N]], N], after: list[N]) -> list[N]:
    """Hand each job to ``add`` with those it waits for, parents first; give those with which the part ends."""
    if isinstance(part, Chain):
        for one in part.parts:
            after = unfold(one, add, after)
        return after
    if isinstance(part, Group):
        return [end for one in part.parts for end in unfold(one, add, after)]
    return [add(part, after)]
