"""Questions, each compared with the same question asked of plain Python lists."""

import random
from itertools import product

import pytest

from liteq.model.fleet import LaneCount
from liteq.model.job import JobFilter, JobRecord
from liteq.model.transitions import State
from liteq.store.engine import Engine
from tests.engine.steps import NOW, bury, claim_one, claim_some, complete, enqueue_one, new_job, record, retry

TASKS = ("one", "two")

FILTERS = [
    JobFilter(states=states, queue=queue, task=task, tag=tag, since=since, until=until)
    for states, queue, task, tag, (since, until) in product(
        ((), (State.DEAD,), (State.READY, State.RUNNING, State.SCHEDULED), (State.COMPLETED, State.DEAD)),
        (None, "a"),
        (None, "one"),
        (None, "red", "unknown"),
        ((None, None), (NOW + 10, None), (NOW + 10, NOW + 30)),
    )
]


def matches(job: JobRecord, tags: tuple[str, ...], wanted: JobFilter) -> bool:
    return (
        (not wanted.states or job.state in wanted.states)
        and wanted.queue in (None, job.queue)
        and wanted.task in (None, job.task)
        and (wanted.tag is None or wanted.tag in tags)
        and (wanted.since is None or job.enqueued_at >= wanted.since)
        and (wanted.until is None or job.enqueued_at < wanted.until)
    )


@pytest.fixture
def motley(engine: Engine) -> list[tuple[JobRecord, tuple[str, ...]]]:
    """Fill the store with jobs of every kind in every state; give them newest first, with their tags."""
    draw = random.Random(1)  # noqa: S311  no secret
    ids = []
    for n in range(60):
        late = draw.random() < 0.3
        job = new_job(
            task=draw.choice(TASKS),
            queue=draw.choice("ab"),
            priority=draw.choice((0, 1)),
            run_at=NOW + (99_999 if late else 0),
            tags=tuple(draw.sample(("red", "blue"), draw.randrange(3))),
        )
        ids.append(enqueue_one(engine, job, now=NOW + n))
    claims = claim_some(engine, tasks=TASKS, limit=24, now=NOW + 60)
    for n, claim in enumerate(claims):
        if n % 4 == 0:
            complete(engine, claim)
        elif n % 4 == 1:
            bury(engine, claim)
        elif n % 4 == 2:
            retry(engine, claim, run_at=NOW + 77_777)
    engine.cancel(ids[::7], reason="unwanted", now=NOW + 60)
    return [(record(engine, job_id), engine.tags(job_id)) for job_id in reversed(ids)]


def test_every_filter_finds_and_counts_what_a_plain_filter_finds(
    engine: Engine, motley: list[tuple[JobRecord, tuple[str, ...]]]
) -> None:
    for wanted in FILTERS:
        expected = [job for job, tags in motley if matches(job, tags, wanted)]

        assert engine.list_jobs(wanted, limit=1_000) == expected, wanted
        assert engine.count_jobs(wanted) == len(expected), wanted
        assert engine.list_jobs(wanted, limit=3) == expected[:3], wanted


def test_pages_join_without_a_gap(engine: Engine, motley: list[tuple[JobRecord, tuple[str, ...]]]) -> None:
    for wanted in (JobFilter(), JobFilter(states=(State.READY, State.DEAD)), JobFilter(tag="red")):
        whole = engine.list_jobs(wanted, limit=1_000)
        pages: list[JobRecord] = []
        while page := engine.list_jobs(wanted, limit=7, before_id=pages[-1].id if pages else None):
            pages += page

        assert pages == whole


def test_lane_counts_agree_with_a_plain_count(engine: Engine, motley: list[tuple[JobRecord, tuple[str, ...]]]) -> None:
    lanes: dict[tuple[str, str, State, int], list[int]] = {}
    for job, _ in motley:
        if job.state in {State.COMPLETED, State.CANCELLED}:
            continue
        oldest = {State.RUNNING: job.claimed_at, State.DEAD: job.finished_at}.get(job.state, job.run_at)
        assert oldest is not None
        lanes.setdefault((job.queue, job.task, job.state, job.priority), []).append(oldest)

    counts = engine.lane_counts()

    expected = [LaneCount(*lane, len(instants), min(instants)) for lane, instants in lanes.items()]
    assert sorted(counts, key=repr) == sorted(expected, key=repr)


def test_what_does_not_exist_is_none_and_empty(engine: Engine) -> None:
    assert engine.get_job(1) is None
    assert engine.attempts(1) == []
    assert engine.tags(1) == ()
    assert engine.lane_counts() == []
    assert engine.list_jobs(JobFilter(), limit=5) == []
    assert engine.count_jobs(JobFilter()) == 0


def test_facts_about_the_store(engine: Engine) -> None:
    job_id = enqueue_one(engine)

    facts = engine.file_facts()

    assert facts.last_job_id == job_id
    assert facts.bytes > 0
    assert engine.check(full=True) == []


def test_old_metrics_are_pruned_and_newer_ones_stay(engine: Engine) -> None:
    enqueue_one(engine)
    complete(engine, claim_one(engine))
    rows = engine.metrics(since_minute=0)

    kept = engine.prune_metrics(before_minute=rows[0].minute)
    gone = engine.prune_metrics(before_minute=rows[0].minute + 1)

    assert (kept, gone, engine.metrics(since_minute=0)) == (0, 1, [])
