"""A model of a disk: what of the calls it heard is there when the power comes back."""

import random
from itertools import pairwise
from typing import NamedTuple

from tests.faults.vfs import Call

SECTOR = 512
FAILED_SYNC = "failed sync"
MODES = ("nothing", "first", "some", "torn", "everything")
"""What becomes of that which was not synced: it is gone; the first calls are there; any are; any, in part; all are."""

Image = dict[str, bytes]


class Change(NamedTuple):
    """A write, or without ``data`` a truncation to ``at``."""

    at: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if len(content) < self.at:
            content.extend(bytes(self.at - len(content)))
        if self.data is None:
            del content[self.at :]
        else:
            content[self.at : self.at + len(self.data)] = self.data


class _File:
    def __init__(self, *, named: bool) -> None:
        self.durable = bytearray()
        self.pending: list[Change] = []
        self.named = named

    def sync(self) -> None:
        for change in self.pending:
            change.apply(self.durable)
        self.pending.clear()

    def after(self, mode: str, rng: random.Random) -> bytes:
        content = bytearray(self.durable)
        for change in _survivors(self.pending, mode, rng):
            change.apply(content)
        return bytes(content)


class Disk:
    """Hears calls in their order. The names of new files and of removed ones need a sync like everything else."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._removed: dict[str, _File] = {}

    def hear(self, call: Call) -> None:
        if call.kind == "open":
            # Only SQLite's own files are made by SQLite; the database was there, and its name was synced.
            self._files.setdefault(call.name, _File(named=call.name.endswith(".db")))
        elif call.kind == "write":
            self._files[call.name].pending.append(Change(call.number, call.data))
        elif call.kind == "truncate":
            self._files[call.name].pending.append(Change(call.number, None))
        elif call.kind == "sync":
            self._sync(self._files[call.name])
        elif call.kind == FAILED_SYNC:
            # What the kernel could not write it takes for written from now on.
            self._files[call.name].pending.clear()
        elif call.kind == "delete":
            self._delete(call)

    def after_power_cut(self, mode: str, rng: random.Random) -> Image:
        """Give one content that the files may have, by name; a file may also be missing."""
        image: Image = {}
        for name, removed in self._removed.items():
            if rng.random() < 0.5:
                image[name] = removed.after(mode, rng)
        for name, file in self._files.items():
            if file.named or rng.random() < 0.5:
                image[name] = file.after(mode, rng)
        return image

    def _sync(self, file: _File) -> None:
        file.sync()
        if not file.named:
            # The first sync of a new log or journal syncs the folder too.
            file.named = True
            self._removed.clear()

    def _delete(self, call: Call) -> None:
        file = self._files.pop(call.name)
        if file.named and not call.number:
            self._removed[call.name] = file


def _survivors(pending: list[Change], mode: str, rng: random.Random) -> list[Change]:
    if mode == "nothing":
        return []
    if mode == "first":
        return pending[: rng.randint(0, len(pending))]
    if mode == "everything":
        return pending
    kept = [change for change in pending if rng.random() < 0.6]
    if mode == "some":
        return kept
    return [part for change in kept for part in _torn(change, rng)]


def _torn(change: Change, rng: random.Random) -> list[Change]:
    """Keep any of the sectors that a write covers, or all of them."""
    if change.data is None or rng.random() < 0.5:
        return [change]
    first = SECTOR - change.at % SECTOR
    cuts = [0, *range(first, len(change.data), SECTOR), len(change.data)]
    parts = [Change(change.at + start, change.data[start:end]) for start, end in pairwise(cuts)]
    return [part for part in parts if rng.random() < 0.5]
