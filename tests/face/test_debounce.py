"""Debounced jobs: many calls become one, and options that contradict are refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from liteq import InvalidOption, Liteq, manual
from liteq.clock import to_datetime
from tests.face.conftest import HandClock, work


def test_debounced_calls_become_one_job_with_the_newest_arguments(slow_app: Liteq, clock: HandClock) -> None:
    seen: list[str] = []

    @slow_app.task(name="reindex", debounce=timedelta(seconds=2), max_wait=5)
    def reindex(what: str) -> None:
        seen.append(what)

    begun = clock.ms
    first = reindex.using(unique_key="7").enqueue("old")
    clock.advance(1)
    again = reindex.using(unique_key="7").enqueue("new")
    other = reindex.using(unique_key="8").enqueue("other")

    assert (first.answer, again.answer, other.answer) == ("new", "debounced", "new")
    assert (again.id, again.created) == (first.id, False)
    assert again.run_at == to_datetime(begun + 3_000)
    clock.advance(2)
    with slow_app.claims(limit=2) as claims:
        assert next(claims).id == again.id
        assert reindex.using(unique_key="7").enqueue("next").created
    work(slow_app)
    assert sorted(seen) == ["new", "other"]


def test_many_debounced_calls_in_one_commit_are_one_job(slow_app: Liteq, clock: HandClock) -> None:
    @slow_app.task(name="reindex", debounce=2, unique_key="k")
    def reindex(n: int) -> None: ...

    jobs = slow_app.enqueue_many(reindex.call(n) for n in range(100))

    assert {job.id for job in jobs} == {1}
    assert jobs[0].args == {"n": 99}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"debounce": 2}, "unique_key"),
        ({"max_wait": 2}, "needs debounce"),
        ({"debounce": 2, "unique_key": "k", "max_wait": 1}, "at least as long"),
        ({"debounce": 2, "unique_key": "k", "delay": 1}, "neither delay nor run_at"),
        ({"debounce": 2, "unique_key": "k", "run_at": datetime(2027, 1, 1, tzinfo=UTC)}, "neither delay nor run_at"),
        ({"debounce": 2, "unique_key": "k", "unique_until": "always"}, "unique_until"),
        ({"debounce": 0, "unique_key": "k"}, "above zero"),
        ({"debounce": -1, "unique_key": "k"}, "zero or more"),
        ({"debounce": float("nan"), "unique_key": "k"}, "finite"),
        ({"debounce": 1, "max_wait": float("inf"), "unique_key": "k"}, "finite"),
        ({"wait_for_room": -1}, "zero or more"),
    ],
)
def test_options_that_contradict_are_refused_before_anything_is_written(app: Liteq, settings: Any, words: str) -> None:
    @app.task(name="reindex")
    def reindex() -> None: ...

    with pytest.raises(InvalidOption, match=words):
        reindex.using(**settings).enqueue()

    assert app.count_jobs() == 0


@pytest.mark.parametrize("name", ["debounce", "max_wait", "wait_for_room"])
@pytest.mark.parametrize("bad", ["2s", True])
def test_options_of_the_wrong_type_are_refused(app: Liteq, name: str, bad: Any) -> None:
    @app.task(name="reindex")
    def reindex() -> None: ...

    settings: Any = {name: bad}
    with pytest.raises(TypeError, match=name):
        reindex.using(**settings)


def test_a_schedule_takes_no_debounced_job(app: Liteq) -> None:
    @app.task(name="reindex", debounce=2, unique_key="k")
    def reindex() -> None: ...

    with pytest.raises(InvalidOption, match="debounce"):
        app.schedule("regular", manual(), reindex.call())
