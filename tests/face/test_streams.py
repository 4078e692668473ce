"""Streams of jobs: any number, in commits of a bounded size, and what is told where one breaks off."""

from collections.abc import Iterator
from typing import Any

import pytest

from liteq import BadArguments, Call, InvalidOption, Liteq, PartlyEnqueued, StoredJobs, Task, UniqueKeyTaken

Add = Task[[int], int]


@pytest.fixture
def add(app: Liteq) -> Add:
    @app.task(name="add")
    def add(n: int) -> int:
        return n

    return add


def args_of(app: Liteq, **wanted: Any) -> list[Any]:
    return [job.args for job in reversed(app.list_jobs(limit=1_000, **wanted))]


def test_a_stream_is_stored_in_commits_of_the_chunk(app: Liteq, add: Add) -> None:
    stored: list[int] = []

    def calls() -> Iterator[Call[int]]:
        for n in range(25):
            stored.append(app.count_jobs())
            yield add.call(n)

    answer = app.enqueue_many(calls(), chunk=10)

    assert answer == StoredJobs(jobs=25, chunks=3, first_id=1, last_id=25)
    assert stored == [n // 10 * 10 for n in range(25)]
    assert args_of(app) == [{"n": n} for n in range(25)]


@pytest.mark.parametrize(("jobs", "chunks"), [(0, 0), (10, 1), (11, 2)])
def test_a_last_chunk_is_whole_short_or_missing(app: Liteq, add: Add, jobs: int, chunks: int) -> None:
    answer = app.enqueue_many((add.call(n) for n in range(jobs)), chunk=10)

    assert (answer.jobs, answer.chunks, app.count_jobs()) == (jobs, chunks, jobs)


def test_large_arguments_end_a_chunk_early(app: Liteq) -> None:
    @app.task(name="keep")
    def keep(text: str) -> None: ...

    answer = app.enqueue_many((keep.call("x" * 1_000_000) for _ in range(20)), chunk=1_000)

    assert (answer.jobs, answer.chunks) == (20, 2)


def test_keys_that_are_held_are_counted_apart(app: Liteq, add: Add) -> None:
    add.using(unique_key="k1").enqueue(0)

    def calls(on_conflict: Any) -> list[Call[int]]:
        return [add.using(unique_key=f"k{n}", on_conflict=on_conflict).call(n) for n in (1, 2)]

    first = app.enqueue_many(calls("return"), chunk=10)
    second = app.enqueue_many(calls("skip"), chunk=1)

    assert (first.jobs, first.found, first.skipped, first.first_id, first.last_id) == (1, 1, 0, 2, 2)
    assert (second.jobs, second.found, second.skipped, second.first_id, second.last_id) == (0, 0, 2, None, None)
    assert second.chunks == 2


def test_an_iterable_that_fails_tells_what_is_stored_and_a_second_run_stores_the_rest(app: Liteq, add: Add) -> None:
    def calls(broken: int) -> Iterator[Call[int]]:
        for n in range(25):
            if n == broken:
                raise OSError("the source has gone")
            yield add.using(unique_key=f"row {n}", unique_until="always").call(n)

    with pytest.raises(PartlyEnqueued, match=r"^OSError: the source has gone .jobs stored: 20, in commits: 2") as told:
        app.enqueue_many(calls(broken=23), chunk=10)

    assert (told.value.jobs, told.value.chunks) == (20, 2)
    assert told.value.last_chunk == tuple(range(11, 21))
    assert not told.value.may_have_committed
    assert isinstance(told.value.__cause__, OSError)
    assert app.count_jobs() == 20
    again = app.enqueue_many(calls(broken=-1), chunk=10)
    assert (again.jobs, again.found, app.count_jobs()) == (5, 20, 25)


def test_a_chunk_that_is_refused_is_not_stored_at_all(app: Liteq, add: Add) -> None:
    add.using(unique_key="taken").enqueue(0)
    calls = [add.call(1), add.call(2), add.call(3), add.using(unique_key="taken", on_conflict="raise").call(4)]

    with pytest.raises(PartlyEnqueued) as told:
        app.enqueue_many(calls, chunk=2)

    assert isinstance(told.value.__cause__, UniqueKeyTaken)
    assert (told.value.jobs, told.value.last_chunk, app.count_jobs()) == (2, (2, 3), 3)


def test_what_ends_a_program_passes_as_it_is_with_a_note(app: Liteq, add: Add) -> None:
    def calls() -> Iterator[Call[int]]:
        yield add.call(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as told:
        app.enqueue_many(calls(), chunk=1)

    assert told.value.__notes__ == ["enqueue_many was interrupted (jobs stored: 1, in commits: 1)"]


@pytest.mark.parametrize("chunk", [0, -1, 10_001])
def test_a_chunk_out_of_range_is_refused_before_anything_is_read(app: Liteq, chunk: int) -> None:
    with pytest.raises(InvalidOption):
        app.enqueue_many(iter(lambda: pytest.fail("it was read"), None), chunk=chunk)


def test_without_a_chunk_it_is_one_commit_all_or_none(app: Liteq, add: Add) -> None:
    def calls() -> Iterator[Call[int]]:
        yield add.call(1)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011  the plain error, as it came
        app.enqueue_many(calls())

    assert app.count_jobs() == 0
    assert [job.id for job in app.enqueue_many(add.call(n) for n in range(3))] == [1, 2, 3]


def test_map_makes_one_job_of_each_item(app: Liteq, add: Add) -> None:
    answer = add.using(queue="numbers", tags=["t"]).map(range(2_500))

    assert (answer.jobs, answer.chunks) == (2_500, 3)
    assert args_of(app, tag="t")[-1] == {"n": 2_499}
    assert app.count_jobs(queue="numbers") == 2_500


def test_map_leaves_a_tuple_whole_and_starmap_takes_it_apart(app: Liteq) -> None:
    @app.task(name="point")
    def point(at: tuple[int, int]) -> None: ...

    @app.task(name="pair")
    def pair(a: int, b: int) -> None: ...

    assert point.map([(1, 2)]).jobs == pair.starmap([(1, 2), [3, 4]], chunk=1).jobs - 1 == 1
    assert args_of(app) == [{"at": [1, 2]}, {"a": 1, "b": 2}, {"a": 3, "b": 4}]
    with pytest.raises(PartlyEnqueued) as told:
        pair.map([(1, 2)])
    assert isinstance(told.value.__cause__, BadArguments)
