"""Rates: their small grammar, and the arithmetic of tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteq.errors import InvalidOption
from liteq.model.limits import check_max_running
from liteq.model.rate import GRACE_US, Rate, check_rate

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "count", "per_ms", "burst"),
    [
        ("100/minute", 100, 60_000, 1),
        ("5/s", 5, 1_000, 1),
        ("1000/hour", 1_000, 3_600_000, 1),
        ("3 per 10s", 3, 10_000, 1),
        ("3/10 seconds", 3, 10_000, 1),
        ("7 / day", 7, 86_400_000, 1),
        ("2/500ms", 2, 500, 1),
        ("10/h burst 10", 10, 3_600_000, 10),
        ("  5 PER Minute ", 5, 60_000, 1),
    ],
)
def test_a_rate_is_read_as_people_write_it(text: str, count: int, per_ms: int, burst: int) -> None:
    assert Rate.parse(text) == Rate(count=count, per_ms=per_ms, burst=burst)


@pytest.mark.parametrize(
    "text",
    [
        *("", "100", "100/", "/minute", "minute", "1.5/s", "-1/s", "100/fortnight", "0/s", "5/0s", "5/s burst 0"),
        *("5/s/s", "10001/s", "5/367d", "5/s burst 10001", "9" * 1_000_000, "\u0661/s", "5\0/s", "5 s"),
    ],
)
def test_what_is_no_rate_is_refused_and_the_error_shows_how_to_write_one(text: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        Rate.parse(text)

    assert len(str(refused.value)) < 250


@given(st.integers(1, 10_000), st.integers(1, 10**9), st.integers(1, 10_000))
def test_the_text_of_a_rate_is_read_back_as_the_same_rate(count: int, per_ms: int, burst: int) -> None:
    try:
        rate = Rate(count=count, per_ms=per_ms, burst=burst)
    except InvalidOption:
        return

    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize("value", [5, None, b"5/s", 1.5, True])
def test_what_is_neither_a_rate_nor_a_text_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="Rate or a str"):
        check_rate(value)


@pytest.mark.parametrize("value", ["1", 1.0, True, None])
def test_a_number_of_jobs_is_an_int(value: object) -> None:
    with pytest.raises(TypeError, match="max_running must be an int"):
        check_max_running(value)


@pytest.mark.parametrize("value", [-1, 10**9, 2**70])
def test_a_number_of_jobs_has_a_range(value: int) -> None:
    with pytest.raises(InvalidOption, match="max_running must be from 1 to"):
        check_max_running(value)


def test_a_limit_of_zero_is_refused_with_the_word_for_it() -> None:
    with pytest.raises(InvalidOption, match="pause the queue"):
        check_max_running(0)


def starts(rate: Rate, moments: list[int]) -> list[int]:
    """Give the moments at which something starts, where as much as may start does."""
    next_us: int | None = None
    found: list[int] = []
    for now in moments:
        tokens = rate.tokens(next_us, now)
        if tokens:
            next_us = rate.spend(next_us, now, tokens=tokens)
            found += [now] * tokens
    return found


@given(st.integers(1, 300), st.integers(100, 5_000), st.integers(1, 20), st.lists(st.integers(1, 700), max_size=150))
def test_no_period_holds_more_starts_than_the_count_and_what_the_burst_and_the_grace_add(
    count: int, per_ms: int, burst: int, steps: list[int]
) -> None:
    rate = Rate(count=count, per_ms=per_ms, burst=burst)
    moments = [NOW]
    for step in steps:
        moments.append(moments[-1] + step)

    found = starts(rate, moments)

    most = count + max(burst, GRACE_US // rate.interval_us + 1)
    for first in found:
        assert sum(first <= moment < first + per_ms for moment in found) <= most


@pytest.mark.parametrize("text", ["100/minute", "7/s", "3 per 10s", "1000/s"])
def test_who_looks_at_every_token_starts_exactly_the_promised_number(text: str) -> None:
    rate = Rate.parse(text)
    next_us = rate.spend(None, NOW)
    started, now = 1, NOW
    while (now := max(now + 1, rate.next_at(next_us, now))) < NOW + 10 * rate.per_ms:
        tokens = rate.tokens(next_us, now)
        next_us = rate.spend(next_us, now, tokens=tokens)
        started += tokens

    assert started == 10 * rate.count


def test_who_is_a_little_late_each_time_loses_no_token() -> None:
    rate = Rate.parse("100/minute")

    found = starts(rate, list(range(NOW, NOW + 600_000, 7)))

    assert len(found) == 1_000


def test_after_a_rest_as_many_start_at_once_as_the_burst_says() -> None:
    rate = Rate.parse("10/minute burst 4")

    assert starts(rate, [NOW, NOW + 6_000, NOW + 600_000]) == [NOW] * 4 + [NOW + 6_000] + [NOW + 600_000] * 4


def test_a_clock_that_was_set_back_holds_up_nothing() -> None:
    rate = Rate.parse("1/minute")
    next_us = rate.spend(None, NOW + 3_600_000)

    assert rate.tokens(next_us, NOW) == 1
    assert rate.next_at(rate.spend(next_us, NOW), NOW) == NOW + 60_000


def test_tokens_given_back_are_there_again_and_never_more_than_the_burst() -> None:
    rate = Rate.parse("1/minute")
    next_us = rate.spend(None, NOW)

    assert rate.tokens(rate.spend(next_us, NOW, tokens=-1), NOW) == 1
    assert rate.tokens(rate.spend(next_us, NOW + 600_000, tokens=-1), NOW + 600_000) == 1
