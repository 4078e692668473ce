"""Limits on the command line: set, shown, taken back, and why a job does not start."""

import json

from tests.cli.conftest import Liteq


def test_a_queue_is_limited_shown_and_freed(liteq: Liteq) -> None:
    liteq("init", "--file", "jobs.db")
    assert liteq("queue", "limit", "mail").stdout == "queue mail has no limit\n"

    said = liteq("queue", "limit", "mail", "--max-running", "4", "--rate", "100/minute")

    assert said.stdout == "queue mail: at most 4 at once, 100/minute\n"
    (queue,) = json.loads(liteq("queue", "list", "--json").stdout)["queues"]
    assert (queue["max_running"], queue["rate"]) == (4, "100/minute")
    assert "100/minute" in liteq("queue", "list").stdout
    assert "max running" in liteq("queue", "status", "mail").stdout
    assert "of 4" in liteq("status").stdout
    assert liteq("queue", "limit", "mail", "--clear").stdout == "queue mail has no limit\n"
    again = liteq("queue", "limit", "mail", "--clear")
    assert (again.returncode, again.stderr) == (0, "queue mail had no limit that was set by hand\n")


def test_a_task_is_limited_beside_what_its_program_declares(liteq: Liteq) -> None:
    liteq("init", "--file", "jobs.db")
    assert liteq("task", "list").stderr.startswith("no limits; liteq queue limit")

    one = json.loads(liteq("task", "limit", "tasks.add", "--max-running", "2", "--json").stdout)

    assert one["max_running"] == one["given"]["max_running"] == 2
    assert one["declared"] == {"max_running": None, "rate": None}
    assert "task tasks.add" in liteq("task", "list").stdout
    assert "limits of tasks" in liteq("status").stdout
    assert len(json.loads(liteq("task:list", "--json").stdout)["limits"]) == 1


def test_a_limit_of_a_task_that_nobody_knows_is_set_and_noted(liteq: Liteq) -> None:
    liteq("init", "--file", "jobs.db")

    typo = liteq("task", "limit", "tasks.ad", "--max-running", "2")

    assert typo.stdout == "task tasks.ad: at most 2 at once\n"
    assert typo.stderr == "neither the app nor a worker knows a task called tasks.ad\n"
    assert liteq("task", "limit", "tasks.add", "--max-running", "2").stderr == ""


def test_a_bad_limit_is_refused_with_the_way_to_write_one(liteq: Liteq) -> None:
    liteq("init", "--file", "jobs.db")
    for words in (("--max-running", "0"), ("--rate", "often"), ("--rate", "0/s"), ("--clear", "--max-running", "1")):
        said = liteq("queue", "limit", "mail", *words)
        assert said.returncode == 2, words
        assert said.stderr.startswith("error: ")
    assert "pause" in liteq("queue", "limit", "mail", "--max-running", "0").stderr
    assert "100/minute" in liteq("queue", "limit", "mail", "--rate", "often").stderr


def test_a_blocked_job_says_what_it_is_behind(liteq: Liteq) -> None:
    for _ in range(2):
        assert liteq("enqueue", "tasks.add", "a:=1", "--key", "customer:7").returncode == 0

    shown = liteq("job", "show", "2")

    assert "blocked: key 'customer:7' has 1 of 1 (job 1), 1 of them not started yet" in shown.stdout
    assert "customer:7, 1 at once" in shown.stdout
    document = json.loads(liteq("job", "show", "2", "--json").stdout)
    explained = json.loads(liteq("job", "explain", "2", "--json").stdout)
    assert explained == {"id": 2, "state": "blocked", "why": document["held_up_by"]}
    assert liteq("job", "explain", "2").stdout == f"job 2 is blocked: {document['held_up_by']}\n"
    assert document["held_up_by"].startswith("key 'customer:7' has 1 of 1")
    assert liteq("work", "--burst").returncode == 0
    assert json.loads(liteq("job", "show", "2", "--json").stdout)["state"] == "completed"
