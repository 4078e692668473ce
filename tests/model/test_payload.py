"""Payloads as they are written: what comes back the same, and what is refused, with the path to it."""

import dataclasses
import enum
import math
import time
import tracemalloc
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteq.errors import PayloadNotSerializable, PayloadTooLarge
from liteq.model.payload import crc, decode, decoder, encode
from tests.model.payloads import LIMIT, Colour, Mail

HUGE = 10**5000


class Weight(enum.Enum):
    UNKNOWN = math.nan


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass(slots=True)
class SlottedPoint:
    x: float


@attrs.define
class Box:
    width: float


def numbers() -> Iterator[int]:
    yield 1


def a_list_in_itself() -> list[object]:
    circle: list[object] = [1]
    circle.append(circle)
    return circle


def a_dict_in_itself() -> dict[str, object]:
    circle: dict[str, object] = {}
    circle["self"] = [circle]
    return circle


def nested(depth: int, innermost: object = None) -> object:
    value = innermost
    for _ in range(depth):
        value = [value]
    return value


def there_and_back(value: object, type_: Any) -> object:
    return decode(encode(value, what="args", max_bytes=LIMIT), decoder(type_), what="args")


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(min_value=-(2**63), max_value=2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_json_can_say_comes_back_the_same(value: object) -> None:
    assert there_and_back(value, Any) == value


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (b"\x00\xff", bytes),
        (bytearray(b"ab"), bytearray),
        (Decimal("1.10"), Decimal),
        (uuid.UUID(int=7), uuid.UUID),
        (datetime(2027, 1, 1, 12, tzinfo=UTC), datetime),
        (datetime(2027, 1, 1, 12), datetime),  # noqa: DTZ001  a naive one in a payload stays naive
        (date(2027, 1, 1), date),
        (timedelta(days=1, microseconds=5), timedelta),
        (Colour.RED, Colour),
        (Mail("a@example.org"), Mail),
        (Point(1.5), Point),
        (SlottedPoint(1.5), SlottedPoint),
        (Box(1.5), Box),
        ((1, "a"), tuple[int, str]),
        ({1, 2}, set[int]),
        ({7: "x"}, dict[int, str]),
        ({"when": [timedelta(1)]}, dict[str, list[timedelta]]),
    ],
)
def test_a_value_comes_back_in_its_annotated_type(value: object, type_: Any) -> None:
    back = there_and_back(value, type_)

    assert type(back) is type(value)
    assert back == value


@pytest.mark.parametrize("value", [b"hi", bytearray(b"hi"), memoryview(b"hi")])
def test_bytes_of_any_kind_come_back_as_bytes_and_as_base64_without_a_type(value: object) -> None:
    assert there_and_back(value, bytes) == b"hi"
    assert there_and_back(value, Any) == "aGk="


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "args: a value of type object cannot"),
        ([1, lambda: 1], r"args\[1\]: a lambda cannot"),
        ({"to": ["a", numbers]}, r"args\.to\[1\]: a function cannot"),
        ([numbers()], r"args\[0\]: a value of type generator cannot"),
        ({"a b": 1j}, r"args\['a b'\]: a value of type complex cannot"),
        ({"x" * 1000: 1j}, r"args\['x{60}'…\]: a value of type complex cannot"),
        (Point(1.5, lambda: 1), r"args\.y: a lambda cannot"),  # type: ignore[arg-type]
        (Box([1j]), r"args\.width\[0\]: a value of type complex cannot"),  # type: ignore[arg-type]
        ({"keys": {(1, 2): 3}}, r"args\.keys: Only dicts with str-like or number-like keys"),
        ({(1, 2): lambda: 3}, r"args\[a tuple\]: a lambda cannot"),
        ({"keys": {None: 3}}, r"args\.keys: Only dicts with str-like or number-like keys"),
        ([memoryview(b"abcd")[::2]], r"args\[0\]: "),
    ],
)
def test_what_json_cannot_carry_is_refused_with_its_path(value: object, message: str) -> None:
    with pytest.raises(PayloadNotSerializable, match=f"^{message}"):
        encode(value, what="args", max_bytes=LIMIT)


def test_a_struct_without_one_of_its_fields_is_refused() -> None:
    mail = Mail("a")
    del mail.to

    with pytest.raises(PayloadNotSerializable, match=r"^args\[0\]: "):
        encode([mail], what="args", max_bytes=LIMIT)


def test_an_open_file_is_refused(tmp_path: Any) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(PayloadNotSerializable, match="TextIOWrapper"):
        encode({"file": file}, what="args", max_bytes=LIMIT)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (a_list_in_itself(), r"result\[1\]: it contains itself"),
        (a_dict_in_itself(), r"result\.self\[0\]: it contains itself"),
        (nested(100_000), "result: it nests too deeply"),
    ],
)
def test_a_value_without_end_is_refused(value: object, message: str) -> None:
    with pytest.raises(PayloadNotSerializable, match=f"^{message}"):
        encode(value, what="result", max_bytes=LIMIT)


