"""Consumer style: time limits of what the loop holds, and loops that begin or end oddly."""

import gc
import shutil
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from liteq import Liteq, Retry, State
from liteq.clock import to_datetime
from liteq.errors import FileMoved, InvalidOption, LeaseLost
from tests.face.conftest import HandClock


def work() -> None: ...


def test_a_claim_says_when_its_time_is_over(slow_app: Liteq, clock: HandClock) -> None:
    slow_app.task(name="limited", timeout=30)(work).enqueue()
    slow_app.task(name="free")(work).enqueue()

    with slow_app.claims(wait=False, limit=2) as claims:
        limited, free = next(claims), next(claims)
        assert limited.deadline == to_datetime(clock.ms) + timedelta(seconds=30)
        assert free.deadline is None
        clock.advance(29.9)
        assert not limited.overdue
        clock.advance(0.1)
        assert (limited.overdue, free.overdue) == (True, False)


def test_work_that_is_reported_in_time_is_complete(slow_app: Liteq, clock: HandClock) -> None:
    job = slow_app.task(name="limited", timeout=30)(work).enqueue()

    with slow_app.claims(wait=False) as claims:
        claim = next(claims)
        clock.advance(29.9)
        claim.complete()

    assert job.refresh().state is State.COMPLETED


@pytest.mark.parametrize(("failures", "state"), [(1, State.DEAD), (2, State.SCHEDULED)])
def test_what_is_reported_after_the_time_limit_has_timed_out(
    slow_app: Liteq, clock: HandClock, failures: int, state: State
) -> None:
    task = slow_app.task(name="limited", timeout=30, retry=Retry(max_failures=failures))(work)
    job = task.enqueue()

    with slow_app.claims(wait=False) as claims:
        claim = next(claims)
        clock.advance(31)
        with pytest.raises(LeaseLost, match="timed out after 30 s"):
            claim.complete("too late")
        assert claim.reported

    assert (job.refresh().state, job.record.failures) == (state, 1)
    (attempt,) = job.attempts
    assert (attempt.outcome, attempt.error) == ("timed out", "timed out after 30 s")


def test_a_failure_after_the_time_limit_is_told_as_that(slow_app: Liteq, clock: HandClock) -> None:
    job = slow_app.task(name="limited", timeout=30)(work).enqueue()

    with slow_app.claims(wait=False) as claims:
        claim = next(claims)
        clock.advance(31)
        claim.retry("the other side did not answer", delay=5)

    assert job.refresh().attempts[0].outcome == "timed out"


def enter_worker(app: Liteq, **options: Any) -> None:
    with app.worker(**options):
        pass


@pytest.mark.parametrize("begin", [Liteq.work, Liteq.claims, enter_worker])
def test_one_text_is_no_list_of_queues(app: Liteq, begin: Callable[..., object]) -> None:
    with pytest.raises(InvalidOption, match=r"\['mail'\]"):
        begin(app, queues="mail")


def test_a_limit_of_nothing_is_refused_and_leaves_nothing_to_close(app: Liteq, monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    with pytest.raises(InvalidOption):
        app.claims(limit=0)
    gc.collect()

    assert unraisable == []
    with pytest.raises(InvalidOption, match="max_jobs"):
        app.work(max_jobs=0)


def test_a_loop_whose_file_was_removed_says_so_and_keeps_no_descriptor(slow_app: Liteq, tmp_path: Path) -> None:
    slow_app.task(name="t")(work)
    slow_app.stats()
    before = len(list(Path("/proc/self/fd").iterdir()))
    claims = slow_app.claims(wait=True)
    (tmp_path / "slow.db").unlink()

    with pytest.raises(FileMoved):
        next(claims)
    with pytest.raises(FileMoved):
        claims.close()

    claims.close()
    end = time.monotonic() + 20
    while len(list(Path("/proc/self/fd").iterdir())) > before:
        assert time.monotonic() < end, "what the kernel is slow to let go is closed aside, but soon"
        time.sleep(0.001)


def test_a_loop_whose_lock_was_removed_claims_nothing_more(slow_app: Liteq, clock: HandClock, tmp_path: Path) -> None:
    task = slow_app.task(name="t")(work)
    task.enqueue()
    after = task.enqueue()
    claims = slow_app.claims(wait=False)
    next(claims).complete()
    shutil.rmtree(tmp_path / "slow.db-liteq")
    clock.advance(1)

    with pytest.raises(FileMoved, match="lock file"):
        next(claims)

    assert after.refresh().state is State.READY
