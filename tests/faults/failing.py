"""A disk on which the nth call of a kind fails, once or from then on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import apsw

from tests.faults.vfs import Call, Watcher

_CODES = {
    "open": apsw.SQLITE_CANTOPEN,
    "size": apsw.SQLITE_IOERR_FSTAT,
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "delete": apsw.SQLITE_IOERR_DELETE,
}


class Failure(NamedTuple):
    """How calls fail: ``full`` for want of space, ``torn`` with half of a write done, ``lasting`` from then on."""

    kind: str
    full: bool = False
    torn: bool = False
    lasting: bool = False

    def __str__(self) -> str:
        words = ["full" if self.full else "", "torn" if self.torn else "", "lasting" if self.lasting else "", self.kind]
        return "-".join(filter(None, words))


FAILURES = (
    Failure("open"),
    Failure("size"),
    Failure("read"),
    Failure("read", lasting=True),
    Failure("write"),
    Failure("write", full=True, torn=True),
    Failure("write", full=True, lasting=True),
    Failure("truncate"),
    Failure("sync"),
    Failure("sync", lasting=True),
    Failure("delete"),
)


class FailingDisk(Watcher):
    """Lets all calls pass but those that ``failing`` names."""

    def __init__(self) -> None:
        self.failed: Call | None = None
        self._failure: Failure | None = None
        self._left = 0

    @contextmanager
    def failing(self, failure: Failure, nth: int) -> Iterator[None]:
        """Have the nth call of the kind fail, counted from 1, while the block runs."""
        self.failed = None
        self._failure = failure
        self._left = nth
        try:
            yield
        finally:
            self._failure = None

    def is_due(self, call: Call) -> bool:
        failure = self._failure
        if failure is None or call.kind != failure.kind:
            return False
        self._left -= 1
        due = self._left == 0 or (failure.lasting and self._left < 0)
        if due and self.failed is None:
            self.failed = call
        return due

    def strike(self, call: Call) -> None:
        full = self._failure is not None and self._failure.full
        raise apsw.exception_for(apsw.SQLITE_FULL if full else _CODES[call.kind])

    def kept(self, data: bytes) -> bytes:
        torn = self._failure is not None and self._failure.torn
        return data[: len(data) // 2] if torn else b""
