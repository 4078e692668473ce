"""Declaring tasks and enqueueing: what is refused, and that nothing was written then."""

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from liteq import (
    BadArguments,
    InvalidName,
    InvalidOption,
    Job,
    JobContext,
    Liteq,
    Payload,
    PayloadNotSerializable,
    PayloadTooLarge,
    Priority,
    Retry,
    UniqueKeyTaken,
    UnknownTask,
)


class Colour(Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int
    y: float


def echo(value: Any) -> Any:
    return value


def add(a: int, b: int = 2) -> int:
    return a + b


def keyword_only(a: int, *, b: int, c: int = 5) -> list[int]:
    return [a, b, c]


def with_context(ctx: JobContext, word: str) -> str:
    return f"{word} {ctx.id} {ctx.attempt}"


def typed(when: datetime, day: date, key: UUID, colour: Colour, price: Decimal, data: bytes, point: Point) -> list[str]:
    return [type(value).__name__ for value in (when, day, key, colour, price, data, point)]


class Clean(Payload, frozen=True):
    older_than: timedelta
    limit: int = 10

    def handle(self, ctx: JobContext) -> dict[str, float]:
        return {"seconds": self.older_than.total_seconds(), "limit": self.limit, "id": ctx.id}


async def double(x: int) -> int:
    return 2 * x


def test_a_function_runs_with_the_arguments_it_was_given_and_its_own_defaults(app: Liteq) -> None:
    task = app.task(add)

    plain, named = task.enqueue(1), task.enqueue(1, b=5)
    app.work(burst=True)

    assert plain.refresh().result == 3
    assert named.refresh().result == 6


def test_keyword_only_parameters_are_kept_apart(app: Liteq) -> None:
    task = app.task(keyword_only)

    job = task.enqueue(1, b=2)
    app.work(burst=True)

    assert job.refresh().result == [1, 2, 5]


def test_a_context_is_injected_and_no_argument(app: Liteq) -> None:
    task = app.task(with_context)

    job = task.enqueue("job")
    app.work(burst=True)

    assert job.refresh().result == f"job {job.id} 1"


def test_coroutine_functions_run_on_a_loop(app: Liteq) -> None:
    task = app.task(double)

    jobs = app.enqueue_many(task.call(n) for n in range(300))
    app.work(burst=True)

    assert [job.refresh().result for job in jobs] == [2 * n for n in range(300)]


def test_a_job_class_carries_its_fields_and_handles_them(app: Liteq) -> None:
    app.job(Clean)

    job: Job[dict[str, float]] = app.enqueue(Clean(older_than=timedelta(days=1)), priority=Priority.HIGH)
    app.work(burst=True)

    assert job.refresh().result == {"seconds": 86400.0, "limit": 10, "id": job.id}
    assert job.priority == 100


def test_arguments_arrive_in_the_annotated_type(app: Liteq) -> None:
    task = app.task(typed)

    job = task.enqueue(
        datetime(2026, 1, 2, tzinfo=UTC),
        date(2026, 1, 2),
        UUID(int=7),
        Colour.RED,
        Decimal("1.50"),
        b"\0\xff",
        Point(1, 2),
    )
    app.work(burst=True)

    assert job.refresh().result == ["datetime", "date", "UUID", "Colour", "Decimal", "bytes", "Point"]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda task: task.enqueue(), BadArguments),
        (lambda task: task.enqueue(1, 2, 3), BadArguments),
        (lambda task: task.enqueue(1, c=3), BadArguments),
        (lambda task: task.enqueue(1, a=3), BadArguments),
        (lambda task: task.enqueue("one"), BadArguments),
        (lambda task: task.enqueue(object()), PayloadNotSerializable),
        (lambda task: task.using(priority=2**63), InvalidOption),
        (lambda task: task.using(priority=1.5), TypeError),
        (lambda task: task.using(priority=True), TypeError),
        (lambda task: task.using(delay=-1), InvalidOption),
        (lambda task: task.using(delay=float("nan")), InvalidOption),
        (lambda task: task.using(run_at=datetime(2026, 1, 1)), InvalidOption),  # noqa: DTZ001  that is the point
        (lambda task: task.using(delay=1, run_at=datetime(2026, 1, 1, tzinfo=UTC)), InvalidOption),
        (lambda task: task.using(timeout=0), InvalidOption),
        (lambda task: task.using(timeout=float("inf")), InvalidOption),
        (lambda task: task.using(max_crashes=0), InvalidOption),
        (lambda task: task.using(queue=""), InvalidName),
        (lambda task: task.using(queue=" mail"), InvalidName),
        (lambda task: task.using(queue="a\0b"), InvalidName),
        (lambda task: task.using(queue=5), TypeError),
        (lambda task: task.using(tags="mail"), TypeError),
        (lambda task: task.using(tags=["\ud800"]), InvalidName),
        (lambda task: task.using(unique_key="k" * 1025), InvalidName),
        (lambda task: task.using(unique_until="tomorrow"), InvalidOption),
        (lambda task: task.using(on_conflict="explode"), InvalidOption),
        (lambda task: task.using(retry=3), TypeError),
        (lambda task: task.using(colour="red"), InvalidOption),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    app: Liteq, make: Callable[[Any], object], error: type[Exception]
) -> None:
    task = app.task(add)

    with pytest.raises(error):
        make(task)

    assert app.count_jobs() == 0
    task.enqueue(1)
    assert app.count_jobs() == 1


