"""What is checked before a database file is opened, and what is refused while it is. No SQL, no locks."""

import os
import stat
import sys
import threading
import urllib.parse
import warnings
from collections import deque
from pathlib import Path, PurePath
from typing import cast

from liteq.errors import (
    FileMissing,
    ForkedClient,
    InvalidOption,
    SecondLibrary,
    StorageError,
    UnsafePath,
    UnsupportedFilesystem,
)
from liteq.store.sqlite.platform import descriptors_of, filesystem_of, storage_error

_LONGEST_PATH = 4096
_LONGEST_NAME = 255
_MOST_LINKS = 40
# SQLite adds this much to the name of the database.
_LONGEST_SUFFIX = "-journal"

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "vboxsf", "fuse", "ceph", "lustre", "afs"}
)
_NETWORK_PREFIXES = ("fuse.", "gluster")
_MEMORY = frozenset({"tmpfs", "ramfs"})

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Inode = tuple[int, int]


class NotDurableWarning(UserWarning):
    """The jobs are on a filesystem in memory, and end with the machine.

    Silence it with ``warnings.simplefilter("ignore", NotDurableWarning)``.
    """


def check_path(path: str | os.PathLike[str], *, create: bool) -> Path:
    """Give the canonical absolute path of a database; nothing is opened.

    ``FileMissing`` when its folder, or without ``create`` the file, does not exist. ``UnsafePath`` when it is
    not a regular file with one name, or when others could have planted a symbolic link on the way.
    ``InvalidOption`` for SQLite's own words, ``TypeError`` for anything but text.
    """
    canonical = _canonical(_checked_text(path))
    try:
        found = canonical.lstat()
    except FileNotFoundError:
        if create:
            return canonical
        raise FileMissing(f"there is no file {str(canonical)!r}") from None
    except OSError as error:
        raise storage_error(error, canonical) from None
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise UnsafePath(f"{str(canonical)!r} is {kind}, and jobs are kept in a regular file")
    if found.st_nlink > 1:
        message = (
            f"{str(canonical)!r} has {found.st_nlink} names, and each would get a write-ahead log of its own"
        )
        raise UnsafePath(message)
    return canonical


def create_private(path: Path) -> bool:
    """Make the empty file, for its owner alone; False when something of that name was there.

    ``-wal`` and ``-shm`` copy its mode, so it must be right before SQLite opens the file. The name is on the
    disk when this returns. ``ReadOnly``, ``DiskFull`` or ``FileMissing`` when it cannot be made.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        _sync_and_close(fd)
        _sync_and_close(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except FileExistsError:
        return False
    except OSError as error:
        raise storage_error(error, path) from None
    return True


def check_filesystem(path: Path, *, allow_network: bool) -> None:
    """Raise ``UnsupportedFilesystem`` where WAL loses data, and warn where a reboot loses the file."""
    check_filesystem_kind(filesystem_of(path), path=path, allow_network=allow_network)


def check_filesystem_kind(kind: str | None, *, path: Path, allow_network: bool) -> None:
    """Judge a type of filesystem as ``check_filesystem`` does; an unknown one (None) passes."""
    if kind is None:
        return
    if not allow_network and (kind in _NETWORK or kind.startswith(_NETWORK_PREFIXES)):
        message = (
            f"{str(path)!r} is on {kind}, where several processes may corrupt a database in WAL mode; "
            "allow_network_filesystem=True opens it at your own risk, from one machine only"
        )
        raise UnsupportedFilesystem(message)
    if kind in _MEMORY:
        message = f"{str(path)!r} is on {kind}: its jobs are not durable, they end with the machine"
        warnings.warn(message, NotDurableWarning, stacklevel=3)


def _checked_text(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  callers may be untyped
        raise TypeError(f"a path must be text, not {type(text).__name__}")
    if not text:
        raise UnsafePath(
            "the path is empty: SQLite would open a temporary database, and its jobs would vanish"
        )
    if text == ":memory:" or text.startswith("file:"):
        raise InvalidOption(f"{text[:200]!r} is a word of SQLite's own; give the plain path of a file")
    if "\0" in text:
        raise UnsafePath(f"a path cannot hold a NUL character: {text[:200]!r}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UnsafePath(f"a path must be valid Unicode: {text[:200]!r}") from None
    names = [len(name.encode()) for name in text.split("/")]
    names[-1] += len(_LONGEST_SUFFIX)
    if size > _LONGEST_PATH or max(names) > _LONGEST_NAME:
        raise UnsafePath(f"a path of {size} bytes, or a name in it, is too long: {text[:200]!r}")
    return text


def _canonical(text: str) -> Path:
    """Resolve the links of a path one by one, as the kernel does, judging each before it is followed."""
    done, rest, links = Path("/"), deque(_absolute_parts(text)), 0
    while rest:
        part = rest.popleft()
        step = done.parent if part == ".." else done / part
        found = _status(step, missing_ok=not rest)
        if found is None or not stat.S_ISLNK(found.st_mode):
            done = step
            continue
        links += 1
        if links > _MOST_LINKS:
            raise UnsafePath(f"{text[:200]!r} leads through too many symbolic links")
        _refuse_planted(step, found)
        target = step.readlink()
        if target.is_absolute():
            done = Path("/")
        rest.extendleft(reversed([name for name in target.parts if name != "/"]))
    return done


def _absolute_parts(text: str) -> list[str]:
    path = PurePath(text)
    if not path.is_absolute():
        try:
            path = Path.cwd() / path
        except OSError:
            raise FileMissing(
                "the working folder does not exist any more, so a relative path means nothing"
            ) from None
    return [part for part in path.parts if not part.startswith("/")]


def _status(step: Path, *, missing_ok: bool) -> os.stat_result | None:
    if step in {Path("/proc"), Path("/sys")}:
        raise UnsafePath(f"{str(step)!r} holds no files, only what the kernel says")
    try:
        return step.lstat()
    except FileNotFoundError:
        if missing_ok:
            return None
        raise FileMissing(f"there is no folder {str(step)!r}") from None
    except OSError as error:
        raise storage_error(error, step) from None


def _refuse_planted(link: Path, found: os.stat_result) -> None:
    folder = link.parent.stat()
    ours_in_sticky = folder.st_mode & stat.S_ISVTX and found.st_uid == os.geteuid()
    if folder.st_mode & stat.S_IWOTH and not ours_in_sticky:
        raise UnsafePath(
            f"{str(link)!r} is a symbolic link in a folder where others could point it elsewhere"
        )


def _sync_and_close(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Claims:
    """The inodes that engines of this process have open, and how many engines each."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: dict[Inode, int] = {}
        self.of_path: dict[Path, list[Inode]] = {}
        self.inherited: set[Inode] = set()
        self.hooked = False
        self.forks = 0

    def start_anew_in_child(self) -> None:
        # The lock may have been held by a thread that does not exist here.
        self.lock = threading.Lock()
        self.inherited.update(self.counts)
        self.counts.clear()
        self.of_path.clear()
        self.forks += 1


_claims = _Claims()
os.register_at_fork(after_in_child=_claims.start_anew_in_child)


def forks() -> int:
    """Give how many forks lie between this process and the one that first imported liteq."""
    return _claims.forks


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
    if claimed is not None:
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
