"""The power goes after any call, with any of the unsynced writes done, in part or not at all."""

from collections import Counter
from pathlib import Path

import pytest

from liteq.store.sqlite import writer
from tests.faults.recording import Recording, verdicts
from tests.faults.vfs import Call

SEED = 20_261_124
LENGTH = 120


@pytest.mark.parametrize(("full", "seed"), [(True, SEED), (True, SEED + 1), (False, SEED)])
def test_a_power_cut_leaves_the_file_whole_and_under_full_durability_all_that_was_acknowledged(
    full: bool, seed: int, tmp_path: Path, tally: Counter[str]
) -> None:
    recording = Recording(tmp_path, seed=seed, length=LENGTH, full=full)

    counts, wrong = verdicts(recording, tmp_path, seed=seed, every=8)

    tally[f"power cuts, {'full' if full else 'normal'} durability, seed {seed}"] = counts.total()
    assert wrong == [], f"seed {seed}"
    assert counts["whole"] > 500


def test_the_replay_finds_what_is_lost_without_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_SYNCHRONOUS", dict.fromkeys((True, False), "PRAGMA synchronous = OFF"))
    recording = Recording(tmp_path, seed=SEED, length=LENGTH // 2, full=True)

    counts, _ = verdicts(recording, tmp_path, seed=SEED, every=20)

    assert counts["lost"] > 20


def test_the_replay_finds_that_normal_durability_forgets_what_full_keeps(tmp_path: Path) -> None:
    recording = Recording(tmp_path, seed=SEED, length=LENGTH // 2, full=False)
    recording.expect_full_durability()

    counts, _ = verdicts(recording, tmp_path, seed=SEED, every=20)

    assert counts["lost"] > 20
    assert counts["corrupt"] + counts["mixed"] == 0


def test_the_replay_finds_the_damage_of_a_disk_that_skips_the_syncs_of_the_database(tmp_path: Path) -> None:
    recording = Recording(tmp_path, seed=SEED, length=LENGTH // 2, full=True)
    syncs = [heard for heard in recording.heard if isinstance(heard, Call) and heard[:2] == ("sync", "jobs.db")]
    recording.heard = [heard for heard in recording.heard if heard not in syncs]

    counts, _ = verdicts(recording, tmp_path, seed=SEED, every=20)

    assert syncs
    assert counts["corrupt"] > 5