def test_a_culprit_far_down_is_refused_without_its_path() -> None:
    with pytest.raises(PayloadNotSerializable, match=r"^args: Encoding objects of type complex"):
        encode(nested(200, 1j), what="args", max_bytes=LIMIT)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda number: number, "args"),
        (lambda number: [0.5, None, number], r"args\[2\]"),
        (lambda number: (1, (number,)), r"args\[1\]\[0\]"),
        (lambda number: {number}, r"args\[0\]"),
        (lambda number: frozenset([number]), r"args\[0\]"),
        (lambda number: {"a": {"b": number}}, r"args\.a\.b"),
        (lambda number: [Mail("x", number)], r"args\[0\]\.size"),
        (lambda number: Point(0.0, number), r"args\.y"),
        (SlottedPoint, r"args\.x"),
        (lambda number: [Box(number)], r"args\[0\]\.width"),
        (lambda number: {"a": {number: 1}}, r"args\.a"),
        (lambda number: nested(100, number), r"args\[0\]\[0\]"),
    ],
)
def test_a_float_that_is_no_number_is_refused_with_its_path(wrap: Any, path: str, number: float) -> None:
    with pytest.raises(PayloadNotSerializable, match=rf"^{path}[:\[]"):
        encode(wrap(number), what="args", max_bytes=LIMIT)


def test_an_enum_that_holds_nan_is_refused() -> None:
    with pytest.raises(PayloadNotSerializable, match=r"^args\[0\]: JSON cannot say nan"):
        encode([Weight.UNKNOWN], what="args", max_bytes=LIMIT)


@pytest.mark.parametrize("value", [None, "null", "nan", "inf", b"\xcb\x7f\xf8", 1.7976931348623157e308, 5e-324])
def test_what_only_looks_like_nan_is_kept(value: object) -> None:
    assert there_and_back([value], list[type(value)]) == [value]  # type: ignore[misc]


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda number: number, "result"),
        (lambda number: {"n": [1, number]}, r"result\.n\[1\]"),
        (lambda number: {"n": {number: 1}}, r"result\.n"),
    ],
)
def test_an_integer_beyond_64_bits_is_refused_with_its_path(wrap: Any, path: str, number: int) -> None:
    with pytest.raises(PayloadNotSerializable, match=rf"^{path}: an integer outside"):
        encode(wrap(number), what="result", max_bytes=LIMIT)


def test_an_integer_that_python_will_not_print_is_refused_with_its_path() -> None:
    with pytest.raises(PayloadNotSerializable, match=r"^args\[0\]: an integer outside"):
        encode([HUGE], what="args", max_bytes=LIMIT)
    with pytest.raises(PayloadNotSerializable, match=r"^args\.n: "):
        encode({"n": {HUGE: 1}}, what="args", max_bytes=LIMIT)
    with pytest.raises(PayloadNotSerializable, match=r"^args\[an integer of 16,610 bits\]: a lambda"):
        encode({HUGE: lambda: 1}, what="args", max_bytes=LIMIT)


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63)])
def test_the_last_integers_of_64_bits_are_kept(number: int) -> None:
    assert there_and_back(number, int) == number


@pytest.mark.parametrize(("value", "path"), [(["\ud800"], r"args\[0\]"), ({"k": {"\ud800": 1}}, r"args\.k")])
def test_a_lone_surrogate_is_refused_with_its_path(value: object, path: str) -> None:
    with pytest.raises(PayloadNotSerializable, match=f"^{path}: a text with a lone surrogate"):
        encode(value, what="args", max_bytes=LIMIT)


def test_a_payload_may_fill_its_limit_and_no_byte_more() -> None:
    text = "x" * 98

    assert len(encode(text, what="args", max_bytes=100)) == 100
    with pytest.raises(PayloadTooLarge, match="args: 101 bytes of JSON, and the limit is 100"):
        encode(text + "x", what="args", max_bytes=100)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda large: large,
        lambda large: [large],
        lambda large: {"body": large},
        lambda large: {"mail": {"body": large}},
        Mail,
        lambda large: [Point(large)],
    ],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, lambda size: memoryview(bytes(size)), lambda size: "x" * size])
def test_a_large_text_is_refused_before_it_is_copied(wrap: Any, kind: Any) -> None:
    value = wrap(kind(1 << 26))
    tracemalloc.start()

    with pytest.raises(PayloadTooLarge, match="args: at least 67,108,864 bytes of JSON, and the limit is 1,048,576"):
        encode(value, what="args", max_bytes=LIMIT)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_long_list_is_refused_by_its_length() -> None:
    with pytest.raises(PayloadTooLarge, match="at least 2,000,000 bytes"):
        encode([0] * 1_000_000, what="args", max_bytes=LIMIT)


def test_a_large_text_out_of_sight_of_the_quick_look_is_still_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="2,097,160 bytes"):
        encode(nested(3, "x" * (2 << 20)), what="args", max_bytes=LIMIT)


@pytest.mark.parametrize(
    "value",
    [
        {"password": "s3cret" * 10, "f": numbers},
        ["s3cret" * 1000, math.nan],
        "s3cret" * 1_000_000,
        nested(100, {"s3cret" * 100: numbers}),
    ],
)
def test_a_message_never_holds_the_payload(value: object) -> None:
    with pytest.raises((PayloadNotSerializable, PayloadTooLarge)) as caught:
        encode(value, what="args", max_bytes=LIMIT)

    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [[*[0] * 200_000, numbers], [*[0.5] * 200_000, math.nan], [*[0] * 200_000, 2**64]])
def test_a_culprit_behind_many_good_items_is_found_soon(value: object) -> None:
    start = time.perf_counter()

    with pytest.raises(PayloadNotSerializable, match=r"^args\[200000\]"):
        encode(value, what="args", max_bytes=LIMIT)

    assert time.perf_counter() - start < 1


def test_a_flipped_bit_changes_the_crc() -> None:
    assert crc(b"payload") == zlib.crc32(b"payload")
    assert crc(b"payload") != crc(b"qayload")
