"""What running jobs say about themselves and keep for their next attempt, as values that cross the engine's wall."""

import math
from typing import Any, cast

import msgspec

from liteq.errors import InvalidOption
from liteq.model.job import Claim

MAX_PARTS = 10_000
MAX_STREAM_BYTES = 16 * 1024 * 1024
"""How much of one job's stream is kept, and how much one attempt may publish."""
MAX_METADATA = 16 * 1024
MAX_NOTE = 500
"""Characters of a progress note that are kept."""
LARGEST_NUMBER = 2**63 - 1

Number = int | float


class ProgressNote(msgspec.Struct, frozen=True):
    """How far an attempt is, as it says itself."""

    done: Number
    total: Number | None = None
    note: str | None = None


class NewPart(msgspec.Struct, frozen=True):
    """A part of a job's stream that is not written yet: JSON, and when it was published."""

    value: bytes
    published_at: int


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt has said since it was last written down."""

    claim: Claim
    progress: ProgressNote | None = None
    parts: tuple[NewPart, ...] = ()


class ProgressRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The last that a job has said about how far it is, and in which attempt."""

    job_id: int
    attempt: int
    done: Number
    total: Number | None
    note: str | None
    updated_at: int


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is done: no later attempt of the job runs it again."""

    job_id: int
    name: str
    attempt: int
    finished_at: int
    result: bytes


class PartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a job's stream. ``seq`` counts from 1 through all attempts, and is given once."""

    job_id: int
    seq: int
    attempt: int
    published_at: int
    value: bytes


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a job's stream is kept, and how many parts of earlier attempts made room for later ones."""

    job_id: int
    last_seq: int
    parts: int
    bytes: int
    dropped: int


def progress_note(done: object, total: object = None, note: object = None) -> ProgressNote:
    """Give what a task says about how far it is.

    Raises TypeError for what is no number (a bool is none) or no text, InvalidOption for numbers below 0, not finite,
    above 2**63-1, and for more done than there is in all. A long note is cut, so that no job fails for it.
    """
    so_far = _number(done, what="done")
    in_all = None if total is None else _number(total, what="total")
    if in_all is not None and so_far > in_all:
        raise InvalidOption(f"done must not be above total, and {so_far} is above {in_all}")
    if note is None:
        return ProgressNote(so_far, in_all)
    if not isinstance(note, str):
        raise TypeError(f"note must be a str, not {type(note).__name__}")
    # What no database takes becomes a question mark.
    return ProgressNote(so_far, in_all, note[:MAX_NOTE].encode("utf-8", "replace").decode())


def _number(value: object, *, what: str) -> Number:
    kind = type(value)
    if kind is not int and kind is not float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{what} must be an int or a float, not {kind.__name__}")
        # An enum or a number of another library says itself as a plain one.
        value = int(value) if isinstance(value, int) else float(value)
    number = cast("Any", value)
    if not 0 <= number <= LARGEST_NUMBER or (kind is float and not math.isfinite(number)):
        shown = f"an integer of {number.bit_length()} bits" if isinstance(number, int) and number > 2**128 else number
        raise InvalidOption(f"{what} must be from 0 to 2**63-1, not {shown}")
    return cast("Number", number)
