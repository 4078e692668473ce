"""Batches, workflows, chains and groups, by the face."""

from typing import Any

import pytest

from liteq import (
    Batch,
    BatchNotFound,
    BatchState,
    DependencyError,
    InvalidName,
    InvalidOption,
    JobContext,
    Liteq,
    Payload,
    Retry,
    State,
    Task,
    WaitTimeout,
    WrongState,
    chain,
    group,
)

Square = Task[[int], int]


@pytest.fixture
def square(app: Liteq) -> Square:
    @app.task(name="square")
    def compute(number: int) -> int:
        return number * number

    return compute


@pytest.fixture
def total(app: Liteq) -> Task[[], int]:
    @app.task(name="total")
    def add(ctx: JobContext) -> int:
        return sum(parent.result_as(int) for parent in ctx.parents)

    return add


@pytest.fixture
def fails(app: Liteq) -> Task[[], None]:
    @app.task(name="fails", retry=Retry(max_failures=1))
    def fail() -> None:
        raise RuntimeError("as wanted")

    return fail


@pytest.fixture
def seen(app: Liteq) -> list[tuple[str, int | None]]:
    calls: list[tuple[str, int | None]] = []

    @app.task(name="note")
    def note(ctx: JobContext, word: str) -> None:
        calls.append((word, ctx.batch_id))

    return calls


def callbacks(app: Liteq) -> dict[str, Any]:
    return {f"on_{word}": app.call("note", word) for word in ("success", "failure", "complete")}


def test_a_batch_is_stored_at_the_end_of_its_block_and_its_callbacks_follow(
    app: Liteq, square: Square, seen: list[tuple[str, int | None]]
) -> None:
    with app.batch("squares", **callbacks(app)) as batch:
        nodes = [batch.add(square.call(number)) for number in range(3)]
        assert app.count_jobs() == 0

    assert batch.progress.jobs == batch.progress.left == 3
    assert batch.state is BatchState.RUNNING
    app.work(burst=True)

    assert [node.job.refresh().result for node in nodes] == [0, 1, 4]
    assert sorted(seen) == [("complete", batch.id), ("success", batch.id)]
    assert batch.refresh().state is BatchState.COMPLETED
    assert (batch.progress.completed, batch.progress.fraction) == (3, 1.0)
    assert batch.wait(0).id == batch.id


