"""Values that the tests of payloads write and read."""

import enum

import msgspec

LIMIT = 1 << 20


class Colour(enum.Enum):
    RED = "red"


class Mail(msgspec.Struct):
    to: str
    size: float = 0.0
