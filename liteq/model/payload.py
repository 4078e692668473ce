"""How arguments, results and checkpoints become bytes and come back: JSON by msgspec, never pickle."""

import dataclasses
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import lru_cache
from itertools import islice
from types import FunctionType
from typing import Any, TypeVar, cast

import msgspec

from liteq.errors import BadArguments, PayloadNotSerializable, PayloadTooLarge, Undecodable
from liteq.model.names import shown

T = TypeVar("T")

MAX_PAYLOAD = 1024 * 1024

_SIZED_LEVELS = 3
_SIZED_ITEMS = 1_000
_TRIED_CHILDREN = 1_000_000
_PATH_DEPTH = 32
_MESSAGE_CHARACTERS = 200

# Threads may share them: msgspec keeps no state in them between calls.
_JSON = msgspec.json.Encoder()
_MSGPACK = msgspec.msgpack.Encoder()

_TEXTS = (str, bytes, bytearray)
_LISTS = (list, tuple, set, frozenset)
_SCALARS = frozenset({int, bool, float, type(None)})
_PLAIN = _SCALARS | {str, bytes}

crc: Callable[[bytes], int] = zlib.crc32
"""Gives the CRC-32 of the bytes, 0 … 2**32-1: the store keeps it beside each payload to notice bit rot."""

_Trail = tuple["_Trail | None", object]  # the trail to the parent, the key in it


def encode(value: object, *, what: str, max_bytes: int, setting: str | None = "max_payload") -> bytes:
    """Give the value as JSON of at most ``max_bytes`` bytes; ``setting`` names what sets that limit, if anything does.

    Anything that msgspec encodes may be in it: structs, dataclasses, attrs, dates, UUID, Enum, Decimal; bytes
    go in as base64. All but plain JSON comes back as itself only where it is decoded with the same type.
    ``what`` is the first word of a path in a message: "args", "result", "checkpoint".

    Raises:
        PayloadNotSerializable: JSON cannot carry it, or would change it: NaN, infinities, integers outside
            -2**63 … 2**64-1, which other readers of JSON round. The message gives the path of the culprit.
        PayloadTooLarge: large texts are refused before they are copied.
    """
    _refuse_large(value, what=what, max_bytes=max_bytes, setting=setting)
    try:
        data = _JSON.encode(value)
        packed = _MSGPACK.encode(value) if len(data) <= max_bytes else b""
    except Exception as error:
        raise PayloadNotSerializable(_locate(value, what, error)) from error
    if len(data) > max_bytes:
        raise _too_large(what, f"{len(data):,}", max_bytes, setting)
    # As JSON, msgspec writes NaN as null and integers of any size. As MessagePack it refuses large integers,
    # and a float is 0xCB and its exponent, all ones in NaN and infinities: the bytes say when to look closer.
    # Python finds one byte in a seventh of the time that it takes to find two.
    if 0xCB in packed and (b"\xcb\x7f" in packed or b"\xcb\xff" in packed):
        _refuse_non_finite(value, what)
    return data


def decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    """Give the decoder of an annotation, the same one each time; threads may share it.

    Raises:
        TypeError: msgspec cannot tell how to decode the type (two structs in one union, say).
        NameError: the type has an annotation that names nothing.
    """
    try:
        hash(type_)
    except TypeError:
        return msgspec.json.Decoder(type_)
    return _cached_decoder(type_)


def decode(data: bytes, decoder: msgspec.json.Decoder[T], *, what: str) -> T:
    """Give the value that the bytes hold, in the decoder's type.

    Raises:
        Undecodable: they are cut, no JSON, no UTF-8, nested too deeply, or of another type.
    """
    try:
        return decoder.decode(data)
    except Exception as error:  # a type's own __post_init__ may raise anything
        raise Undecodable(f"{what}: {_decode_reason(error)}") from error


def fits(data: bytes, decoder: msgspec.json.Decoder[Any]) -> None:
    """Prove that encoded arguments can be read by the task, exactly as the worker will read them.

    Raises:
        BadArguments: they cannot; the message names the field and the type it wants.
    """
    try:
        decoder.decode(data)
    except Exception as error:  # a type's own __post_init__ may raise anything
        raise BadArguments(_decode_reason(error)) from error


@lru_cache(maxsize=1024)
def _cached_decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


def _refuse_large(value: object, *, what: str, max_bytes: int, setting: str | None) -> None:
    """Refuse what is too large by ``len`` alone, down to two levels below the value."""
    if isinstance(value, msgspec.Struct):
        # Most arguments are a few scalars and short texts.
        for name in value.__struct_fields__:
            one = getattr(value, name, None)
            if type(one) not in _SCALARS and (type(one) is not str or len(one) > max_bytes):
                break
        else:
            return
    level = list(_parts(value)) if isinstance(value, msgspec.Struct) else [value]
    for _ in range(_SIZED_LEVELS):
        below: list[object] = []
        for item in level:
            if type(item) in _SCALARS:
                continue
            least = _least_size(item)
            if least > max_bytes:
                raise _too_large(what, f"at least {least:,}", max_bytes, setting)
            if type(item) is not str and len(below) < _SIZED_ITEMS:
                below += islice(_parts(item), _SIZED_ITEMS)
        level = below[:_SIZED_ITEMS]


