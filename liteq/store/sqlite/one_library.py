"""While an engine has a file open, nothing else in this process may open it. No SQL, no locks."""

import os
import sys
import threading
import urllib.parse
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from liteq.errors import ForkedClient, SecondLibrary, StorageError
from liteq.store.sqlite.platform import descriptors_of, storage_error

Inode = tuple[int, int]


class _Claims:
    """The inodes that engines of this process have open, and how many engines each."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: dict[Inode, int] = {}
        self.of_path: dict[Path, list[Inode]] = {}
        self.inherited: set[Inode] = set()
        self.hooked = False
        self.trusted: set[int] = set()

    def start_anew_in_child(self) -> None:
        # The lock may have been held by a thread that does not exist here.
        self.lock = threading.Lock()
        self.inherited.update(self.counts)
        self.counts.clear()
        self.of_path.clear()
        lineage.forks += 1


class Lineage:
    """How many forks lie between this process and the one that first imported liteq."""

    forks = 0


lineage = Lineage()
_claims = _Claims()
os.register_at_fork(after_in_child=_claims.start_anew_in_child)


def claim_inode(path: Path) -> None:
    """Note that an engine is about to open the file; ``release_inode`` takes it back after closing.

    ``SecondLibrary`` when this process has the file open already, other than through an engine: POSIX locks
    belong to the process, so two libraries would both believe they hold them. ``ForkedClient`` when the open
    descriptors came through a fork. Until the release, ``sqlite3.connect`` and ``open`` of the file raise
    ``SecondLibrary``.
    """
    with _claims.lock:
        try:
            found = path.stat()
        except OSError as error:
            raise storage_error(error, path) from None
        inode = found.st_dev, found.st_ino
        if inode not in _claims.counts and descriptors_of(*inode):
            raise _already_open(path, inherited=inode in _claims.inherited)
        if not _claims.hooked:
            sys.addaudithook(_refuse_second_library)
            _claims.hooked = True
        _claims.counts[inode] = _claims.counts.get(inode, 0) + 1
        _claims.of_path.setdefault(path, []).append(inode)


def release_inode(path: Path) -> None:
    """Take one claim back, also when the file was moved meanwhile. Without a claim nothing happens."""
    with _claims.lock:
        inodes = _claims.of_path.get(path, [])
        if not inodes:
            return
        inode = inodes.pop()
        if not inodes:
            del _claims.of_path[path]
        _claims.counts[inode] -= 1
        if not _claims.counts[inode]:
            del _claims.counts[inode]


@contextmanager
def trusted_here() -> Generator[None]:
    """Let the calling thread open what is claimed. For the log alone: on that SQLite has no locks to be dropped."""
    _claims.trusted.add(threading.get_ident())
    try:
        yield
    finally:
        _claims.trusted.discard(threading.get_ident())


def _already_open(path: Path, *, inherited: bool) -> ForkedClient | StorageError:
    if inherited:
        return ForkedClient(f"{str(path)!r} was open when this process was forked: close it before, or spawn")
    return SecondLibrary(
        f"{str(path)!r} is already open in this process, not through liteq, and two SQLite libraries on one "
        "file lose data. Close it there first, or use it from another process"
    )


def _refuse_second_library(event: str, args: tuple[object, ...]) -> None:
    # Every audit event of the process comes through here, so the cheapest questions are asked first.
    if event not in {"open", "sqlite3.connect"} or not _claims.counts:
        return
    try:
        claimed = _claimed_path(event, args)
    except Exception:  # noqa: BLE001  whatever is wrong with a stranger's path, the stranger's own call shall say it
        return
    if claimed is not None and threading.get_ident() not in _claims.trusted:
        message = (
            f"{claimed[:200]!r} is open in liteq: another library, or a plain open, in the same process "
            "would drop SQLite's locks and lose data. Use the app's methods or app.transaction(), "
            "`liteq backup` for a copy, or another process"
        )
        raise SecondLibrary(message)


def _claimed_path(event: str, args: tuple[object, ...]) -> str | None:
    path = args[0]
    if isinstance(path, int):
        return None
    text = os.fsdecode(cast("str", path))
    if _makes_new_file(event, args):
        return None
    if _has_claim(text):
        return text
    if event == "open":
        return text if text.endswith(("-wal", "-shm")) and _has_claim(text[:-4]) else None
    return text if text.startswith("file:") and _has_claim(_path_of_uri(text)) else None


def _makes_new_file(event: str, args: tuple[object, ...]) -> bool:
    flags = args[2] if event == "open" else 0
    return isinstance(flags, int) and flags & os.O_CREAT != 0 and flags & os.O_EXCL != 0


def _path_of_uri(uri: str) -> str:
    path = uri.removeprefix("file:").partition("#")[0].partition("?")[0]
    if path.startswith("//"):
        _, slash, tail = path[2:].partition("/")
        path = slash + tail
    return os.fsdecode(urllib.parse.unquote_to_bytes(path))


def _has_claim(text: str) -> bool:
    try:
        found = os.stat(text)  # noqa: PTH116  a Path object would cost every open of the process twice as much
    except OSError:
        return False
    return (found.st_dev, found.st_ino) in _claims.counts
