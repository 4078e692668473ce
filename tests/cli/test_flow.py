"""From enqueue to the outcome, as real processes."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import COMMAND, Liteq, clean_environment

Read = Callable[..., Any]


def test_a_job_is_enqueued_worked_and_shown(liteq: Liteq, read: Read) -> None:
    enqueued = liteq("enqueue", "tasks.add", "a:=2", "b:=3", "--tag", "x", "--priority", "high")
    assert (enqueued.returncode, enqueued.stdout) == (0, "1\n")

    worked = liteq("work", "--burst")
    assert worked.returncode == 0
    assert "tasks:app" in worked.stderr

    job = read("job", "show", "1")
    assert (job["state"], job["result"], job["tags"], job["priority"]) == ("completed", 5, ["x"], 100)
    assert job["enqueued_at"].endswith("+00:00")


def test_a_wrong_argument_is_refused_before_a_file_is_written(liteq: Liteq, folder: Path) -> None:
    for words in (["a=2"], ["a:=2", "c:=1"], [], ["a:=x"], ["word"], ["a:=1", "a:=2"], ["--args", "3"]):
        ended = liteq("enqueue", "tasks.add", *words)
        assert ended.returncode == 2, words
        assert ended.stdout == ""
        assert ended.stderr.startswith("error: ")
    assert not (folder / "jobs.db").exists()


def test_arguments_may_be_one_json_text(liteq: Liteq, read: Read) -> None:
    assert liteq("enqueue", "tasks.add", "--args", '{"a": 1, "b": 2}').returncode == 0
    assert liteq("enqueue", "tasks.add", "--args", "[3, 4]").returncode == 0

    assert [job["args"] for job in read("job", "list")["jobs"]] == [{"a": 3, "b": 4}, {"a": 1, "b": 2}]


def test_lines_are_enqueued_and_a_bad_one_is_named(liteq: Liteq, read: Read) -> None:
    good = "".join(f'{{"a": {number}}}\n' for number in range(1_005))
    assert liteq("enqueue", "tasks.add", "-", stdin=good).stdout == "1005\n"

    ended = liteq("enqueue", "tasks.add", "-", stdin=good + '{"a": "x"}\n')

    assert ended.returncode == 2
    assert "line 1006" in ended.stderr
    assert "1000 jobs" in ended.stderr
    assert sum(queue["ready"] for queue in read("status")["queues"]) == 2_005
    for bad in ("nonsense\n", "3\n", b"\xff\n"):
        refused = liteq("enqueue", "tasks.add", "-", stdin=bad)
        assert (refused.returncode, "line 1" in refused.stderr) == (2, True)


def test_commands_become_jobs(liteq: Liteq, read: Read, folder: Path) -> None:
    assert liteq("exec", "echo one; exit 3").stdout == "1\n"
    assert liteq("exec", "--", "printf", "%s", "two words").stdout == "2\n"
    assert liteq("exec", "-", stdin="true\nfalse\n").stdout == "2\n"

    worked = liteq("work", "--burst")

    assert worked.returncode == 1
    assert [job["state"] for job in read("job", "list")["jobs"]] == ["dead", "completed", "completed", "dead"]
    assert read("job", "logs", "1")["attempts"][0]["output"] == "one\n"
    assert "exit code 3" in liteq("job", "logs", "1").stdout
    assert liteq("dead", "requeue", "--all").stdout == "requeued 2 jobs\n"
    assert read("job", "show", "2")["args"]["cwd"] == str(folder)


def test_a_command_alone_needs_no_app(liteq: Liteq, folder: Path) -> None:
    assert liteq("exec", "--file", "other.db", "true", LITEQ_APP="").returncode == 0
    assert "only shell commands" in liteq("work", "--burst", "--file", "other.db", LITEQ_APP="").stderr
    assert liteq("-f", "other.db", "job:wait", "1", LITEQ_APP="").stdout == "1 completed\n"
    assert not (folder / "jobs.db").exists()


def test_waiting_gives_the_outcome(liteq: Liteq) -> None:
    liteq("enqueue", "tasks.add", "a:=1")
    liteq("enqueue", "tasks.fail", "why=no")
    liteq("work", "--burst")
    liteq("enqueue", "tasks.add", "a:=1")

    assert liteq("job", "wait", "1").returncode == 0
    failed = liteq("job", "wait", "1", "2")
    assert (failed.returncode, failed.stdout.splitlines()[0]) == (1, "1 completed")
    assert liteq("job", "wait", "3", "--timeout", "0.2s").returncode == 5
    assert liteq("enqueue", "tasks.add", "a:=1", "--wait", "--timeout", "100ms").returncode == 5
    assert liteq("job", "wait", "4", "77").returncode == 3


def test_a_worker_ends_gently_when_asked(folder: Path, liteq: Liteq) -> None:
    liteq("init")
    with subprocess.Popen(
        [*COMMAND, "--app", "tasks:app", "work"], cwd=folder, env=clean_environment(), stderr=subprocess.PIPE
    ) as worker:
        assert worker.stderr is not None
        assert b"tasks:app" in worker.stderr.readline()
        assert liteq("enqueue", "tasks.greet", "name=you", "--wait", "--timeout", "20s").returncode == 0
        os.kill(worker.pid, signal.SIGTERM)
        assert worker.wait(20) == 0


def test_a_watch_ends_with_ctrl_c(folder: Path, liteq: Liteq) -> None:
    liteq("init")
    with subprocess.Popen(
        [*COMMAND, "--app", "tasks:app", "status", "--watch"],
        cwd=folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
    ) as watch:
        assert watch.stdout is not None
        assert b"no jobs yet" in watch.stdout.readline()
        time.sleep(0.1)
        os.kill(watch.pid, signal.SIGINT)
        assert watch.wait(20) == 0


def test_init_may_be_repeated_and_its_example_runs(tmp_path: Path, liteq: Liteq) -> None:
    (tmp_path / "tasks.py").unlink()

    first = json.loads(liteq("init", "--json", LITEQ_APP="").stdout)
    again = liteq("init", LITEQ_APP="")

    assert set(first) == {"file", "pyproject", "starter"}
    assert again.returncode == 0
    assert "was there" in again.stdout
    assert liteq("enqueue", "tasks.hello", "name=you", LITEQ_APP="").stdout == "1\n"
    assert liteq("work", "--burst", LITEQ_APP="").returncode == 0
    assert "hello, you" in liteq("job", "show", "1", LITEQ_APP="").stdout


def test_the_demo_agrees_with_a_plain_loop(liteq: Liteq, folder: Path) -> None:
    for number in range(30):
        (folder / f"part{number}.py").write_text("x = 1\n" * number)

    ended = liteq("demo", "--folder", ".", "--json", TMPDIR=str(folder))

    report = json.loads(ended.stdout)
    assert (ended.returncode, report["totals_agree"], report["dead"]) == (0, True, 1)
    assert report["totals"]["files"] == 31
    assert [tick["finished_ms"] >= tick["dispatched_ms"] >= 0 for tick in report["ticks"]] == [True] * 3
    assert Path(report["file"]).is_relative_to(folder)
    assert "totals agree" in liteq("demo", "--folder", ".", TMPDIR=str(folder)).stdout


def test_a_job_waits_for_another(liteq: Liteq) -> None:
    liteq("enqueue", "tasks.add", "a:=1")

    waiting = liteq("enqueue", "tasks.add", "a:=2", "--after", "1")
    missing = liteq("enqueue", "tasks.add", "a:=2", "--after", "99")

    assert (waiting.stdout, missing.returncode, "99" in missing.stderr) == ("2\n", 3, True)
    assert json.loads(liteq("job", "show", "2", "--json").stdout)["state"] == "waiting"
    assert liteq("work", "--burst").returncode == 0
    assert json.loads(liteq("job", "show", "2", "--json").stdout)["state"] == "completed"
