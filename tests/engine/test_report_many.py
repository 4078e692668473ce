"""A hundred completions in one report end as they do one by one, whatever is odd about one of them.

An engine may take a short cut where nothing is odd. So each report is made twice, on two stores: at once, and singly.
"""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from liteq.model.batch import NewBatch
from liteq.model.job import Claim, Completion, Unique
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Engine
from tests.engine.conftest import OpenFresh
from tests.engine.steps import NOW, Picture, claim_some, enqueue_one, new_job, picture, state_of, told

PLAIN = 9
"""Beside each odd one: enough for any short cut."""

Odd = Callable[[Engine], Callable[[list[Completion]], list[Completion]]]
"""Makes the store odd before the claim, and gives what makes the report odd after it."""


def as_it_is(report: list[Completion]) -> list[Completion]:
    return report


def nothing(_engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    return as_it_is


def first_claim(**changes: object) -> Odd:
    def odd(_engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
        return lambda report: [replace(report[0], claim=replace(report[0].claim, **changes)), *report[1:]]

    return odd


def released_meanwhile(engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    def release(report: list[Completion]) -> list[Completion]:
        engine.release([report[4].claim], reason="made room", now=NOW)
        return report

    return release


def claimed_anew_meanwhile(engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    def claim_again(report: list[Completion]) -> list[Completion]:
        engine.release([report[4].claim], reason="made room", now=NOW)
        assert claim_some(engine)
        return report

    return claim_again


def asked_to_stop(engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    def ask(report: list[Completion]) -> list[Completion]:
        engine.cancel([report[2].claim.job_id], reason="enough", now=NOW)
        return report

    return ask


def told_twice(_engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    return lambda report: [*report, report[3]]


def without_a_result(_engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    return lambda report: [*report[:-1], replace(report[-1], result=None, result_error="too large")]


def with_a_log(_engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    return lambda report: [*report[:-1], replace(report[-1], report=replace(report[-1].report, log="said"))]


def unique(scope: str) -> Odd:
    def odd(engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
        key = Unique(key="k", scope=scope, held_until=NOW + 1_000 if scope == "period" else None)  # type: ignore[arg-type]
        enqueue_one(engine, new_job(unique=key))
        return as_it_is

    return odd


def keyed(engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    engine.enqueue([new_job(key="k")] * 2, now=NOW)
    return as_it_is


def with_a_child(engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    enqueue_one(engine, new_job(parents=(enqueue_one(engine),)))
    return as_it_is


def with_a_child_since(engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    def add_child(report: list[Completion]) -> list[Completion]:
        enqueue_one(engine, new_job(parents=(report[5].claim.job_id,)))
        return report

    return add_child


def in_a_batch(engine: Engine) -> Callable[[list[Completion]], list[Completion]]:
    engine.enqueue_batch(NewBatch(name="import"), [new_job()] * 2, now=NOW)
    return as_it_is


ODDITIES: dict[str, Odd] = {
    "nothing": nothing,
    "another attempt": first_claim(attempt=7),
    "another worker": first_claim(worker_id=8),
    "another job": first_claim(job_id=999),
    "released": released_meanwhile,
    "claimed anew": claimed_anew_meanwhile,
    "asked to stop": asked_to_stop,
    "told twice": told_twice,
    "no result": without_a_result,
    "a log": with_a_log,
    "unique until it starts": unique("started"),
    "unique until it ends": unique("finished"),
    "unique for a time": unique("period"),
    "unique for ever": unique("always"),
    "keyed": keyed,
    "a child": with_a_child,
    "a child since": with_a_child_since,
    "in a batch": in_a_batch,
}


def reported(engine: Engine, odd: Odd, *, singly: bool) -> tuple[list[Claim], list[Picture], list[object]]:
    """Give the claims that came too late, every job and all counts after a report of the odd one and the plain ones."""
    engine.enqueue([new_job(queue=f"q{n % 2}") for n in range(PLAIN)], now=NOW)
    alter = odd(engine)
    claims = claim_some(engine, limit=100)
    assert len(claims) >= PLAIN
    report = told(Outcome.COMPLETED, took=3)
    completions = alter([Completion(claim=claim, report=report, result=b"%d" % claim.job_id) for claim in claims])
    parts = [[one] for one in completions] if singly else [completions]
    lost = [claim for part in parts for claim in engine.complete_many(part, now=NOW + 5)]
    jobs = [picture(engine, job_id) for job_id in range(1, 20)]
    again = engine.enqueue([new_job(unique=Unique(key="k", on_conflict="skip"))], now=NOW + 6)
    return lost, jobs, [again, engine.metrics(since_minute=0), engine.list_batches(limit=9), engine.queues()]


@pytest.mark.parametrize("odd", ODDITIES.values(), ids=list(ODDITIES))
def test_many_completions_end_as_one_by_one(open_fresh: OpenFresh, odd: Odd) -> None:
    together = reported(open_fresh("together"), odd, singly=False)

    assert together == reported(open_fresh("singly"), odd, singly=True)


def test_a_report_with_a_late_one_completes_all_others(open_fresh: OpenFresh) -> None:
    engine = open_fresh("jobs")

    lost, _, _ = reported(engine, released_meanwhile, singly=False)

    (late,) = lost
    states = {job_id: state_of(engine, job_id) for job_id in range(1, PLAIN + 1)}
    assert states == dict.fromkeys(states, State.COMPLETED) | {late.job_id: State.READY}
