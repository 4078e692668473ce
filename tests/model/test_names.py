from enum import Enum

import pytest

from liteq.errors import InvalidName
from liteq.model.names import NAME_MAX_BYTES, UNIQUE_KEY_MAX_BYTES, check_name, shown


class Queue(str, Enum):  # noqa: UP042  str() of this older kind of enum is not its text
    MAIL = "mail"


@pytest.mark.parametrize(
    "name",
    [
        "mail",
        "a",
        "two words",
        "größe",
        "邮件",
        "'; DROP TABLE jobs;--",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "os.system",
        "é" * 127,
        "x" * NAME_MAX_BYTES,
    ],
)
def test_a_printable_name_comes_back_unchanged(name: str) -> None:
    assert check_name(name, what="queue") == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("   ", id="spaces"),
        pytest.param(" mail", id="leading space"),
        pytest.param("mail ", id="trailing space"),
        pytest.param("\n", id="newline"),
        pytest.param("a\tb", id="tab"),
        pytest.param("a\u00a0b", id="no-break space"),
        pytest.param("a\u202eb", id="right-to-left override"),
        pytest.param("a\0b", id="NUL"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param("x" * (NAME_MAX_BYTES + 1), id="256 bytes"),
        pytest.param("é" * 128, id="256 bytes in 128 characters"),
        pytest.param("x" * 1_000_000, id="a megabyte"),
    ],
)
def test_what_cannot_be_a_name_is_refused_each_time(name: str) -> None:
    for _ in range(2):
        with pytest.raises(InvalidName, match=r"^tag ") as caught:
            check_name(name, what="tag")

        assert len(str(caught.value)) < 200
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", [None, 5, b"x", ["x"]])
def test_a_name_of_another_type_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="queue must be a str"):
        check_name(value, what="queue")


def test_a_unique_key_may_be_longer_than_a_name() -> None:
    key = "k" * UNIQUE_KEY_MAX_BYTES

    assert check_name(key, what="unique key", max_bytes=UNIQUE_KEY_MAX_BYTES) == key
    with pytest.raises(InvalidName, match="1024 bytes"):
        check_name(key + "k", what="unique key", max_bytes=UNIQUE_KEY_MAX_BYTES)


def test_a_text_enum_gives_the_plain_text_it_holds() -> None:
    name = check_name(Queue.MAIL, what="queue")

    assert type(name) is str
    assert name == "mail"


def test_a_message_shows_sixty_characters_and_no_raw_control_character() -> None:
    text = shown("\x1b[31m" + "x" * 100)

    assert text == "'\\x1b[31m" + "x" * 55 + "'…"


def test_a_huge_integer_is_shown_by_its_size() -> None:
    assert shown(10**5000) == "an integer of 16,610 bits"
