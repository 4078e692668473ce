"""A process that plays the script for whoever asks, in a child that kills itself at the nth call on its files.

Run as a program: an order a line comes in, and what the child has done goes out, each verb as soon as it has returned.
Children are forked, since starting Python anew takes longer than all that they do.
"""

import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from liteq.store.sqlite.engine import SqliteEngine
from tests.faults.script import Script
from tests.faults.small import make_small
from tests.faults.vfs import Call, Watcher, watched

KINDS = {"open", "write", "truncate", "sync", "delete"}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to play, and the call to die at, counted from 1. ``torn``: half of a write is done before.

    ``boasts``: a verb is told before it is done, which whoever looks at the file must find out.
    """

    path: str
    seed: int
    length: int
    nth: int
    torn: bool = False
    boasts: bool = False


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the answer: a verb that has returned, or at the end how the child ended."""

    verb: str | None = None
    job_ids: tuple[int, ...] = ()
    calls: int = 0
    signal: int | None = None


class Gallows(Watcher):
    """Kills the process at the nth call."""

    def __init__(self, order: Order) -> None:
        self.calls = 0
        self._order = order

    def is_due(self, call: Call) -> bool:
        self.calls += call.kind in KINDS
        return call.kind in KINDS and self.calls == self._order.nth

    def strike(self, call: Call) -> None:  # noqa: ARG002  whichever it is
        os.kill(os.getpid(), signal.SIGKILL)

    def kept(self, data: bytes) -> bytes:
        return data[: len(data) // 2] if self._order.torn else b""


def _say(line: Line) -> None:
    os.write(1, msgspec.json.encode(line) + b"\n")


def _play(order: Order) -> None:
    gallows = Gallows(order)
    script = Script(lambda: SqliteEngine(Path(order.path)), seed=order.seed, length=order.length)
    with watched(gallows):
        if order.boasts:
            _say(Line(verb="open"))
        for told in script.play():
            _say(Line(verb=told.verb, job_ids=told.job_ids))
        told.engine.close()
    _say(Line(calls=gallows.calls))


def _in_a_child(order: Order) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _play(order)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Carry out orders until there are no more."""
    make_small(pytest.MonkeyPatch())
    for line in sys.stdin:
        code = _in_a_child(msgspec.json.decode(line, type=Order))
        _say(Line(signal=-code))


if __name__ == "__main__":
    main()