def _least_size(item: object) -> int:
    """Give a number of bytes that the item's JSON cannot be below."""
    if isinstance(item, _TEXTS):
        return len(item)
    if isinstance(item, (*_LISTS, dict)):
        return 2 * len(cast("list[object]", item))
    return item.nbytes if isinstance(item, memoryview) else 0


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name, None) for name in value.__struct_fields__]
    return (part for _, part in _children(value))


def _too_large(what: str, size: str, max_bytes: int, setting: str | None) -> PayloadTooLarge:
    named = f" ({setting})" if setting else ""
    return PayloadTooLarge(f"{what}: {size} bytes of JSON, and the limit is {max_bytes:,}{named}")


def _children(value: object) -> Iterator[tuple[object, object]]:
    """Yield what a value is made of, each with its index, key or field name."""
    if isinstance(value, _TEXTS):
        return
    if isinstance(value, dict):
        yield from cast("dict[object, object]", value).items()
    elif isinstance(value, _LISTS):
        yield from enumerate(cast("list[object]", value))
    else:
        for name in _field_names(value):
            yield name, getattr(value, name, None)


def _field_names(value: object) -> list[str]:
    if isinstance(value, msgspec.Struct):
        return list(value.__struct_fields__)
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    return [field.name for field in getattr(type(value), "__attrs_attrs__", ())]


def _label(key: object) -> str:
    if isinstance(key, str) and key.isidentifier() and len(key) <= 60:
        return f".{key}"
    return f"[{shown(key)}]" if isinstance(key, (str, int, float)) else f"[a {type(key).__name__}]"


def _locate(value: object, what: str, error: Exception) -> str:
    """Follow the first child that fails to the culprit, and say where it is and what ails it."""
    path, above = what, {id(value)}
    if isinstance(error, MemoryError):
        return f"{what}: there is not enough memory to encode it"
    start = value, error
    for _ in range(_PATH_DEPTH):
        found = _first_failing_child(value)
        if found is None:
            return f"{_short(path)}: {_encode_reason(value, error)}"
        key, child, error = found
        path += _label(key)
        if id(child) in above:
            return f"{_short(path)}: it contains itself"
        above.add(id(child))
        value = child
    return f"{what}: {_encode_reason(*start)}"


def _first_failing_child(value: object) -> tuple[object, object, Exception] | None:
    for key, child in islice(_children(value), _TRIED_CHILDREN):
        try:
            _JSON.encode(child)
            _MSGPACK.encode(child)
        except Exception as error:  # noqa: BLE001  the caller turns it into a message
            return key, child, error
    return None


def _encode_reason(value: object, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it nests too deeply, or contains itself"
    if isinstance(error, UnicodeEncodeError):
        return "a text with a lone surrogate cannot be stored as JSON"
    if isinstance(error, OverflowError) or isinstance(value, int):
        return "an integer outside -2**63 … 2**64-1 cannot be stored as JSON"
    if isinstance(value, FunctionType):
        return f"a {'lambda' if value.__name__ == '<lambda>' else 'function'} cannot be stored as JSON"
    if isinstance(error, TypeError) and not isinstance(value, (*_LISTS, dict)):
        return f"a value of type {type(value).__name__} cannot be stored as JSON"
    return _short(str(error))


def _refuse_non_finite(value: object, what: str) -> None:
    pending: list[tuple[_Trail | None, object]] = [(None, value)]
    while pending:
        trail, item = pending.pop()
        if isinstance(item, Enum):
            item = cast("object", item.value)
        if _is_non_finite(item):
            raise PayloadNotSerializable(f"{_short(what + _path(trail))}: JSON cannot say {item}")
        if _has_non_finite_key(item):
            raise PayloadNotSerializable(f"{_short(what + _path(trail))}: JSON cannot say a key that is not finite")
        inner = [((trail, key), child) for key, child in _children(item) if _may_hide(child)]
        pending += reversed(inner)


def _path(trail: _Trail | None) -> str:
    labels: list[str] = []
    while trail is not None:
        trail, key = trail
        labels.append(_label(key))
    return "".join(reversed(labels))


def _may_hide(item: object) -> bool:
    return type(item) not in _PLAIN or _is_non_finite(item)


def _has_non_finite_key(item: object) -> bool:
    return isinstance(item, dict) and any(map(_is_non_finite, cast("dict[object, object]", item)))


def _is_non_finite(item: object) -> bool:
    return isinstance(item, float) and not math.isfinite(item)


def _decode_reason(error: Exception) -> str:
    """Give msgspec's words with its paths written as ours: ``$.to`` is ``to``."""
    if isinstance(error, RecursionError):
        return "it nests too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    return _short(re.sub(r" in `\$`$", "", re.sub(r"`\$\.?(?=[^`])", "`", str(error))))


def _short(text: str) -> str:
    """Cut a text of somebody else's making, and escape what could play tricks on a terminal."""
    cut = text if len(text) <= _MESSAGE_CHARACTERS else text[:_MESSAGE_CHARACTERS] + "…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
