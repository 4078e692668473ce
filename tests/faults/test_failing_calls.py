"""Every verb, on a disk that fails at its first call, at its second, and so on until it meets the fault no more."""

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.failing import FAILURES
from tests.faults.scenes import SCENES
from tests.faults.trial import Bench

MOST_CALLS = 400


@pytest.mark.parametrize("name", SCENES)
def test_a_verb_that_meets_a_failing_call_stands_before_or_after_and_says_so(
    name: str, tmp_path: Path, empty_file: bytes, tally: Counter[str]
) -> None:
    bench = Bench(tmp_path, empty_file, SCENES[name])
    wrong: list[str] = []

    for failure in FAILURES:
        for nth in range(1, MOST_CALLS):
            try:
                trial = bench.try_at(failure, nth)
            except BaseException as error:
                error.add_note(f"{failure} at call {nth}")
                raise
            if trial.failed is None:
                break
            tally[f"failing calls: {failure}"] += 1
            wrong += [f"{failure} at {nth} ({trial.failed.name}): {words}" for words in trial.complaints]
        else:
            pytest.fail(f"more than {MOST_CALLS} calls: does it hang?")

    assert wrong == []
