"""One line on a terminal that counts while a command works, and is gone when it ends. Nothing off a terminal."""

import sys
import time
from types import TracebackType
from typing import Self

from liteq_cli import output

SHOW_EVERY_S = 0.1
_CLEAR = "\r\x1b[K"


class Ticker:
    """Counts on stderr, as ``12,000 jobs stored``."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._shows = output.is_rich(sys.stderr)
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._shown_at:
            self._write(_CLEAR)

    def count(self, done: int) -> None:
        """Show how many it are, at most ten times a second."""
        now = time.monotonic()
        if self._shows and now - self._shown_at >= SHOW_EVERY_S:
            self._shown_at = now
            self._write(f"{_CLEAR}{done:,} {self._words}")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
