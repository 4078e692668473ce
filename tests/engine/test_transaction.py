"""Several verbs as one commit, and the verbs of many threads."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from liteq.errors import InvalidOption, UniqueKeyTaken
from liteq.model.job import JobFilter, Unique
from liteq.model.transitions import State
from liteq.store.engine import Engine
from liteq.store.transacting import Statements
from tests.engine.conftest import OpenEngine, OpenFresh
from tests.engine.steps import NOW, claim_one, claim_some, complete, enqueue_one, new_job, record, state_of

EVERYTHING = JobFilter()


class Interrupted(Exception):  # noqa: N818  no error of the engine
    """What a test raises inside a transaction."""


def run_all(*calls: Callable[[], object]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_verbs_in_a_transaction_are_seen_by_others_all_at_once(engine: Engine, open_engine: OpenEngine) -> None:
    other = open_engine()
    done = enqueue_one(engine)

    with engine.transaction():
        complete(engine, claim_one(engine))
        follow_up = enqueue_one(engine)
        assert state_of(engine, done) is State.COMPLETED
        assert state_of(other, done) is State.READY
        assert other.get_job(follow_up) is None

    assert state_of(other, done) is State.COMPLETED
    assert state_of(other, follow_up) is State.READY


def test_nothing_remains_of_a_transaction_that_fails(engine: Engine) -> None:
    job_id = enqueue_one(engine)

    def fail_halfway() -> None:
        with engine.transaction():
            complete(engine, claim_one(engine))
            enqueue_one(engine)
            raise Interrupted

    with pytest.raises(Interrupted):
        fail_halfway()

    assert (record(engine, job_id).state, record(engine, job_id).attempt) == (State.READY, 0)
    assert engine.count_jobs(EVERYTHING) == 1
    assert engine.metrics(since_minute=0) == []
    enqueue_one(engine)
    assert engine.count_jobs(EVERYTHING) == 2


def test_a_nested_transaction_joins_the_outer_one(engine: Engine) -> None:
    def fail_after_the_inner_one() -> None:
        with engine.transaction():
            with engine.transaction():
                enqueue_one(engine)
            raise Interrupted

    with pytest.raises(Interrupted):
        fail_after_the_inner_one()

    assert engine.count_jobs(EVERYTHING) == 0


def test_the_thread_knows_when_it_is_inside(engine: Engine) -> None:
    seen: list[bool] = [engine.busy_here()]
    with engine.transaction():
        seen.append(engine.busy_here())
        run_all(lambda: seen.append(engine.busy_here()))
    seen.append(engine.busy_here())

    assert seen == [False, True, False, False]


class Spy(Mapping[str, int]):
    """Bindings that do something when a statement takes them."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look

    def __getitem__(self, name: str) -> int:
        self._look()
        return 0

    def __iter__(self) -> Iterator[str]:
        return iter(["value"])

    def __len__(self) -> int:
        return 1


def test_an_applications_block_is_outside_and_its_statements_are_inside(engine: Engine) -> None:
    seen: list[bool] = []
    spy = Spy(lambda: seen.append(engine.busy_here()))

    with engine.application_transaction() as statements:
        seen.append(engine.busy_here())
        statements.execute("SELECT :value", spy)
        statements.execute_many("SELECT :value", [spy])
        seen.append(engine.busy_here())
        with engine.application_transaction():
            seen.append(engine.busy_here())
        with engine.transaction():
            seen.append(engine.busy_here())
    seen.append(engine.busy_here())

    assert seen == [False, True, True, False, False, True, False]


def test_a_thread_knows_of_its_own_transaction(engine: Engine) -> None:
    seen: list[bool] = [engine.in_transaction()]
    with engine.transaction():
        seen.append(engine.in_transaction())
        run_all(lambda: seen.append(engine.in_transaction()))
    with engine.application_transaction():
        seen.append(engine.in_transaction())
    seen.append(engine.in_transaction())

    assert seen == [False, True, False, True, False]


def test_an_applications_block_is_one_commit_of_all_verbs(engine: Engine, open_engine: OpenEngine) -> None:
    other = open_engine()

    with engine.application_transaction():
        first = enqueue_one(engine)
        with suppress(Interrupted), engine.application_transaction():
            enqueue_one(engine)
            raise Interrupted
        assert engine.count_jobs(EVERYTHING) == 1
        assert other.count_jobs(EVERYTHING) == 0
    with suppress(Interrupted), engine.application_transaction():
        complete(engine, claim_one(engine))
        enqueue_one(engine)
        raise Interrupted

    assert [job.id for job in other.list_jobs(EVERYTHING, limit=9)] == [first]
    assert state_of(other, first) is State.READY


