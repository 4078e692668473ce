"""What a supervisor says: one event at a time, each once. What becomes of it is for whoever listens."""

from collections.abc import Callable

import msgspec

from liteq.clock import Clock
from liteq.model.job import Expired
from liteq.worker.seat import Seat

REPEAT_EVERY_MS = 30_000


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened to the fleet; ``at`` in milliseconds since 1970."""

    at: int
    event: str
    words: str
    seat: int | None = None
    pid: int | None = None
    worker_id: int | None = None
    job_id: int | None = None


class Teller:
    """Tells of events until nobody listens any more."""

    def __init__(self, tell: Callable[[Event], None], clock: Clock) -> None:
        self._tell = tell
        self._clock = clock
        self.deaf: OSError | None = None
        """Why nothing can be told any more."""
        self._complained: dict[str, int] = {}

    def say(self, event: str, words: str, seat: Seat | None = None, *, job_id: int | None = None) -> None:
        child = None if seat is None else seat.child
        self._announce(
            Event(
                at=self._clock.now_ms(),
                event=event,
                words=words,
                seat=None if seat is None else seat.number,
                pid=None if child is None else child.pid,
                worker_id=child.hello.worker_id if child is not None and child.hello is not None else None,
                job_id=job_id,
            )
        )

    def complain(self, words: str) -> None:
        """Tell of trouble that may last: the same again only after a while."""
        now = self._clock.monotonic_ms()
        if now >= self._complained.get(words, now):
            self._complained = {one: at for one, at in self._complained.items() if at > now}
            self._complained[words] = now + REPEAT_EVERY_MS
            self.say("trouble", words)

    def say_taken(self, taken: Expired) -> None:
        words = f"job {taken.job_id} is {taken.state.word}: {taken.cause}"
        self.say("taken", words, job_id=taken.job_id)

    def _announce(self, event: Event) -> None:
        if self.deaf is None:
            try:
                self._tell(event)
            except OSError as error:
                self.deaf = error