def test_a_block_that_raises_stores_nothing(app: Liteq, square: Square) -> None:
    batch = app.batch("squares")
    with pytest.raises(ZeroDivisionError), batch:
        batch.add(square.call(1 // 0))

    assert app.count_jobs() == 0
    assert app.list_batches() == []
    with pytest.raises(InvalidOption, match="stored when its block ends"):
        _ = batch.id


def test_a_failed_batch_calls_its_failure_and_names_what_failed(
    app: Liteq, square: Square, fails: Task[[], None], seen: list[tuple[str, int | None]]
) -> None:
    with app.batch("mixed", **callbacks(app)) as batch:
        batch.add(square.call(1))
        bad = batch.add(fails.call())

    app.work(burst=True)

    assert batch.refresh().state is BatchState.FAILED
    assert list(batch.jobs(state="dead")) == [bad.job.id]
    assert sorted(word for word, _ in seen) == ["complete", "failure"]


def test_failures_that_are_allowed_do_not_fail_the_batch(
    app: Liteq, fails: Task[[], None], seen: list[tuple[str, int | None]]
) -> None:
    with app.batch("lenient", max_failed=1, **callbacks(app)) as batch:
        batch.add(fails.call())

    app.work(burst=True)

    assert batch.refresh().state is BatchState.COMPLETED
    assert sorted(word for word, _ in seen) == ["complete", "success"]


def test_a_job_adds_jobs_to_the_batch_that_it_runs_in(
    app: Liteq, square: Square, seen: list[tuple[str, int | None]]
) -> None:
    @app.task(name="spread")
    def spread(ctx: JobContext) -> None:
        assert ctx.batch_id is not None
        app.get_batch(ctx.batch_id).add_many(square.call(number) for number in range(5))
        square.using(batch=ctx.batch_id).enqueue(9)

    with app.batch("growing", **callbacks(app)) as batch:
        batch.add(spread.call())
    app.work(burst=True)

    assert batch.progress.completed == 7
    assert sorted(word for word, _ in seen) == ["complete", "success"]


def test_a_finished_batch_takes_no_more(app: Liteq, square: Square) -> None:
    with app.batch("empty") as batch:
        pass

    assert batch.state is BatchState.COMPLETED
    with pytest.raises(WrongState, match="has finished"):
        batch.add(square.call(1))
    with pytest.raises(WrongState, match="has finished"):
        batch.cancel()
    with pytest.raises(BatchNotFound):
        square.using(batch=99).enqueue(1)
    with pytest.raises(BatchNotFound):
        app.get_batch(99)


def test_a_cancelled_batch_cancels_its_jobs_and_says_why(app: Liteq, square: Square) -> None:
    with app.batch("unwanted") as batch:
        node = batch.add(square.call(1))

    assert batch.cancel() == [node.job.id]
    assert batch.cancel() == []


def test_cancelling_tells_each_job_the_reason(app: Liteq, square: Square) -> None:
    with app.batch("unwanted") as batch:
        node = batch.add(square.call(1))

    batch.cancel()

    assert node.job.refresh().reason == "its batch, unwanted, was cancelled"
    assert batch.refresh().state is BatchState.CANCELLED


def test_a_workflow_runs_in_the_order_of_its_links_whatever_order_it_was_written_in(
    app: Liteq, square: Square, total: Task[[], int]
) -> None:
    with app.workflow("sums") as flow:
        last = flow.add(total.call())
        first, second = flow.add(square.call(3)), flow.add(square.call(4))
        last.after(first, second)

    assert last.job.state is State.WAITING
    app.work(burst=True)

    assert last.job.refresh().result == 25


def test_a_job_of_a_batch_may_wait_for_jobs_that_are_stored_already(
    app: Liteq, square: Square, total: Task[[], int]
) -> None:
    outside = square.enqueue(2)
    with app.batch("mixed") as batch:
        node = batch.add(total.call(), after=[outside, batch.add(square.call(3))])
        later = batch.add(total.call(), after=outside.id)
    stored = batch.add(total.call(), after=node)

    app.work(burst=True)

    assert (node.job.refresh().result, later.job.refresh().result, stored.job.refresh().result) == (13, 4, 13)


def test_circles_of_any_length_are_refused_and_named_and_nothing_is_stored(app: Liteq, square: Square) -> None:
    for length in (1, 2, 10_000):
        flow = app.workflow("round")
        nodes = [flow.add(square.call(number)) for number in range(length)]
        for place, node in enumerate(nodes):
            node.after(nodes[place - 1])

        with pytest.raises(DependencyError, match="circle: square after square"), flow:
            pass

        assert app.count_jobs() == 0
        assert app.list_batches() == []


def test_a_chain_hands_each_result_to_the_next(app: Liteq, square: Square) -> None:
    @app.task(name="again")
    def again(ctx: JobContext) -> int:
        (parent,) = ctx.parents
        number: int = parent.result_as(int)
        return number * number

    jobs = app.enqueue(chain(square.call(3), again.call(), again.call()))
    app.work(burst=True)

    assert [job.refresh().result for job in jobs] == [9, 81, 6561]


def test_what_follows_a_group_waits_for_all_of_it(app: Liteq, square: Square, total: Task[[], int]) -> None:
    jobs = app.enqueue(chain(group(square.call(3), chain(square.call(1), total.call())), group(total.call())))

    app.work(burst=True)

    assert jobs[-1].refresh().result == 9 + 1


def test_a_flow_joins_a_batch_and_gives_its_ends(app: Liteq, square: Square, total: Task[[], int]) -> None:
    with app.batch("flows") as batch:
        ends = batch.add(chain(square.call(2), group(total.call(), total.call())))
        last = batch.add(total.call(), after=ends)

    app.work(burst=True)

    assert last.job.refresh().result == 8
    assert batch.progress.completed == 4


def test_flows_that_cannot_be_are_refused(app: Liteq, square: Square) -> None:
    deep = chain(square.call(1))
    with pytest.raises(InvalidOption, match="at least one"):
        group()
    with pytest.raises(TypeError, match=r"task\.call"):
        chain(square)  # type: ignore[arg-type]
    for _ in range(49):
        deep = chain(deep)
    with pytest.raises(InvalidOption, match="deep"):
        chain(deep)
    with pytest.raises(InvalidOption, match="to the jobs"):
        app.enqueue(chain(square.call(1)), queue="other")  # type: ignore[call-overload]


def test_the_graph_knows_the_way_that_took_longest_and_can_be_drawn(
    app: Liteq, square: Square, total: Task[[], int]
) -> None:
    with app.workflow("drawn") as flow:
        first, beside = flow.add(square.call(1)), flow.add(square.call(2))
        middle = flow.add(total.call(), after=first)
        last = flow.add(total.call(), after=[middle, beside])

    path = flow.dag().critical_path()
    drawing = flow.dag().mermaid()

    assert [node.id for node in path] == [first.job.id, middle.job.id, last.job.id]
    assert drawing.startswith("flowchart TD")
    assert f"j{middle.job.id} --> j{last.job.id}" in drawing
    assert f'j{first.job.id}["{first.job.id} square"]:::ready' in drawing


def test_a_node_of_another_plan_cannot_be_waited_for(app: Liteq, square: Square) -> None:
    with app.batch("one") as one, pytest.raises(InvalidOption, match="another batch"), app.batch("other") as other:
        other.add(square.call(1), after=one.add(square.call(2)))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_failed": -1}, InvalidOption),
        ({"max_failed": True}, TypeError),
        ({"max_failed": 1.5}, TypeError),
    ],
)
def test_options_of_a_batch_are_checked(app: Liteq, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        app.batch("bad", **options)


def test_callbacks_cannot_have_what_is_decided_elsewhere(app: Liteq, square: Square) -> None:
    parent = square.enqueue(1)
    for call, words in (
        (square.using(unique_key="one").call(1), "unique_key"),
        (square.using(after=parent).call(1), "wait"),
        (square.using(batch=1).call(1), "batch"),
    ):
        with pytest.raises(InvalidOption, match=words):
            app.batch("bad", on_success=call)
        with pytest.raises(InvalidOption, match=words):
            square.using(on_dead=call).enqueue(1)
    with pytest.raises(TypeError, match="on_dead"):
        square.using(on_dead=square)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="batch"):
        square.using(batch="one")  # type: ignore[arg-type]
    with pytest.raises(InvalidName):
        app.batch(" ")