def test_statements_are_of_the_thread_and_the_block(engine: Engine) -> None:
    refused: list[InvalidOption] = []

    def use(statements: Statements) -> None:
        with pytest.raises(InvalidOption) as caught:
            statements.execute("SELECT 1", ())
        refused.append(caught.value)

    with engine.application_transaction() as statements:
        assert statements.execute("SELECT 1", ()) == [(1,)]
        run_all(lambda: use(statements))
    use(statements)

    assert len(refused) == 2


def test_threads_that_enqueue_at_once_all_get_their_own_ids(engine: Engine) -> None:
    ids: dict[int, list[int]] = {n: [] for n in range(8)}

    def enqueue_many(n: int) -> None:
        for _ in range(20):
            answers = engine.enqueue([new_job(args=b"%d" % n)] * 3, now=NOW)
            ids[n] += [answer.job_id for answer in answers]

    run_all(*[lambda n=n: enqueue_many(n) for n in range(8)])

    assert len({job_id for some in ids.values() for job_id in some}) == 8 * 20 * 3
    for n, some in ids.items():
        assert {record(engine, job_id).args for job_id in some} == {b"%d" % n}


def test_a_failing_verb_hurts_only_its_own_thread(engine: Engine) -> None:
    holder = enqueue_one(engine, new_job(unique=Unique(key="key", scope="always")))
    taken = new_job(unique=Unique(key="key", on_conflict="raise"))
    misfit = msgspec.structs.replace(new_job(), backoff=object())
    refused: list[type[BaseException]] = []
    kept: list[int] = []

    def enqueue_bad() -> None:
        for bad in (taken, misfit) * 10:
            try:
                engine.enqueue([new_job(queue="lost"), bad], now=NOW)
            except (UniqueKeyTaken, TypeError) as error:
                refused.append(type(error))

    def enqueue_good() -> None:
        kept.extend(enqueue_one(engine) for _ in range(20))

    # A transaction holds them all back, so that they leave in one party.
    with engine.transaction():
        threads = [threading.Thread(target=call) for call in (enqueue_bad, enqueue_good, enqueue_bad, enqueue_good)]
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join(30)

    assert len(refused) == 40
    assert len(set(kept)) == 40
    assert sorted(job.id for job in engine.list_jobs(EVERYTHING, limit=1_000)) == sorted([holder, *kept])


def test_threads_and_a_second_engine_write_at_once(engine: Engine, open_engine: OpenEngine) -> None:
    other = open_engine()

    def work(mine: Engine, worker_id: int) -> None:
        for _ in range(15):
            enqueue_one(mine)
            for claim in claim_some(mine, worker_id=worker_id, limit=2):
                complete(mine, claim)

    run_all(*[lambda m=m, w=w: work(m, w) for w, m in enumerate((engine, other) * 2)])

    assert engine.count_jobs(EVERYTHING) == 60
    assert engine.check(full=True) == []


def test_a_commit_between_two_waits_is_told_by_the_second(engine: Engine, open_engine: OpenEngine) -> None:
    other = open_engine()
    watch = engine.watch()
    try:
        assert not watch.wait(0)

        enqueue_one(other)

        assert watch.wait(0)
        assert engine.count_jobs(EVERYTHING) == 1
    finally:
        watch.close()


def test_a_watch_wakes_at_anothers_commit_and_when_told(engine: Engine, open_engine: OpenEngine) -> None:
    other = open_engine()
    watch = engine.watch()
    try:
        while watch.wait(50):
            pass
        enqueue_one(other)
        assert watch.wait(5_000)
        while watch.wait(50):
            pass
        watch.wake()
        assert watch.wait(5_000)
    finally:
        watch.close()


def test_a_backup_is_a_whole_store_of_its_own(engine: Engine, open_fresh: OpenFresh, tmp_path: Path) -> None:
    job_id = enqueue_one(engine)
    heard: list[tuple[int, int]] = []

    engine.backup(tmp_path / "copy.db", progress=lambda done, whole: heard.append((done, whole)))

    assert heard[-1][0] == heard[-1][1] > 0
    copy = open_fresh("copy")
    complete(copy, claim_one(copy))
    assert (state_of(engine, job_id), state_of(copy, job_id)) == (State.READY, State.COMPLETED)


def test_upkeep_keeps_every_job(engine: Engine) -> None:
    ids = [answer.job_id for answer in engine.enqueue([new_job(args=b"[%s]" % (b"1" * 9_000))] * 600, now=NOW)]

    engine.tend()
    engine.settle()
    engine.delete(ids[1:], now=NOW)
    engine.tend()

    assert [job.id for job in engine.list_jobs(EVERYTHING, limit=1_000)] == ids[:1]
    assert engine.check(full=True) == []


def test_closing_twice_is_harmless(engine: Engine, open_engine: OpenEngine) -> None:
    job_id = enqueue_one(engine)
    engine.close()

    engine.close()

    assert state_of(open_engine(), job_id) is State.READY
