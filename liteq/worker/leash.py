"""The line between a worker process and its supervisor. Its end, seen from the worker, is the supervisor's death."""

import os
import socket
from contextlib import suppress
from typing import Literal

import msgspec

LONGEST_LINE = 64 * 1024
_DRAIN = b"d"


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """A worker is known and works. ``opening`` says how its file is opened, which only the application knew."""

    worker_id: int
    path: str
    opening: dict[str, str | bool]


class Farewell(msgspec.Struct, frozen=True, kw_only=True, tag="farewell"):
    """A worker has signed off: how many jobs ended in each way, and why it left."""

    counts: dict[str, int]
    why: str


Word = Hello | Farewell

_decoder = msgspec.json.Decoder(Word)


class Leash:
    """The worker's end of the line."""

    def __init__(self, fd: int, *, path: str, opening: dict[str, str | bool]) -> None:
        self.supervisor_pid = os.getppid()
        self._path = path
        self._opening = opening
        # What a task starts must neither speak on the line nor keep it open.
        os.set_inheritable(fd, False)  # noqa: FBT003  it takes no keyword
        self._line = socket.socket(fileno=fd)
        self._line.settimeout(0)

    def hello(self, worker_id: int) -> None:
        """Say that the worker is known."""
        self._say(Hello(worker_id=worker_id, path=self._path, opening=self._opening))

    def farewell(self, counts: dict[str, int], why: str) -> None:
        """Say what was done and why it ends."""
        self._say(Farewell(counts=counts, why=why))

    def fileno(self) -> int:
        return self._line.fileno()

    def hear(self) -> Literal["drain", "gone"] | None:
        """Tell whether the supervisor wants this worker to end once its jobs have, or is gone itself."""
        try:
            return "drain" if self._line.recv(16) else "gone"
        except BlockingIOError:
            return None
        except OSError:
            return "gone"

    def _say(self, word: Word) -> None:
        # A supervisor that is gone, or that does not listen, learns it from the file.
        with suppress(OSError):
            self._line.sendall(msgspec.json.encode(word) + b"\n")


class Line:
    """The supervisor's end of the line."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._ours.settimeout(0)
        self._heard = b""
        self.is_over = False
        """Whether nothing can be heard any more, though the worker may live: a task closed whatever it found open."""

    def fileno(self) -> int:
        return self._ours.fileno()

    def keep_ours(self) -> None:
        """Close the worker's end here, once the worker has it."""
        self.theirs.close()

    def hear(self) -> list[Word]:
        """Give what was said since, in whole lines; what is no word of ours is not heard."""
        with suppress(BlockingIOError):
            while data := self._receive():
                self._heard = (self._heard + data)[-LONGEST_LINE:]
            self.is_over = True
        *lines, self._heard = self._heard.split(b"\n")
        words: list[Word] = []
        for line in lines:
            with suppress(msgspec.MsgspecError):
                words.append(_decoder.decode(line))
        return words

    def say_drain(self) -> bool:
        """Ask the worker to end once its jobs have; tell whether the line still takes it."""
        try:
            return not self.is_over and self._ours.send(_DRAIN) > 0
        except OSError:
            return False

    def close(self) -> None:
        self._ours.close()

    def _receive(self) -> bytes:
        try:
            return self._ours.recv(LONGEST_LINE)
        except ConnectionError:
            return b""
