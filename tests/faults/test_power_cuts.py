"""The power goes after any call, with any of the unsynced writes done, in part or not at all."""

from collections import Counter
from pathlib import Path

import pytest

from liteq.store.sqlite import checkpoint
from tests.faults.recording import Recording, verdicts

SEED = 20_261_124
LENGTH = 120


@pytest.fixture(autouse=True)
def many_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the log moved into the file, and started over, many times in a short run."""
    monkeypatch.setattr(checkpoint, "SOME_PAGES", 20)
    monkeypatch.setattr(checkpoint, "MANY_PAGES", 60)


@pytest.mark.parametrize("full", [True, False], ids=["full", "normal"])
def test_a_power_cut_leaves_the_file_whole_and_under_full_durability_all_that_was_acknowledged(
    full: bool, tmp_path: Path, tally: Counter[str]
) -> None:
    recording = Recording(tmp_path, seed=SEED, length=LENGTH, full=full)

    counts, wrong = verdicts(recording, tmp_path, seed=SEED, every=12)

    tally[f"power cuts, {'full' if full else 'normal'} durability"] += counts.total()
    assert wrong == [], f"seed {SEED}"
    assert counts["whole"] > 300
