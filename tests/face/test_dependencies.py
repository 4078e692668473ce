"""Jobs that wait for others, by the face."""

from typing import Any

import pytest

from liteq import DependencyError, InvalidOption, JobContext, Liteq, NotCompleted, Retry, State, Task, every

Square = Task[[int], int]


@pytest.fixture
def square(app: Liteq) -> Square:
    @app.task(name="square")
    def compute(number: int) -> int:
        return number * number

    return compute


def test_parents_results_reach_the_child(app: Liteq, square: Square) -> None:
    @app.task(name="total")
    def total(ctx: JobContext) -> int:
        assert [parent.task for parent in ctx.parents] == ["square", "square"]
        return sum(parent.result_as(int) for parent in ctx.parents)

    parents = [square.enqueue(3), square.enqueue(4)]
    job = total.using(after=parents).enqueue()
    assert job.state is State.WAITING

    app.work(burst=True)

    assert job.refresh().result == 25


def test_one_parent_may_be_named_by_its_handle_or_its_id(app: Liteq, square: Square) -> None:
    parent = square.enqueue(3)

    for after in (parent, parent.id, [parent.id]):
        assert square.using(after=after).enqueue(1).state is State.WAITING


def test_a_child_that_runs_anyway_is_told_how_its_parent_ended(app: Liteq) -> None:
    @app.task(name="fails", retry=Retry.never())
    def fails() -> None:
        raise ValueError("no")

    @app.task(name="tidy")
    def tidy(ctx: JobContext) -> str:
        (parent,) = ctx.parents
        with pytest.raises(NotCompleted, match="dead"):
            _ = parent.result
        return parent.state.word

    failing = fails.enqueue()
    stopped = tidy.using(after=failing).enqueue()
    running = tidy.using(after=failing, on_parent_failure="run").enqueue()

    app.work(burst=True)

    assert running.refresh().result == "dead"
    assert (stopped.refresh().state, stopped.reason) == (State.CANCELLED, "its parent, job 1, was dead")


def test_a_job_without_parents_has_none(app: Liteq) -> None:
    @app.task(name="alone")
    def alone(ctx: JobContext) -> int:
        return len(ctx.parents)

    job = alone.enqueue()
    app.work(burst=True)

    assert job.refresh().result == 0


@pytest.mark.parametrize("after", [0, -1, 999, 2**63])
def test_a_parent_that_cannot_exist_is_refused(app: Liteq, square: Square, after: int) -> None:
    with pytest.raises(DependencyError):
        square.using(after=after).enqueue(1)
    assert app.count_jobs() == 0


@pytest.mark.parametrize("after", ["1", 1.5, True, None, [object()]])
def test_what_names_no_job_is_a_mistake_of_type(square: Square, after: Any) -> None:
    with pytest.raises(TypeError, match="handle or id"):
        square.using(after=after)


def test_a_schedule_cannot_wait_for_one_parent(app: Liteq, square: Square) -> None:
    with pytest.raises(InvalidOption, match="cannot wait for others"):
        app.schedule("s", every(minutes=1), square.using(after=square.enqueue(1)).call(2))


def test_parents_are_deleted_and_their_children_are_told(app: Liteq, square: Square) -> None:
    parent = square.enqueue(3)
    child = square.using(after=parent).enqueue(1)

    app.delete_jobs(parent.id)

    assert (child.refresh().state, child.reason) == (State.CANCELLED, "its parent, job 1, was deleted")
