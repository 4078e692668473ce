"""``liteq batch``: what it prints, and its exit codes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Liteq

Read = Callable[..., Any]

MAKE = """
from liteq import Liteq, Retry

app = Liteq("jobs.db")


@app.task
def add(a: int, b: int = 0) -> int:
    return a + b


@app.task(retry=Retry.never())
def fail() -> None:
    raise ValueError("as wanted")


def make(bad: bool) -> None:
    with app.workflow("sums", on_complete=add.call(0)) as flow:
        first, second = flow.add(add.call(1)), flow.add(add.call(2))
        third = flow.add(add.call(3), after=[first, second])
        flow.add((fail if bad else add.using(priority=1)).call(*(() if bad else (4,))), after=third)
"""


@pytest.fixture
def make(folder: Path, liteq: Liteq) -> Callable[..., None]:
    (folder / "tasks.py").write_text(MAKE)

    def run(*, bad: bool = False) -> None:
        subprocess.run([sys.executable, "-c", f"import tasks; tasks.make({bad})"], cwd=folder, check=True)

    return run


def test_a_batch_is_drawn_as_a_tree_with_each_job_once(make: Callable[..., None], liteq: Liteq) -> None:
    make()

    shown = liteq("batch", "show", "1").stdout

    assert "longest way: 1 tasks.add → 3 tasks.add → 4 tasks.add" in shown
    assert shown.endswith(
        "1 tasks.add: ready\n└─ 3 tasks.add: waiting  (also after 2)\n   └─ 4 tasks.add: waiting\n2 tasks.add: ready\n"
    )
    drawn = liteq("batch", "show", "1", "--mermaid").stdout
    assert drawn.startswith("flowchart TD\n")
    assert "    j3 --> j4\n" in drawn


def test_a_tree_is_cut_where_it_gets_long(make: Callable[..., None], liteq: Liteq) -> None:
    make()

    shown = liteq("batch", "show", "1", "--limit", "2")

    assert shown.stdout.endswith("1 tasks.add: ready\n└─ 3 tasks.add: waiting  (also after 2)\n")
    assert "2 of 4 jobs are shown" in shown.stderr


def test_batches_are_listed_and_waited_for(make: Callable[..., None], liteq: Liteq, read: Read) -> None:
    make()

    assert [row["left"] for row in read("batch", "list", "--live")["batches"]] == [4]
    late = liteq("batch", "wait", "1", "--timeout", "0.05s")
    assert (late.returncode, "batch 1 still has 4 of 4 jobs to run" in late.stderr) == (5, True)
    liteq("work", "--burst")
    done = liteq("batch", "wait", "1")
    assert (done.returncode, done.stdout) == (0, "1 completed\n")
    assert read("batch", "list", "--live") == {"batches": []}
    shown = read("batch", "show", "1")
    assert (shown["state"], shown["complete_job"], shown["links"][0]) == ("completed", 5, {"parent": 1, "child": 3})
    assert len(read("job", "list", "--batch", "1")["jobs"]) == 4


def test_a_failed_batch_is_retried(make: Callable[..., None], liteq: Liteq, read: Read) -> None:
    make(bad=True)
    liteq("work", "--burst")

    assert liteq("batch", "wait", "1").returncode == 1
    assert "liteq batch retry 1" in liteq("batch", "show", "1").stderr
    assert read("batch", "retry", "1") == {"done": [4]}
    assert read("batch", "show", "1")["state"] == "running"


def test_a_batch_is_cancelled_with_consent(make: Callable[..., None], liteq: Liteq, read: Read) -> None:
    make()

    refused = liteq("batch", "cancel", "1")
    assert (refused.returncode, "add --yes" in refused.stderr) == (2, True)
    assert read("batch", "cancel", "1", "--yes") == {"done": [1, 2, 3, 4]}
    assert liteq("batch", "retry", "2").returncode == 3
    assert read("batch", "show", "1")["state"] == "cancelled"


def test_no_batch_at_all_is_said_with_what_makes_one(make: Callable[..., None], liteq: Liteq) -> None:
    liteq("enqueue", "tasks.add", "a:=1")

    assert "app.batch(name) in a program makes one" in liteq("batch", "list").stderr
    assert liteq("batch", "show", "1").returncode == 3
