"""Full queues, debounced jobs, breakers and retry budgets at the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Liteq

Read = Callable[..., Any]

GUARDED = """
from pathlib import Path
from liteq import Breaker, Liteq, Retry

app = Liteq("jobs.db")


@app.task(retry=Retry.never(), breaker=Breaker(min_calls=2, open_for=600))
def call(n: int = 0) -> None:
    if Path("down").exists():
        raise OSError("down")


@app.task(retry_budget="1/hour", retry=Retry(backoff=7_200, cap=9_999, jitter=0))
def flaky() -> None:
    raise OSError("down")
"""


@pytest.fixture
def guarded(folder: Path) -> Path:
    (folder / "tasks.py").write_text(GUARDED)
    return folder


def test_a_queue_is_bounded_and_says_so(liteq: Liteq, read: Read) -> None:
    liteq("enqueue", "tasks.add", "a:=1", "-q", "mail")

    assert read("queue", "limit", "mail", "--max-pending", "1")["max_pending"] == 1
    assert "at most 1 may wait" in liteq("queue", "limit", "mail").stdout
    refused = liteq("enqueue", "tasks.add", "a:=1", "-q", "mail")

    assert (refused.returncode, refused.stdout) == (75, "")
    assert "queue 'mail' is full: 1 of at most 1 wait in it" in refused.stderr
    assert "--wait-for-room" in refused.stderr
    assert read("queue", "status", "mail")["max_pending"] == 1
    assert "1 of 1, full" in liteq("queue", "status", "mail").stdout
    assert "mail (full)" in liteq("status").stdout
    lines = liteq("enqueue", "tasks.add", "-q", "mail", "-", stdin='{"a": 1}\n')
    assert (lines.returncode, "nothing was enqueued" in lines.stderr) == (75, True)
    assert liteq("enqueue", "tasks.add", "a:=1", "-q", "mail", "--wait-for-room", "50ms").returncode == 75
    assert liteq("exec", "-q", "mail", "--wait-for-room", "0s", "--", "true").returncode == 75
    assert liteq("queue", "limit", "mail", "--clear").stdout == "queue mail has no limit\n"
    assert liteq("enqueue", "tasks.add", "a:=1", "-q", "mail").returncode == 0


def test_a_limit_that_is_no_number_is_refused(liteq: Liteq) -> None:
    liteq("init")
    for bad in ("many", "0", "-1", "9" * 30, ""):
        ended = liteq("queue", "limit", "mail", f"--max-pending={bad}")
        assert (ended.returncode, "max" in ended.stderr) == (2, True), bad


def test_debounced_calls_give_the_id_of_one_job(liteq: Liteq, read: Read) -> None:
    words = ("enqueue", "tasks.add", "--debounce", "1h", "--max-wait", "2h", "--unique-key", "k")

    first = read(*words, "a:=1")
    second = read(*words, "a:=2")

    assert (first["answer"], second) == ("new", {"id": first["id"], "answer": "debounced"})
    assert read("job", "show", "1")["args"] == {"a": 2}
    for answer in ("new", "debounced"):
        command = liteq("--json", "exec", "--debounce", "1h", "--unique-key", "c", "--", "true")
        assert json.loads(command.stdout)["answer"] == answer
    for bad in (
        ("--debounce", "1h"),
        ("--max-wait", "1h", "--unique-key", "k"),
        ("--debounce", "2h", "--max-wait", "1h", "--unique-key", "k"),
        ("--debounce", "1h", "--in", "5s", "--unique-key", "k"),
        ("--debounce", "soon", "--unique-key", "k"),
    ):
        refused = liteq("enqueue", "tasks.add", "a:=1", *bad)
        assert (refused.returncode, refused.stdout) == (2, ""), bad


def test_a_breaker_is_listed_shown_by_status_and_reset(liteq: Liteq, read: Read, guarded: Path) -> None:
    liteq("init")
    empty = liteq("breaker", "list")
    assert (empty.returncode, "no task is guarded" in empty.stdout) == (0, True)
    assert read("breaker", "list") == {"guards": []}
    (guarded / "down").touch()
    for _ in range(2):
        liteq("enqueue", "tasks.call")
    liteq("work", "--burst")
    liteq("enqueue", "tasks.call")

    listed = read("breaker", "list", code=4)["guards"]

    assert [(one["task"], one["breaker"], one["openings"]) for one in listed] == [
        ("tasks.call", "open", 1),
        ("tasks.flaky", None, 0),
    ]
    assert listed[0]["open_until"].endswith("+00:00")
    assert read("status")["guards"] == listed
    status = liteq("status", "--check")
    assert (status.returncode, "tasks.call: breaker open, trial in 9 m" in status.stdout) == (69, True)
    assert "open" in liteq("breaker", "list").stdout
    (guarded / "down").unlink()
    assert read("breaker", "reset", "tasks.call") == {"task": "tasks.call", "closed": True}
    assert read("breaker", "reset", "tasks.call") == {"task": "tasks.call", "closed": False}
    assert liteq("breaker", "reset", "tasks.flaky").returncode == 3
    assert liteq("work", "--burst").returncode == 0
    assert read("job", "show", "3")["state"] == "completed"
    assert liteq("breaker", "list").returncode == 0


def test_a_spent_budget_is_shown(liteq: Liteq, read: Read, guarded: Path) -> None:
    for _ in range(2):
        liteq("enqueue", "tasks.flaky")
    liteq("work", "--burst")

    flaky = read("breaker", "list")["guards"][1]

    assert (flaky["retry_budget"], flaky["postponed"]) == ("1/hour", 1)
    assert flaky["retry_wait_ms"] > 3_600_000
    assert "tasks.flaky: retries wait" in liteq("status").stdout
    assert "the budget of 1/hour retries is spent" in read("job", "show", "2")["attempts"][0]["error"]
