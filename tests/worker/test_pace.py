"""How much a worker claims ahead: by the length of jobs, and of the commits between them."""

import pytest

from liteq.model.job import Claim
from liteq.worker.pace import HELD_BYTES, LARGEST_BATCH, MOST_AHEAD_S, WORK_AHEAD_S, Pace


def settled(*, job_s: float, exchange_s: float = 0.0, slots: int = 1) -> int:
    """Give the batch of a worker whose jobs and exchanges have long been of that length."""
    pace = Pace()
    for _ in range(40):
        pace.note(10, 10 * job_s)
        pace.note_exchange(exchange_s)
        batch = pace.batch(slots)
    return batch


def test_a_worker_begins_with_a_job_for_each_slot_and_grows_step_by_step() -> None:
    pace = Pace()
    assert pace.batch(4) == 4
    pace.note(4, 0.000_004)
    assert pace.batch(4) == 32
    assert pace.batch(4) == LARGEST_BATCH


def test_long_jobs_are_claimed_one_for_each_slot() -> None:
    assert settled(job_s=0.5) == 1
    assert settled(job_s=0.5, exchange_s=0.02, slots=4) == 4


def test_one_long_job_counts_at_once_and_short_ones_by_and_by() -> None:
    pace = Pace()
    for _ in range(10):
        pace.note(100, 0.001)
        pace.batch(1)
    pace.note(1, 1.0)
    assert pace.batch(1) == 1
    pace.note(1, 0.001)
    assert pace.batch(1) == 1


@pytest.mark.parametrize(
    ("exchange_s", "ahead_s"), [(0.000_2, WORK_AHEAD_S), (0.001, 0.032), (0.010, MOST_AHEAD_S), (5.0, MOST_AHEAD_S)]
)
def test_slow_commits_are_worth_more_work_between_them(exchange_s: float, ahead_s: float) -> None:
    assert settled(job_s=0.001, exchange_s=exchange_s) == pytest.approx(ahead_s / 0.001, abs=1)


def test_a_commit_that_hung_for_once_changes_little() -> None:
    pace = Pace()
    pace.note(10, 0.010)
    pace.batch(1)
    pace.note_exchange(60.0)
    assert pace.batch(1) <= 40
    for _ in range(20):
        pace.note_exchange(0.000_1)
    assert pace.batch(1) == 10


def of_size(size: int) -> Claim:
    """Give a claim with arguments of so many bytes."""
    facts = dict.fromkeys(Claim.__struct_fields__, 0) | {"args": bytes(size)}
    return Claim(**facts)  # type: ignore[arg-type]


def test_a_batch_of_large_arguments_is_small_and_grows_again_by_and_by() -> None:
    pace = Pace()
    for _ in range(10):
        pace.note(100, 0.000_1)
        pace.batch(1)
    assert pace.batch(1) == LARGEST_BATCH

    pace.note_sizes([of_size(1024 * 1024)])

    assert pace.batch(1) == pace.ahead(1) == HELD_BYTES // 1024**2
    assert pace.batch(8) == 8, "each slot gets a job"
    for _ in range(20):
        pace.note_sizes([of_size(10)])
        pace.batch(1)
    assert pace.batch(1) == LARGEST_BATCH