def test_a_payload_above_the_limit_is_refused(tmp_path: Path) -> None:
    with Liteq(tmp_path / "jobs.db", max_payload=1000) as app:
        task = app.task(echo)

        with pytest.raises(PayloadTooLarge, match="1,000"):
            task.enqueue("x" * 1000)

        assert app.count_jobs() == 0


def test_a_naughty_name_is_stored_as_it_is_and_does_nothing(app: Liteq) -> None:
    queue = "'; DROP TABLE liteq_job;--"
    task = app.task(add)

    task.using(queue=queue).enqueue(1)

    assert app.count_jobs(queue=queue) == 1


def test_lambdas_closures_and_duplicates_are_refused_when_declared(app: Liteq) -> None:
    def inner() -> None: ...

    with pytest.raises(InvalidName, match="lambda"):
        app.task(lambda: None)
    with pytest.raises(InvalidName, match="inside a function"):
        app.task(inner)
    app.task(name="inner")(inner)
    with pytest.raises(InvalidName, match="two tasks"):
        app.task(name="inner")(add)
    app.task(name="inner")(inner)


def test_variadic_functions_are_refused_with_a_way_out(app: Liteq) -> None:
    def many(*items: int) -> None: ...

    with pytest.raises(InvalidOption, match="take one list"):
        app.task(name="many")(many).enqueue(1)


def test_enqueueing_by_name_wants_a_known_task(app: Liteq) -> None:
    app.task(name="mail.send")(add)

    assert app.enqueue(app.call("mail.send", 1, b=2)).created
    with pytest.raises(UnknownTask, match=r"did you mean mail\.send"):
        app.call("send", 1)
    with pytest.raises(UnknownTask, match=r"did you mean mail\.send"):
        app.call("mial.sned", 1)


def test_enqueue_many_is_all_or_nothing_and_reads_the_iterable_first(app: Liteq) -> None:
    task = app.task(add)

    def calls() -> Any:
        yield task.call(1)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        app.enqueue_many(calls())
    assert app.count_jobs() == 0

    with pytest.raises(UniqueKeyTaken):
        app.enqueue_many(task.using(unique_key="k", on_conflict="raise").call(n) for n in range(2))
    assert app.count_jobs() == 0


def test_a_skipped_job_is_left_out_of_the_handles(app: Liteq) -> None:
    task = app.task(add).using(unique_key="k", on_conflict="skip")

    jobs = app.enqueue_many([task.call(1), task.call(2)])

    assert [job.answer for job in jobs] == ["new"]


def test_a_unique_key_gives_back_the_live_job(app: Liteq) -> None:
    task = app.task(add).using(unique_key="k")

    first, second = task.enqueue(1), task.enqueue(2)
    app.work(burst=True)
    third = task.enqueue(3)

    assert (second.id, second.created) == (first.id, False)
    assert third.created


def test_a_script_run_directly_and_one_imported_agree_on_the_names(tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(
        "from liteq import Liteq\n"
        "app = Liteq('shop.db')\n"
        "@app.task\n"
        "def ship(order: int) -> int: return order\n"
        "if __name__ == '__main__':\n"
        "    ship.enqueue(42)\n"
    )

    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True)
    worked = subprocess.run(
        [sys.executable, "-c", "import shop; print(shop.app.work(burst=True).completed)"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )

    assert worked.stdout.strip() == "1"


def test_importing_liteq_loads_nothing_heavy() -> None:
    heavy = {"typer", "rich", "croniter", "pydantic", "asyncio", "ssl", "hashlib", "zoneinfo", "psutil", "apsw"}
    code = f"import liteq, sys; print(sorted({heavy} & set(sys.modules)))"

    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert printed.strip() == "[]"


def test_only_a_worker_with_coroutines_loads_asyncio(tmp_path: Path) -> None:
    code = (
        "import sys; from liteq import Liteq; app = Liteq('jobs.db'); plain = app.task(name='plain')(lambda: 1)\n"
        "plain.enqueue()\n"
        "with app.lock('l'): assert app.work(burst=True).completed == 1\n"
        "assert not {'asyncio', 'ssl', 'hashlib'} & set(sys.modules)\n"
        "async def later() -> None: pass\n"
        "app.task(name='later')(later).enqueue(); assert app.work(burst=True).completed == 1"
    )

    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_a_retry_is_checked_when_it_is_written() -> None:
    for wrong in (0, -1, 10**9):
        with pytest.raises(InvalidOption):
            Retry(max_failures=wrong)


def test_an_app_that_nobody_knows_any_more_is_let_go_with_its_tasks(tmp_path: Path) -> None:
    def use() -> "weakref.ref[Liteq]":
        app = Liteq(tmp_path / "jobs.db")

        def clean_up() -> None:
            app.close()

        def work() -> None:
            app.close()

        app.task(name="work", on_dead=app.task(name="clean_up")(clean_up).call())(work)
        return weakref.ref(app)

    gone = use()
    gc.collect()

    assert gone() is None
