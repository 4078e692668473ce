import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteq.errors import GiveUp, InvalidOption, Undecodable
from liteq.model.retry import (
    DEFAULT_RETRY,
    MAX_FAILURES_LIMIT,
    Backoff,
    Retry,
    decode_backoff,
)

YEAR_MS = 365 * 24 * 3600 * 1000
waits = st.integers(min_value=0, max_value=YEAR_MS)
policies = st.builds(
    Backoff,
    base_ms=waits,
    growth=st.sampled_from(["exponential", "fixed"]),
    cap_ms=waits,
    jitter=st.floats(min_value=0, max_value=1),
    delays_ms=st.lists(waits, max_size=4).map(tuple),
)


@pytest.mark.parametrize(("failures", "wait"), [(1, 2000), (2, 4000), (3, 8000), (4, 10_000), (10**9, 10_000)])
def test_an_exponential_wait_doubles_up_to_its_cap(failures: int, wait: int) -> None:
    backoff = Retry(backoff=timedelta(seconds=2), cap=10).backoff_policy()

    assert backoff.delay_ms(failures) == wait


@pytest.mark.parametrize("failures", [1, 2, 10**9])
def test_a_fixed_wait_stays_the_same(failures: int) -> None:
    backoff = Retry(backoff=0.5, growth="fixed").backoff_policy()

    assert backoff.delay_ms(failures) == 500


@pytest.mark.parametrize(("failures", "wait"), [(1, 1000), (2, 60_000), (3, 5000), (4, 5000), (10**9, 5000)])
def test_listed_waits_are_taken_one_by_one_and_the_last_repeats(failures: int, wait: int) -> None:
    backoff = Retry(backoff=[1, timedelta(minutes=1), 5.0]).backoff_policy()

    assert backoff.delay_ms(failures) == wait


@given(policies.filter(lambda policy: not policy.delays_ms), st.integers(min_value=1, max_value=2000))
def test_a_wait_never_falls_from_one_failure_to_the_next(policy: Backoff, failures: int) -> None:
    assert policy.delay_ms(failures) <= policy.delay_ms(failures + 1)


@given(policies, st.integers(min_value=1), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_no_wait_is_negative_or_above_the_cap_with_or_without_jitter(
    policy: Backoff, failures: int, draw: float
) -> None:
    wait = policy.delay_ms(failures)

    assert 0 <= wait <= policy.cap_ms
    assert 0 <= policy.spread(wait, draw=draw) <= policy.cap_ms


def test_jitter_spreads_a_wait_evenly_to_both_sides() -> None:
    backoff = Backoff(jitter=0.25)

    assert backoff.spread(1000, draw=0.0) == 750
    assert backoff.spread(1000, draw=0.5) == 1000
    assert backoff.spread(1000, draw=0.999999) == 1250


def test_a_wait_without_jitter_is_left_alone() -> None:
    assert Backoff(jitter=0.0).spread(1234, draw=0.9) == 1234


def test_a_count_of_failures_begins_at_one() -> None:
    with pytest.raises(InvalidOption, match="at least 1, not 0"):
        Backoff().delay_ms(0)


@given(policies)
def test_a_policy_comes_back_from_its_bytes(policy: Backoff) -> None:
    assert decode_backoff(policy.encode()) == policy


def test_no_stored_policy_means_the_default_one() -> None:
    default = DEFAULT_RETRY.backoff_policy()

    assert decode_backoff(None) == decode_backoff(b"{}") == default
    assert default == Backoff()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'"\xff"',
        b"[" * 100_000,
        b'{"base_ms":-1}',
        b'{"base_ms":1.5}',
        b'{"cap_ms":1e300}',
        b'{"jitter":2}',
        b'{"growth":"wild"}',
        b'{"delays_ms":[1,-1]}',
    ],
)
def test_a_damaged_policy_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable, match=r"^backoff: "):
        decode_backoff(data)


@pytest.mark.parametrize("value", [0, -1, MAX_FAILURES_LIMIT + 1, 10**9, pytest.param(10**5000, id="5,001 digits")])
def test_a_budget_of_failures_out_of_range_is_refused_with_the_range(value: int) -> None:
    with pytest.raises(InvalidOption, match="max_failures must be from 1 to 1000"):
        Retry(max_failures=value)


@pytest.mark.parametrize("value", [1, MAX_FAILURES_LIMIT])
def test_both_ends_of_the_budget_are_allowed(value: int) -> None:
    assert Retry(max_failures=value).max_failures == value


@pytest.mark.parametrize(
    "options",
    [
        {"max_failures": None},
        {"max_failures": True},
        {"max_failures": 2.0},
        {"backoff": "10"},
        {"backoff": b"10"},
        {"backoff": None},
        {"backoff": True},
        {"backoff": [1, "2"]},
        {"growth": None},
        {"cap": "1"},
        {"jitter": "0.1"},
        {"jitter": True},
        {"retry_on": ValueError},
        {"retry_on": ["ValueError"]},
        {"retry_on": (ValueError("an instance"),)},
        {"give_up_on": (int,)},
    ],
)
def test_an_option_of_another_type_is_a_type_error_by_name(options: dict[str, Any]) -> None:
    (name,) = options

    with pytest.raises(TypeError, match=f"^{name}"):
        Retry(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"backoff": -1},
        {"backoff": math.nan},
        {"backoff": math.inf},
        {"backoff": timedelta(days=-1)},
        {"backoff": []},
        {"backoff": [1] * 1001},
        {"backoff": [1, -1]},
        {"growth": "linear"},
        {"cap": -1},
        {"cap": math.inf},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"jitter": math.nan},
    ],
)
def test_an_option_out_of_range_is_refused_by_name(options: dict[str, Any]) -> None:
    (name,) = options

    with pytest.raises(InvalidOption, match=f"^{name}"):
        Retry(**options)


@pytest.mark.parametrize("backoff", [7200, [1, 7200]])
def test_a_wait_above_the_cap_is_refused_rather_than_shortened_in_silence(backoff: Any) -> None:
    with pytest.raises(InvalidOption, match="raise cap"):
        Retry(backoff=backoff)

    assert Retry(backoff=backoff, cap=7200).backoff_policy().delay_ms(9) == 7_200_000


@pytest.mark.parametrize(
    ("retry", "error", "wanted"),
    [
        (Retry(), ValueError(), True),
        (Retry(), KeyboardInterrupt(), False),
        (Retry(), GiveUp("no such user"), False),
        (Retry(retry_on=(OSError,)), ValueError(), False),
        (Retry(retry_on=(OSError,)), TimeoutError(), True),
        (Retry(give_up_on=(LookupError,)), KeyError(), False),
        (Retry(give_up_on=(LookupError,)), OSError(), True),
        (Retry(retry_on=(OSError,), give_up_on=(FileNotFoundError,)), FileNotFoundError(), False),
        (Retry(retry_on=(SystemExit,)), SystemExit(), True),
    ],
)
def test_an_error_is_worth_a_retry_as_the_policy_says(retry: Retry, error: BaseException, wanted: bool) -> None:
    assert retry.wants(error) is wanted


def test_never_means_that_the_first_failure_is_the_last() -> None:
    assert Retry.never().max_failures == 1
