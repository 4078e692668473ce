"""What is checked before a database file is opened: its path and its filesystem. No SQL, no locks."""

import os
import stat
import warnings
from collections import deque
from pathlib import Path, PurePath

from liteq.errors import (
    FileMissing,
    InvalidOption,
    UnsafePath,
    UnsupportedFilesystem,
)
from liteq.store.sqlite.platform import filesystem_of, storage_error

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
        message = f"{str(canonical)!r} has {found.st_nlink} names, and each would get a write-ahead log of its own"
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
        raise UnsafePath("the path is empty: SQLite would open a temporary database, and its jobs would vanish")
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
            raise FileMissing("the working folder does not exist any more, so a relative path means nothing") from None
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
        raise UnsafePath(f"{str(link)!r} is a symbolic link in a folder where others could point it elsewhere")


def _sync_and_close(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
