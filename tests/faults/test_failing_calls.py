"""Every verb, on a disk that fails at its first call, at its second, and so on until it meets the fault no more."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.failing import FAILURES, Failure
from tests.faults.scenes import SCENES
from tests.faults.trial import Bench, Trial

MOST_CALLS = 400
SYNCED = [name for name, scene in SCENES.items() if scene.synced]


def trials(bench: Bench, failure: Failure) -> Iterator[tuple[str, Trial]]:
    """Fail at each call of the kind that the verb makes; give where that was, and what came of it."""
    for nth in range(1, MOST_CALLS):
        try:
            trial = bench.try_at(failure, nth)
        except BaseException as error:
            error.add_note(f"{failure} at call {nth}")
            raise
        if trial.failed is None:
            return
        yield f"{failure} at call {nth}, on {trial.failed.name}", trial
    pytest.fail(f"more than {MOST_CALLS} calls of one verb")


@pytest.mark.parametrize("name", SCENES)
def test_a_verb_that_meets_a_failing_call_stands_before_or_after_and_says_so(
    name: str, tmp_path: Path, empty_file: bytes, tally: Counter[str]
) -> None:
    bench = Bench(tmp_path, empty_file, SCENES[name])
    wrong: list[str] = []

    for failure in FAILURES:
        for where, trial in trials(bench, failure):
            tally[f"failing calls: {failure}"] += 1
            wrong += [f"{where}: {words}" for words in trial.complaints]

    assert wrong == []


@pytest.mark.parametrize("name", SYNCED)
def test_a_commit_that_cannot_be_synced_may_have_happened(
    name: str, tmp_path: Path, empty_file: bytes, tally: Counter[str]
) -> None:
    bench = Bench(tmp_path, empty_file, SCENES[name])

    tried = list(trials(bench, Failure("sync")))

    tally["failing calls: sync"] += len(tried)
    # The syncs of a checkpoint that follows fail without harm to the verb, which then tells of no error.
    assert any(trial.unsure for _, trial in tried)
    assert [(where, trial.error) for where, trial in tried if trial.error is not None and not trial.unsure] == []
