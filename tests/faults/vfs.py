"""A layer under SQLite that tells a watcher of every call on a file, and lets it stop the call."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

import apsw

_SYSTEM = "unix"
_numbers = count()


class Call(NamedTuple):
    """One call of SQLite's, ``kind`` being open, size, read, write, truncate, sync or delete.

    ``name`` is the last part of the file's. ``number`` is the offset of a read or write, the size to truncate to, or 1
    where a delete syncs the folder.
    """

    kind: str
    name: str
    number: int = 0
    data: bytes = b""


class Watcher:
    """Sees every call. This one lets all of them pass."""

    def is_due(self, call: Call) -> bool:  # noqa: ARG002  for those that inherit
        """Tell whether the call is to be stopped."""
        return False

    def strike(self, call: Call) -> None:
        """Stop the call, by raising or worse."""

    def kept(self, data: bytes) -> bytes:  # noqa: ARG002  for those that inherit
        """Give what of a stopped write reaches the file all the same."""
        return b""

    def done(self, call: Call) -> None:
        """Hear that the call was carried out."""


class WatchedVfs(apsw.VFS):
    """The system's own files with a watcher before them. Nothing is ever synced: syncs are heard, and that is all.

    Neither a failing call nor a killed process takes anything from the kernel's cache, and power cuts are modelled.
    """

    def __init__(self, watcher: Watcher) -> None:
        self.name = f"watched-{next(_numbers)}"
        self.watcher = watcher
        super().__init__(self.name, _SYSTEM)

    def hear(self, call: Call) -> None:
        if self.watcher.is_due(call):
            self.watcher.strike(call)

    # SQLite names these methods.
    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "WatchedFile":  # noqa: N802
        call = Call("open", _last_part(name))
        self.hear(call)
        file = WatchedFile(self, name, flags)
        self.watcher.done(call)
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        call = Call("delete", _last_part(filename), int(syncdir))
        self.hear(call)
        super().xDelete(filename, syncdir)
        self.watcher.done(call)


class WatchedFile(apsw.VFSFile):
    """One open file of a ``WatchedVfs``."""

    def __init__(self, vfs: WatchedVfs, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._vfs = vfs
        self._name = _last_part(name)
        super().__init__(_SYSTEM, name, flags)

    def xLock(self, level: int) -> None:  # noqa: N802
        try:
            super().xLock(level)
        except apsw.IOError:
            # The last one to close a file that it may only read cannot lock it, and SQLite thinks nothing of it.
            # A layer in Python is asked to say so in a word that apsw does not take for an error of its own.
            raise apsw.exception_for(apsw.SQLITE_BUSY) from None

    def xFileSize(self) -> int:  # noqa: N802
        self._vfs.hear(Call("size", self._name))
        return super().xFileSize()

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._vfs.hear(Call("read", self._name, offset))
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        call = Call("write", self._name, offset, bytes(data))
        watcher = self._vfs.watcher
        if watcher.is_due(call):
            kept = watcher.kept(call.data)
            if kept:
                super().xWrite(kept, offset)
                watcher.done(call._replace(data=kept))
            watcher.strike(call)
        super().xWrite(data, offset)
        watcher.done(call)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        call = Call("truncate", self._name, newsize)
        self._vfs.hear(call)
        super().xTruncate(newsize)
        self._vfs.watcher.done(call)

    def xSync(self, flags: int) -> None:  # noqa: N802, ARG002  SQLite names it
        call = Call("sync", self._name)
        self._vfs.hear(call)
        self._vfs.watcher.done(call)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Have the connections that are opened in the block watched, as long as they are open."""
    vfs = WatchedVfs(watcher)
    apsw.set_default_vfs(vfs.name)
    try:
        yield
    finally:
        apsw.set_default_vfs(_SYSTEM)


def _last_part(name: str | apsw.URIFilename | None) -> str:
    plain = name.filename() if isinstance(name, apsw.URIFilename) else name
    return os.path.basename(plain or "temporary")  # noqa: PTH119  a hot path, and no path to follow