def test_a_batch_waits_as_long_as_it_was_told(app: Liteq, square: Square) -> None:
    with app.batch("slow") as batch:
        batch.add(square.call(1))

    with pytest.raises(WaitTimeout, match=r"batch 1 still has 1 of 1 jobs to run after 0\.01 s"):
        batch.wait(0.01)


def test_a_job_class_can_be_in_a_batch(app: Liteq) -> None:
    @app.job(name="double")
    class Double(Payload, frozen=True):
        number: int

        def handle(self) -> int:
            return 2 * self.number

    with app.batch("classes", on_success=Double(number=21)) as batch:
        node = batch.add(Double(number=4))
    app.work(burst=True)

    assert node.job.refresh().result == 8
    made = batch.refresh().record.success_job
    assert made is not None
    assert app.get_job(made).result == 42


def test_a_fallback_runs_when_its_job_dies_and_can_ask_why(app: Liteq, fails: Task[[], None]) -> None:
    reasons: list[str | None] = []

    @app.task(name="rescue")
    def rescue(ctx: JobContext) -> None:
        (parent,) = ctx.parents
        reasons.append(app.get_job(parent.id).reason)

    fails.using(on_dead=rescue.call()).enqueue()
    app.work(burst=True)

    assert len(reasons) == 1
    assert "as wanted" in (reasons[0] or "")


def test_batches_are_listed_and_their_jobs_are_found_by_filter(app: Liteq, square: Square) -> None:
    with app.batch("first") as first:
        first.add(square.call(1))
    with app.batch("second") as second:
        second.add(square.call(1))
    square.enqueue(2)

    assert [batch.name for batch in app.list_batches()] == ["second", "first"]
    assert [job.id for job in app.list_jobs(batch=first.id)] == [1]
    assert app.count_jobs(batch=second.id) == 1
    assert app.cancel(batch=first.id) == [1]
    assert app.requeue(batch=first.id, state="cancelled") == [1]
    assert isinstance(app.get_batch(first.id), Batch)
