"""What may be a name, and how a message shows a value that a stranger sent."""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache

from liteq.errors import InvalidName, InvalidOption

NAME_MAX_BYTES = 255
UNIQUE_KEY_MAX_BYTES = 1024

_SHOWN_CHARACTERS = 60
_SHOWN_BITS = 128


def check_name(value: object, *, what: str, max_bytes: int = NAME_MAX_BYTES) -> str:
    """Give back the name, unchanged, as a plain ``str``.

    A name is printable Unicode (as ``str.isprintable`` has it) without white space at its ends, of 1 to
    ``max_bytes`` bytes in UTF-8. Names are compared byte by byte: nothing is stripped or normalised.
    ``what`` is the word for the message: "queue", "task", "tag".

    Raises:
        TypeError: the value is no ``str``.
        InvalidName: it is one, and cannot be a name.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    # An enum with a str mix-in says "Queue.MAIL" to str(); the text it holds is what counts.
    name = str.__str__(value)
    if max_bytes > NAME_MAX_BYTES:
        # Unique keys are new at nearly each enqueue; in the cache they would only push the names out.
        return _refuse_bad_name(name, what, max_bytes)
    return _accepted_name(name, what, max_bytes)


def check_names(names: Sequence[object] | None, *, what: str) -> tuple[str, ...] | None:
    """Give back a list of names as a tuple, None as it is. InvalidOption for one text."""
    if isinstance(names, str):
        # A text is a sequence of its letters, none of which is meant.
        raise InvalidOption(f"give {what}s as a list, such as [{names!r}], not as one text")
    return None if names is None else tuple(check_name(name, what=what) for name in names)


def shown(value: str | float | timedelta) -> str:
    """Give a value for a message: at most 60 characters of it, with control characters escaped."""
    if isinstance(value, str):
        return repr(str.__str__(value)[:_SHOWN_CHARACTERS]) + ("…" if len(value) > _SHOWN_CHARACTERS else "")
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        # Python refuses to print integers of more than 4,300 digits.
        return f"an integer of {value.bit_length():,} bits"
    return str(value)


def _refuse_bad_name(name: str, what: str, max_bytes: int) -> str:
    # A character is at least one byte: this spares encoding a name of a gigabyte.
    if len(name) > max_bytes:
        raise InvalidName(f"{what} {shown(name)} is longer than {max_bytes} bytes of UTF-8")
    if not name:
        raise InvalidName(f"{what} must not be empty")
    if name != name.strip():
        raise InvalidName(f"{what} {shown(name)} must not begin or end with white space")
    if not name.isprintable():
        # NUL and lone surrogates are among these: no other rule is needed to keep them out.
        odd = next(character for character in name if not character.isprintable())
        raise InvalidName(f"{what} {shown(name)} has a character that cannot be printed: U+{ord(odd):04X}")
    if len(name.encode()) > max_bytes:
        raise InvalidName(f"{what} {shown(name)} is longer than {max_bytes} bytes of UTF-8")
    return name


_accepted_name = lru_cache(maxsize=4096)(_refuse_bad_name)
