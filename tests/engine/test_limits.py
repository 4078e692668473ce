"""Limits of queues and tasks: whole lanes stay out of a claim, and what runs is counted, not remembered."""

import pytest

from liteq.errors import LeaseLost
from liteq.model.limits import NO_LIMIT, Limit, Limited
from liteq.model.rate import Rate
from liteq.store.engine import Engine
from tests.engine.conftest import OpenEngine
from tests.engine.steps import (
    NOBODY,
    NOW,
    claim_one,
    claim_some,
    complete,
    die,
    enqueue_one,
    new_job,
    record,
    register,
    retry,
)

HOUR_MS = 3_600_000
TASKS = ("task", "other")


def fill(engine: Engine, jobs: int, *, queue: str = "default", task: str = "task") -> list[int]:
    wanted = [new_job(queue=queue, task=task)] * jobs
    return [answer.job_id for answer in engine.enqueue(wanted, now=NOW)]


def allow(engine: Engine, of: Limited, name: str, *, max_running: int | None = None, rate: str | None = None) -> None:
    limit = Limit(max_running=max_running, rate=None if rate is None else Rate.parse(rate))
    engine.put_limit(of, name, limit)


@pytest.mark.parametrize(("of", "name"), [("queue", "default"), ("task", "task")])
def test_no_more_jobs_run_at_once_than_the_limit_says(engine: Engine, of: Limited, name: str) -> None:
    fill(engine, 5)
    allow(engine, of, name, max_running=2)

    claims = claim_some(engine)
    assert len(claims) == 2
    assert claim_some(engine, worker_id=NOBODY + 1) == []
    complete(engine, claims[0])

    assert len(claim_some(engine)) == 1


@pytest.mark.parametrize(("limit", "rate"), [(2, None), (None, "2/day burst 2")])
def test_a_claim_in_an_open_transaction_takes_all_that_the_limit_lets_out(
    engine: Engine, limit: int | None, rate: str | None
) -> None:
    fill(engine, 5)
    allow(engine, "queue", "default", max_running=limit, rate=rate)

    with engine.transaction():
        claims = claim_some(engine)

    assert len(claims) == 2


def test_a_limit_counts_the_jobs_of_all_tasks_of_the_queue_and_all_queues_of_the_task(engine: Engine) -> None:
    for queue in ("a", "b"):
        for task in TASKS:
            fill(engine, 4, queue=queue, task=task)
    allow(engine, "queue", "a", max_running=3)
    allow(engine, "task", "task", max_running=2)

    lanes = [(claim.queue, claim.task) for claim in claim_some(engine, tasks=TASKS, limit=100)]

    assert sum(queue == "a" for queue, _ in lanes) == 3
    assert sum(task == "task" for _, task in lanes) == 2
    assert lanes.count(("b", "other")) == 4


def test_inside_a_limit_priority_decides_between_the_lanes(engine: Engine) -> None:
    low = fill(engine, 2, task="task")
    high = enqueue_one(engine, new_job(task="other", priority=5))
    allow(engine, "queue", "default", max_running=2)

    assert [claim.job_id for claim in claim_some(engine, tasks=TASKS)] == [high, low[0]]


def test_a_full_queue_holds_up_no_other(engine: Engine) -> None:
    fill(engine, 3, queue="full")
    free = fill(engine, 3, queue="free")
    allow(engine, "queue", "full", max_running=1)
    claim_some(engine, queues=("full",), limit=1)

    assert [claim.job_id for claim in claim_some(engine)] == free


def test_a_lower_limit_stops_nothing_that_runs_and_lets_nothing_start_above_it(engine: Engine) -> None:
    fill(engine, 6)
    claims = claim_some(engine, limit=4)

    allow(engine, "queue", "default", max_running=2)
    for claim in claims[:2]:
        complete(engine, claim)
        assert claim_some(engine) == []
    complete(engine, claims[2])

    assert len(claim_some(engine)) == 1


def test_a_higher_limit_and_none_at_all_let_more_start_at_once(engine: Engine) -> None:
    fill(engine, 6)
    allow(engine, "queue", "default", max_running=1)
    claim_some(engine)

    allow(engine, "queue", "default", max_running=3)
    assert len(claim_some(engine)) == 2
    assert engine.remove_limit("queue", "default")

    assert len(claim_some(engine)) == 3


def test_a_limit_outlasts_a_pause_of_its_queue(engine: Engine) -> None:
    fill(engine, 3)
    allow(engine, "queue", "default", max_running=1)
    engine.pause_queue("default", reason=None, now=NOW)
    assert claim_some(engine) == []

    engine.resume_queue("default")

    assert len(claim_some(engine)) == 1


