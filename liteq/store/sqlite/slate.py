"""What a worker writes about itself, and the lock for life on that file. Nobody's death is judged here."""

import os
import struct
from contextlib import suppress
from pathlib import Path

import msgspec

from liteq.clock import SystemClock
from liteq.model.fleet import StartedJob
from liteq.store.sqlite import heartbeat
from liteq.store.sqlite.descriptor import Descriptor
from liteq.store.sqlite.platform import boot_id, storage_error
from liteq.store.sqlite.processes import pid_namespace, process_start

_CLOCK = SystemClock()

_MAGIC, _VERSION = b"lqsl", 2
_HEADER = struct.Struct("<4sIqqqqq")  # magic, version, pid, hears_stop, beat, done, stopping
_BEAT = struct.Struct("<qqq")
_BEAT_AT = _HEADER.size - _BEAT.size
_SLOT = struct.Struct("<qqqqqq")  # job_id (0: empty), attempt, started_at, deadline, group, group_start
_GROUP = struct.Struct("<qq")
_GROUP_AT = _SLOT.size - _GROUP.size
_FIRST_SLOT_AT = 64
_EMPTY_SLOT = bytes(_SLOT.size)
# Written at the start, so that no later write of a usual worker needs a new block of a full disk.
_FIRST_SIZE = 8_192
_LONGEST_SLATE = 1 << 20


class Slate(msgspec.Struct, frozen=True):
    """What a worker last wrote about itself; ``beat`` is in monotonic milliseconds."""

    pid: int
    beat: int
    started: tuple[StartedJob, ...]
    done: int = 0
    stopping: bool = False
    hears_stop: bool = False


class WorkerIdentity(msgspec.Struct, frozen=True):
    """What must be remembered of a worker, or of a holder of named locks, to prove its death later."""

    worker_id: int
    pid: int
    pid_start: int
    boot_id: str
    pid_namespace: int
    life_ino: int
    kind: str = "worker"

    @property
    def file_name(self) -> str:
        """What its life lock is called in the folder of locks."""
        return life_file(self.kind, self.worker_id)


def life_file(kind: str, life_id: int) -> str:
    """Give what a life lock is called in the folder of locks."""
    return f"{kind}-{life_id}"


class LifeLock:
    """A worker's lock for life, on the file that is also its slate. A write is one ``pwrite``, no commit."""

    def __init__(
        self, worker_id: int, file: Descriptor, path: Path, kind: str = "worker", *, hears_stop: bool = False
    ) -> None:
        self.worker_id = worker_id
        self.kind = kind
        self.ino = file.ino
        self._file = file
        self._path = path
        self._start = 0
        self._told = (0, False)
        header = _HEADER.pack(_MAGIC, _VERSION, os.getpid(), hears_stop, _CLOCK.monotonic_ms(), 0, 0)
        self._write(header.ljust(_FIRST_SIZE, b"\0"), 0)

    @property
    def is_held(self) -> bool:
        """Whether the lock is still this object's."""
        return self._file.fd >= 0

    def identity(self) -> WorkerIdentity:
        """Give what others need to judge this worker's death."""
        pid = os.getpid()
        start = process_start(pid) or 0
        return WorkerIdentity(self.worker_id, pid, start, boot_id(), pid_namespace(), self.ino, self.kind)

    def beat(self, monotonic_ms: int, *, done: int = 0, stopping: bool = False) -> None:
        """Note that the worker was well at that time, how many jobs it has done, and whether it is leaving."""
        # An idle worker writes nothing: only what has changed, and the time where a lock cannot tell it.
        if not heartbeat.beat(self._file.fd, monotonic_ms) or self._told != (done, stopping):
            self._write(_BEAT.pack(monotonic_ms, done, stopping), _BEAT_AT)
            self._told = (done, stopping)

    def start(self, slot: int, job_id: int, attempt: int, started_at: int, deadline: int = 0) -> None:
        """Write down that a job begins; from now on a crash counts for it. ``deadline`` in monotonic ms."""
        try:
            packed = _SLOT.pack(job_id, attempt, started_at, deadline, 0, 0)
            os.pwrite(self._file.fd, packed, _FIRST_SLOT_AT + _SLOT.size * slot)
        except OSError as error:
            raise storage_error(error, self._path) from None

    def command(self, slot: int, group: int) -> None:
        """Write down that the slot's job runs a command, the leader of that process group, or is about to, by -1."""
        packed = _GROUP.pack(group, (process_start(group) or 0) if group > 0 else 0)
        self._write(packed, _FIRST_SLOT_AT + _SLOT.size * slot + _GROUP_AT)

    def run_mark(self, job_id: int, attempt: int) -> str:
        """Give what tells the processes of this run from all others."""
        if not self._start:
            self._start = process_start(os.getpid()) or 0
        return run_mark(os.getpid(), self._start, job_id, attempt)

    def clear(self, slot: int) -> None:
        """Write down that the slot's job is over."""
        self._write(_EMPTY_SLOT, _FIRST_SLOT_AT + _SLOT.size * slot)

    def intact(self) -> bool:
        """Give whether others still find this very lock under its name."""
        return self._file.is_at(self._path)

    def release(self, *, remove: bool) -> None:
        """Give the lock up, which is death to others; without ``remove`` the slate stays readable."""
        if self._file.fd < 0:
            return
        if remove and self.intact():
            # A file that stays is harmless: whoever finds its lock free forgets it.
            with suppress(OSError):
                self._path.unlink()
        self._file.close()

    def _write(self, content: bytes, offset: int) -> None:
        try:
            os.pwrite(self._file.fd, content, offset)
        except OSError as error:
            raise storage_error(error, self._path) from None


def run_mark(pid: int, pid_start: int, job_id: int, attempt: int) -> str:
    """Give the mark of a run by the worker with that pid and start."""
    return f"{pid}.{pid_start}.{job_id}.{attempt}"


def slate_on(fd: int) -> Slate | None:
    """Give what was last noted on the open file, None when that is no slate. ``OSError`` as it comes."""
    slate, beat = _slate_in(_stable_content(fd)), heartbeat.beat_of(fd)
    # The dead have no lock any more; then what they last wrote down has to do.
    return slate if slate is None or beat is None else msgspec.structs.replace(slate, beat=beat)


def _stable_content(fd: int) -> bytes:
    """Read until two looks agree: the writer may be half way through."""
    size = min(os.fstat(fd).st_size, _LONGEST_SLATE)
    content = os.pread(fd, size, 0)
    for _ in range(10):
        again = os.pread(fd, size, 0)
        if again == content:
            break
        content = again
    return content


def _slate_in(content: bytes) -> Slate | None:
    if len(content) < _FIRST_SLOT_AT or not content.startswith(_MAGIC):
        return None
    _, version, pid, hears_stop, beat, done, stopping = _HEADER.unpack_from(content)
    if version != _VERSION:
        return None
    whole = (len(content) - _FIRST_SLOT_AT) // _SLOT.size * _SLOT.size
    slots = _SLOT.iter_unpack(content[_FIRST_SLOT_AT : _FIRST_SLOT_AT + whole])
    started = (StartedJob(*slot) for slot in slots if slot[0] > 0)
    return Slate(pid, beat, tuple(started), done, bool(stopping), bool(hears_stop))
