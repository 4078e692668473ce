"""The only file that reads a clock. Everything below the faces is handed the time as a number."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where an application's time comes from; tests give one that they can advance."""

    def now_ms(self) -> int:
        """Give the wall-clock time in milliseconds since 1970, UTC."""
        ...

    def monotonic_ms(self) -> int:
        """Give milliseconds that never go back and mean nothing across a reboot."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


def to_datetime(ms: int) -> datetime:
    """Give the aware UTC datetime of an instant in milliseconds."""
    return datetime.fromtimestamp(ms / 1000, tz=UTC)
