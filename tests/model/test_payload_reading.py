"""Payloads as they are read: stored bytes that are damaged, and arguments that do not fit."""

from typing import Annotated, Any

import msgspec
import pytest

from liteq.errors import BadArguments, Undecodable
from liteq.model.payload import decode, decoder, encode, fits
from tests.model.payloads import LIMIT, Colour, Mail


class Fussy(msgspec.Struct):
    size: int

    def __post_init__(self) -> None:
        if self.size > 9:
            raise LookupError("no box is that large")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not json", id="no JSON"),
        pytest.param(b'{"to":"a', id="truncated"),
        pytest.param(b'{"to":"\xff"}', id="no UTF-8"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"to":1}', id="another type"),
        pytest.param(b"{}", id="missing field"),
        pytest.param(b'{"to":"a","size":1e999}', id="number out of range"),
    ],
)
def test_stored_bytes_that_cannot_be_read_are_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable, match=r"^args: "):
        decode(data, decoder(Mail), what="args")


@pytest.mark.parametrize("data", [b"", b'"\xff"', b"[" * 100_000, b"{'a':1}"])
def test_damage_is_noticed_without_a_type_as_well(data: bytes) -> None:
    with pytest.raises(Undecodable, match=r"^result: "):
        decode(data, decoder(Any), what="result")


def test_an_error_that_a_type_raises_while_it_is_built_is_undecodable() -> None:
    with pytest.raises(Undecodable, match=r"^args: no box is that large"):
        decode(b'{"size":10}', decoder(Fussy), what="args")


@pytest.mark.parametrize(
    ("data", "type_", "message"),
    [
        (b'{"to":5}', Mail, "Expected `str`, got `int` - at `to`"),
        (b'{"size":1}', Mail, "Object missing required field `to`"),
        (b'[1,"x"]', tuple[int, int], "Expected `int`, got `str` - at `[1]`"),
        (b'{"a":["x"]}', dict[str, list[int]], "Expected `int`, got `str` - at `[...][0]`"),
        (b'{"a":1}', dict[int, int], "Expected `int`, got `str` - at `key`"),
        (b"5", str, "Expected `str`, got `int`"),
        (b'{"size":10}', Fussy, "no box is that large"),
        (b"[" * 100_000, Any, "it nests too deeply"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_the_field(data: bytes, type_: Any, message: str) -> None:
    with pytest.raises(BadArguments) as caught:
        fits(data, decoder(type_))

    assert str(caught.value) == message


def test_arguments_that_fit_pass() -> None:
    data = encode(Mail("a"), what="args", max_bytes=LIMIT)

    fits(data, decoder(Mail))

    assert decode(data, decoder(Mail), what="args") == Mail("a")


def test_a_refused_argument_is_shown_in_part_and_escaped() -> None:
    data = encode("\x1b[31m" + "x" * 10_000, what="args", max_bytes=LIMIT)

    with pytest.raises(BadArguments) as caught:
        fits(data, decoder(Colour))

    assert len(str(caught.value)) < 250
    assert str(caught.value).isprintable()


def test_a_decoder_is_made_once_for_a_type_that_can_be_remembered() -> None:
    unhashable = Annotated[int, msgspec.Meta(extra={"a": 1})]

    assert decoder(Mail) is decoder(Mail)
    assert decoder(unhashable).decode(b"1") == 1
