"""The fallback of a job that dies: made with its death, once for each."""

import pytest
from msgspec.structs import replace

from liteq.model.job import JobFilter
from liteq.model.transitions import State
from liteq.store.engine import Engine
from tests.engine.steps import (
    ENDS,
    NOW,
    bury,
    callbacks,
    claim_one,
    complete,
    crash_to_death,
    enqueue_one,
    new_job,
    record,
    retry,
    template,
)


def test_a_job_that_dies_makes_its_fallback_which_knows_it_as_its_parent(engine: Engine) -> None:
    risky = enqueue_one(engine, replace(new_job(), on_dead=template("rescue")))

    bury(engine, claim_one(engine))

    (rescue,) = engine.list_jobs(JobFilter(task="rescue"), limit=10)
    assert rescue.state is State.READY
    assert [parent.id for parent in engine.parents(rescue.id)] == [risky]


def test_a_crash_to_death_makes_the_fallback_too(engine: Engine) -> None:
    enqueue_one(engine, replace(new_job(), on_dead=template("rescue")))

    crash_to_death(engine)

    assert callbacks(engine) == ["rescue"]


@pytest.mark.parametrize("how", ["aborted", "cancelled between attempts", "cancelled at rest", "deleted"])
def test_what_is_cancelled_or_deleted_makes_no_fallback(engine: Engine, how: str) -> None:
    enqueue_one(engine, replace(new_job(), on_dead=template("rescue")))

    ENDS[how][0](engine)

    assert callbacks(engine) == []


def test_what_completes_or_tries_again_makes_no_fallback(engine: Engine) -> None:
    enqueue_one(engine, replace(new_job(), on_dead=template("rescue")))

    retry(engine, claim_one(engine))
    complete(engine, claim_one(engine))

    assert callbacks(engine) == []


def test_a_job_that_is_run_again_and_dies_again_has_a_fallback_again(engine: Engine) -> None:
    risky = enqueue_one(engine, replace(new_job(), on_dead=template("rescue")))

    bury(engine, claim_one(engine))
    engine.requeue([risky], now=NOW)
    bury(engine, claim_one(engine))

    assert callbacks(engine) == ["rescue", "rescue"]


def test_a_fallback_that_cannot_be_read_is_told_of_in_the_reason(engine: Engine) -> None:
    risky = enqueue_one(engine, replace(new_job(), on_dead=b"\xff"))

    bury(engine, claim_one(engine))

    reason = record(engine, risky).reason
    assert reason is not None
    assert reason.startswith("gave up; its on_dead was not made: ")
