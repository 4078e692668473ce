"""What a peer is to the benchmark: a queue that can be filled and drained, and the words for how that is done."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib import metadata, util
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.harness import Sample

Level = Literal["full", "normal", "off"]
"""What a power cut may take: nothing that was reported done, the last moments, or the whole file."""

DEADLINE_S = 60
"""Drains are sized for a second or two: whatever takes longer is stuck."""


class Queue(ABC):
    """One opened queue of a peer."""

    @abstractmethod
    def enqueue(self) -> None:
        """Put one job in, durably, by one call."""

    def fill(self, jobs: int) -> None:
        """Put so many jobs in; nobody measures how long it takes."""
        for _ in range(jobs):
            self.enqueue()

    @abstractmethod
    def work(self) -> None:
        """Run the peer's own worker loop, one job at a time, until the tally has what it expects."""

    def hurry(self) -> None:
        """Do the same by the fastest documented way. Raises NotImplementedError where there is no other."""
        raise NotImplementedError

    def serve(self) -> None:
        """Run the peer's own worker loop until the process is ended. Raises NotImplementedError where it has none."""
        raise NotImplementedError

    @abstractmethod
    def left(self) -> int:
        """Give how many jobs are still to be run."""


class Setting(msgspec.Struct, frozen=True):
    """How a durability is set, and how many jobs to enqueue one by one, to drain, and to drain the fastest way with it.

    Without a sync for every commit there are more, so that the syncs of checkpoints are among what is measured.
    """

    by: str
    enqueue: int
    drain: int
    fastest: int = 0


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A job queue.

    ``bare`` says that there is no worker, only a loop of ours: its time ends when it ends, not with the last job.
    ``forks`` says that jobs run in other processes. ``enqueue`` and ``drain`` replace the usual ways to measure;
    only liteq itself has them.
    """

    name: str
    package: str
    modules: tuple[str, ...]
    levels: Mapping[Level, Setting]
    worker: str
    open: Callable[[Path, Level], AbstractContextManager[Queue]]
    open_fastest: Callable[[Path, Level], AbstractContextManager[Queue]] | None = None
    fastest: str | None = None
    pickup: bool = False
    bare: bool = False
    forks: bool = False
    program: str | None = None
    server: Callable[[Path, Level], AbstractContextManager[None]] | None = None
    enqueue: Callable[[Path, Level, int], Sample] | None = None
    drain: Callable[[Path, Level, int], Sample] | None = None
    hint: str = "not installed: uv sync --group peers"

    def version(self) -> str:
        """Give the version that is installed."""
        return metadata.version(self.package)

    def missing(self) -> str | None:
        """Say what is not installed, or None. Nothing is imported: that is for the process that measures."""
        if any(util.find_spec(module) is None for module in self.modules):
            return self.hint
        if self.program is not None and shutil.which(self.program) is None:
            return f"the program {self.program} is not installed"
        return None
