"""Schedules as values: when they tick, from numbers alone. ``schedules`` makes them from what people write.

A value is complete once it is *bound* to the name of its schedule and the moment it was made: ``H`` in a cron
expression draws on the name, an interval counts from the moment. Ticks and instants are ms since 1970, UTC.
"""

from datetime import datetime
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from liteq.clock import to_datetime
from liteq.errors import InvalidOption, InvalidSchedule
from liteq.model import ticks
from liteq.model.cron import CronSpec, compile_cron
from liteq.model.cron_words import describe_calendar
from liteq.model.draw import drawn_from
from liteq.model.instants import instant_ms
from liteq.model.schedule_options import Options
from liteq.model.schedule_words import duration_words, instant_words
from liteq.model.ticks import END_OF_TIME, Missed

MOST_PREVIEWED = 10_000


class Schedule(Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """What all kinds share: where the ticks start and end, and what is known of the past ones."""

    options: Options

    def bind(self, *, name: str, now_ms: int) -> Self:  # noqa: ARG002  only some kinds depend on them
        """Give the value that a new schedule called ``name`` keeps. What is bound already stays as it is."""
        return self

    def declared(self) -> Self:
        """Give the value as it was before ``bind``, to compare with what the program declares today."""
        return self

    def next_fire_ms(self, after_ms: int) -> int | None:
        """Give the first tick strictly later than ``after_ms``, or None when there is none."""
        start, end = self.options.start_at, self.options.end_at
        tick = self._tick_after(after_ms if start is None else max(after_ms, start - 1))
        return None if tick is None or tick >= END_OF_TIME or (end is not None and tick > end) else tick

    def next_fires(self, after: datetime, count: int) -> list[datetime]:
        """Give up to ``count`` ticks strictly later than ``after``, in UTC. ``max_runs`` plays no part.

        Raises InvalidOption when ``after`` has no time zone or ``count`` is not 0 to 10,000.
        """
        if not 0 <= count <= MOST_PREVIEWED:
            raise InvalidOption(f"count: {count} is outside 0 to {MOST_PREVIEWED:,}")
        found: list[datetime] = []
        tick = self.next_fire_ms(instant_ms(after, what="after"))
        while tick is not None and len(found) < count:
            found.append(to_datetime(tick))
            tick = self.next_fire_ms(tick)
        return found

    def latest_fire_ms(self, after_ms: int, now_ms: int) -> int | None:
        """Give the last tick later than ``after_ms`` and not later than ``now_ms``, or None."""
        return ticks.latest(self.next_fire_ms, after_ms, now_ms)

    def missed(self, after_ms: int, now_ms: int, *, limit: int) -> Missed:
        """Give the newest ``limit`` ticks later than ``after_ms`` and not later than ``now_ms``; count all.

        The answer takes milliseconds however long ago ``after_ms`` is.
        """
        return ticks.missed(self.next_fire_ms, after_ms, now_ms, limit=limit)

    def touched(self, tick_ms: int) -> Literal["gap", "fold"] | None:  # noqa: ARG002  only cron has clocks
        """Tell whether a change of the clock touches a tick; see ``CronSpec.touched``."""
        return None

    def jitter_ms(self, name: str, tick_ms: int) -> int:
        """Give the delay of a tick's job, from 0 to the jitter allowed: the same whenever it is asked."""
        return drawn_from(f"{name}:{tick_ms}") % (self.options.max_jitter_ms + 1)

    def describe(self) -> str:
        """Give the schedule in plain English, such as ``at 02:00 every day, Europe/Berlin``."""
        start, end, runs = self.options.start_at, self.options.end_at, self.options.max_runs
        said = self._words()
        said += "" if start is None else f", from {instant_words(start)}"
        said += "" if end is None else f", until {instant_words(end)}"
        return said if runs is None else f"{said}, {runs} time{'s' if runs > 1 else ''} at most"

    def encode(self) -> bytes:
        """Give the value as JSON, for ``decode_schedule``."""
        return msgspec.json.encode(self)

    def _tick_after(self, after_ms: int) -> int | None:
        raise NotImplementedError

    def _words(self) -> str:
        raise NotImplementedError


class Cron(Schedule, tag="cron", frozen=True, kw_only=True):
    """Ticks by a cron expression in a time zone. The expression is compiled when it is first needed."""

    expr: Annotated[str, Meta(max_length=255)]
    timezone: Annotated[str, Meta(max_length=255)]
    name: str = ""
    """What ``H`` draws on; empty as long as the value is not bound, and where the expression has no ``H``."""

    def bind(self, *, name: str, now_ms: int) -> Self:  # noqa: ARG002  the moment does not matter
        return replace(self, name=name) if self.compiled().hashed and not self.name else self

    def declared(self) -> Self:
        return replace(self, name="")

    def compiled(self) -> CronSpec:
        """Give the compiled expression. Raises InvalidSchedule when it or the time zone is none."""
        return compile_cron(self.expr, timezone=self.timezone, name=self.name)

    def touched(self, tick_ms: int) -> Literal["gap", "fold"] | None:
        return self.compiled().touched(tick_ms)

    def _tick_after(self, after_ms: int) -> int | None:
        spec = self.compiled()
        if spec.hashed and not self.name:
            raise InvalidSchedule(f"cron: {self.expr!r} has H, so its ticks depend on a name; bind it to one first")
        return spec.next_fire(after_ms)

    def _words(self) -> str:
        spec = self.compiled()
        calendar = f"by {self.expr!r}" if spec.hashed and not self.name else describe_calendar(spec.calendar)
        return f"{calendar}, {self.timezone}"


class Every(Schedule, tag="every", frozen=True, kw_only=True):
    """Ticks at ``first_at`` and every ``period_ms`` of elapsed time after it: no clock change moves it."""

    period_ms: Annotated[int, Meta(ge=1)]
    first_at: Annotated[int, Meta(ge=0)] | None = None
    """None until bound; then one period after that moment, or ``start_at`` where that was given."""

    def bind(self, *, name: str, now_ms: int) -> Self:  # noqa: ARG002  the name does not matter
        return self if self.first_at is not None else replace(self, first_at=now_ms + self.period_ms)

    def declared(self) -> Self:
        return replace(self, first_at=self.options.start_at)

    def latest_fire_ms(self, after_ms: int, now_ms: int) -> int | None:
        newest = self.missed(after_ms, now_ms, limit=1).ticks
        return newest[0] if newest else None

    def missed(self, after_ms: int, now_ms: int, *, limit: int) -> Missed:
        end = now_ms if self.options.end_at is None else min(now_ms, self.options.end_at)
        first = self.next_fire_ms(after_ms)
        if first is None or first > end:
            return Missed(ticks=(), count=0, exact=True)
        count = (end - first) // self.period_ms + 1
        newest = range(first + max(count - limit, 0) * self.period_ms, end + 1, self.period_ms)
        return Missed(ticks=tuple(newest), count=count, exact=True)

    def _tick_after(self, after_ms: int) -> int | None:
        first = after_ms + self.period_ms if self.first_at is None else self.first_at
        return first + max((after_ms - first) // self.period_ms + 1, 0) * self.period_ms

    def reanchored(self, now_ms: int) -> Self:
        """Give the value with its first tick one period from now, where that is later still: a clock was set back."""
        if self.options.start_at is not None or self.first_at is None or self.first_at <= now_ms + self.period_ms:
            return self
        return replace(self, first_at=now_ms + self.period_ms)

    def _words(self) -> str:
        return f"every {duration_words(self.period_ms)}"


class At(Schedule, tag="at", frozen=True, kw_only=True):
    """Ticks once."""

    fire_at: Annotated[int, Meta(ge=0)]

    def _tick_after(self, after_ms: int) -> int | None:
        return self.fire_at if after_ms < self.fire_at else None

    def _words(self) -> str:
        return f"once, at {instant_words(self.fire_at)}"


class Manual(Schedule, tag="manual", frozen=True, kw_only=True):
    """Never ticks by itself; a person or a program triggers it."""

    def _tick_after(self, after_ms: int) -> int | None:  # noqa: ARG002  never is never
        return None

    def _words(self) -> str:
        return "only when triggered"


AnySchedule = Cron | Every | At | Manual
_DECODER: msgspec.json.Decoder[AnySchedule] = msgspec.json.Decoder(AnySchedule)


def decode_schedule(encoded: bytes) -> AnySchedule:
    """Give back the value that ``encode`` wrote. Raises InvalidSchedule for anything else.

    A cron expression is read only when its ticks are asked for, and may be refused then.
    """
    try:
        return _DECODER.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidSchedule(f"stored schedule: {error}") from error