def test_a_late_report_frees_no_room(engine: Engine) -> None:
    fill(engine, 3)
    allow(engine, "queue", "default", max_running=1)
    slow = register(engine)
    late = claim_one(engine, worker_id=slow.worker_id)
    die(slow)
    engine.expire(now=NOW)
    claim_one(engine)

    with pytest.raises(LeaseLost):
        complete(engine, late)

    assert claim_some(engine) == []


def test_limits_of_two_processes_are_the_same(engine: Engine, open_engine: OpenEngine) -> None:
    fill(engine, 4)
    other = open_engine()
    allow(other, "queue", "default", max_running=2)

    assert len(claim_some(engine, limit=1)) == 1
    assert len(claim_some(other)) == 1
    assert claim_some(engine) == []


# ---- rates


@pytest.mark.parametrize(("of", "name"), [("queue", "default"), ("task", "task")])
def test_a_rate_of_a_hundred_a_minute_starts_exactly_six_thousand_in_an_hour(
    engine: Engine, of: Limited, name: str
) -> None:
    for _ in range(61):
        fill(engine, 100)
    allow(engine, of, name, rate="100/minute")
    now, starts = NOW, list[int]()
    while now < NOW + HOUR_MS:
        starts += [now] * len(claim_some(engine, limit=100, now=now))
        due = engine.next_due(now=now)
        assert due is not None
        assert due > now
        now = due

    assert len(starts) == 6_000
    assert all(starts[n + 100] - starts[n] >= 60_000 for n in range(len(starts) - 100))


def test_a_batch_takes_the_tokens_of_a_burst_at_once_and_no_more(engine: Engine) -> None:
    fill(engine, 20)
    allow(engine, "queue", "default", rate="60/minute burst 5")

    assert len(claim_some(engine, limit=100)) == 5
    assert claim_some(engine, limit=100, now=NOW + 999) == []
    assert len(claim_some(engine, limit=100, now=NOW + 1_000)) == 1
    assert len(claim_some(engine, limit=100, now=NOW + 60_000)) == 5


def test_jobs_without_a_rate_are_not_held_up_by_a_rate_that_is_spent(engine: Engine) -> None:
    fill(engine, 2)
    fill(engine, 2, queue="free")
    allow(engine, "queue", "default", rate="1/hour")

    assert [claim.queue for claim in claim_some(engine)].count("free") == 2


def test_a_rate_of_the_queue_and_one_of_the_task_both_hold(engine: Engine) -> None:
    fill(engine, 9)
    allow(engine, "queue", "default", rate="1/s burst 5")
    allow(engine, "task", "task", rate="1/s burst 3")

    assert len(claim_some(engine)) == 3


def test_jobs_given_back_unstarted_give_the_tokens_back(engine: Engine) -> None:
    fill(engine, 5)
    allow(engine, "queue", "default", rate="1/minute burst 3")
    claims = claim_some(engine)
    assert len(claims) == 3

    engine.release(claims[:2], reason="behind a long job", now=NOW, unstarted=True)

    assert len(claim_some(engine)) == 2
    assert claim_some(engine) == []


@pytest.mark.parametrize("unstarted", [False, True])
def test_neither_started_jobs_nor_late_ones_give_tokens_back(engine: Engine, *, unstarted: bool) -> None:
    fill(engine, 3)
    allow(engine, "queue", "default", rate="1/minute")
    claim = claim_one(engine)
    if unstarted:
        complete(engine, claim)

    engine.release([claim], reason="shutdown", now=NOW, unstarted=unstarted)

    assert claim_some(engine) == []


def test_a_faster_rate_holds_from_the_next_claim_on(engine: Engine) -> None:
    fill(engine, 3)
    allow(engine, "queue", "default", rate="1/hour")
    claim_one(engine)

    allow(engine, "queue", "default", rate="1/s")

    assert len(claim_some(engine, now=NOW + 10)) == 1
    assert claim_some(engine, now=NOW + 1_009) == []
    assert len(claim_some(engine, now=NOW + 1_010)) == 1


def test_a_retry_takes_a_token_like_any_start(engine: Engine) -> None:
    (job_id,) = fill(engine, 1)
    allow(engine, "queue", "default", rate="1/minute")
    retry(engine, claim_one(engine), run_at=NOW + 10)

    assert claim_some(engine, now=NOW + 10) == []
    assert [claim.job_id for claim in claim_some(engine, now=NOW + 60_000)] == [job_id]


# ---- what is set, and what is declared


