"""The heartbeat of a worker: one small write a second, in a thread that never waits for the file."""

import logging
import threading

from liteq.errors import LiteqError
from liteq.worker.deafness import hear_no_signals
from liteq.worker.desk import Desk

BEAT_EVERY_MS = 1_000
BEATS_IN_A_LEASE = 4
STUCK_MS = 30_000
"""After so long within one step of its side thread a worker is not well, though Python runs in it."""

log = logging.getLogger("liteq.worker")


class Pulse:
    """Beats while the side thread turns. That may wait for a lock or a disk for longer than a short lease lasts."""

    def __init__(self, desk: Desk, *, lease_ms: int | None) -> None:
        self._desk = desk
        every_ms = BEAT_EVERY_MS if lease_ms is None else min(BEAT_EVERY_MS, lease_ms // BEATS_IN_A_LEASE)
        self._every_s = every_ms / 1000
        self._turned_at = desk.clock.monotonic_ms()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="liteq-pulse", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for that."""
        self._over.set()
        self._thread.join()

    def note_turn(self) -> None:
        """Take in that the side thread turns."""
        self._turned_at = self._desk.clock.monotonic_ms()

    def _run(self) -> None:
        hear_no_signals()
        while True:
            try:
                self._beat()
            except LiteqError as error:
                # A task may have closed what it found open; whoever judges by the lock sees it too.
                log.warning("a heartbeat could not be written: %s", error)
            if self._over.wait(self._every_s):
                return

    def _beat(self) -> None:
        now = self._desk.clock.monotonic_ms()
        if now - self._turned_at < STUCK_MS:
            self._desk.slate.beat(now, done=self._desk.done(), stopping=self._desk.stopping)
