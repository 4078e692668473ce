import math

import pytest

from liteq.errors import InvalidOption
from liteq.model.priority import Priority, check_priority


@pytest.mark.parametrize("value", [-32768, -1, 0, 7, 32767])
def test_a_priority_within_sixteen_bits_comes_back_unchanged(value: int) -> None:
    assert check_priority(value) == value


def test_a_named_priority_becomes_a_plain_integer() -> None:
    value = check_priority(Priority.HIGH)

    assert type(value) is int
    assert value == 100


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, -32769, 32768, pytest.param(10**5000, id="5,001 digits")])
def test_a_priority_out_of_range_is_refused_with_the_range(value: int) -> None:
    with pytest.raises(InvalidOption, match="from -32768 to 32767"):
        check_priority(value)


@pytest.mark.parametrize("value", [1.5, 1.0, "1", True, math.nan, None])
def test_a_priority_that_is_no_integer_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="priority must be an int"):
        check_priority(value)


def test_the_named_priorities_rise_from_low_to_critical() -> None:
    assert sorted(Priority) == [Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.CRITICAL]
    assert check_priority(Priority.NORMAL) == 0