def test_an_operators_limit_goes_before_a_declared_one_each_side_by_itself(engine: Engine) -> None:
    engine.declare_limits({"task": Limit(max_running=5, rate=Rate.parse("9/s burst 9"))})
    allow(engine, "task", "task", max_running=1)
    fill(engine, 3)
    assert len(claim_some(engine)) == 1

    (found,) = engine.limits()

    assert found.in_force == Limit(max_running=1, rate=Rate.parse("9/s burst 9"))
    assert found.declared == Limit(max_running=5, rate=Rate.parse("9/s burst 9"))
    assert engine.remove_limit("task", "task")
    assert engine.limits()[0].in_force == found.declared
    assert not engine.remove_limit("task", "task")


def test_a_declared_limit_holds_and_goes_when_its_declaration_goes(engine: Engine) -> None:
    fill(engine, 5)
    engine.declare_limits({"task": Limit(max_running=2), "other": NO_LIMIT})
    assert len(claim_some(engine)) == 2

    engine.declare_limits({"task": NO_LIMIT, "other": NO_LIMIT})

    assert engine.limits() == []
    assert len(claim_some(engine)) == 3


def test_what_one_program_declares_leaves_the_tasks_of_others_alone(engine: Engine) -> None:
    engine.declare_limits({"theirs": Limit(max_running=2)})

    engine.declare_limits({"ours": Limit(max_running=1)})

    assert [one.name for one in engine.limits()] == ["ours", "theirs"]


def test_setting_one_side_leaves_the_other(engine: Engine) -> None:
    allow(engine, "queue", "mail", max_running=4)
    allow(engine, "queue", "mail", rate="100/minute")

    (found,) = engine.limits()

    assert found.given == Limit(max_running=4, rate=Rate.parse("100/minute"))
    allow(engine, "queue", "mail", max_running=5)
    assert engine.limits()[0].given == Limit(max_running=5, rate=Rate.parse("100/minute"))


def test_limits_tell_how_many_run_and_when_the_next_token_comes(engine: Engine) -> None:
    fill(engine, 3)
    allow(engine, "queue", "default", max_running=2, rate="1/s burst 2")
    claim_some(engine)

    (found,) = engine.limits()

    assert (found.running, found.next_at) == (2, NOW + 1_000)


# ---- when a burst is over


def left(engine: Engine, *, until: int = NOW + HOUR_MS, queues: tuple[str, ...] | None = None) -> bool:
    return engine.work_left(worker_id=NOBODY + 1, queues=queues, tasks=("task",), until=until, now=NOW)


def test_jobs_behind_a_full_limit_are_work_that_is_left(engine: Engine) -> None:
    fill(engine, 2)
    allow(engine, "queue", "default", max_running=1)
    claim_one(engine)

    assert left(engine)


def test_jobs_behind_a_spent_rate_are_left_only_if_a_token_comes_in_time(engine: Engine) -> None:
    fill(engine, 2)
    allow(engine, "queue", "default", rate="1/day")
    complete(engine, claim_one(engine))

    assert not left(engine)
    assert left(engine, until=NOW + 24 * HOUR_MS)


def test_jobs_behind_a_running_job_of_their_key_are_left(engine: Engine) -> None:
    engine.enqueue([new_job(key="k")] * 2, now=NOW)
    claim_one(engine)

    assert left(engine)
    assert not left(engine, queues=("another",))


def test_jobs_behind_one_that_nobody_here_can_run_are_not_left(engine: Engine) -> None:
    engine.enqueue([new_job(key="k", queue="elsewhere"), new_job(key="k")], now=NOW)

    assert not left(engine, queues=("default",))


def test_jobs_of_a_key_that_has_spent_its_rate_are_left_if_a_token_comes_in_time(engine: Engine) -> None:
    engine.enqueue([new_job(key="k", key_rate="1/day")] * 2, now=NOW)
    complete(engine, claim_one(engine))

    assert not left(engine)
    assert left(engine, until=NOW + 24 * HOUR_MS)


def test_jobs_of_a_paused_queue_are_not_left(engine: Engine) -> None:
    engine.enqueue([new_job(key="k")] * 2, now=NOW)
    claim_one(engine)
    engine.pause_queue("default", reason=None, now=NOW)

    assert not left(engine)


def test_a_job_has_its_key_and_its_numbers_in_its_record(engine: Engine) -> None:
    found = record(engine, enqueue_one(engine, new_job(key="k", key_max=3, key_rate="5/second")))

    assert (found.concurrency_key, found.key_max_running, found.key_rate) == ("k", 3, "5/second")
