"""The supervisor: it starts, replaces and stops worker processes, and tells of each in a line."""

import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from liteq import Liteq, State
from tests.crash.conftest import Fleet, enqueue, lines, state, until, workers

OWN_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
HAS_NAMESPACES = (
    shutil.which("unshare")
    and not subprocess.run([*OWN_NAMESPACE, "true"], check=False, capture_output=True).returncode
)


def events(folder: Path) -> list[dict[str, Any]]:
    """Give what a supervisor with --json has said so far."""
    return [json.loads(line) for line in lines(folder / "said") if line.startswith("{")]


def count(folder: Path, event: str) -> int:
    return sum(one["event"] == event for one in events(folder))


def liteq(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "liteq_cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_each_event_is_one_json_document_and_tasks_print_elsewhere(app: Liteq, fleet: Fleet, folder: Path) -> None:
    job = enqueue(app, "quick", n=1)
    with fleet("--json", "--processes", "2") as supervisor:
        until(lambda: count(folder, "ready") == 2 and state(app, job) is State.COMPLETED)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(20) == 0

    told = events(folder)
    assert [one["event"] for one in told].count("started") == 2
    assert told[-1]["event"] == "ended"
    assert {"at", "event", "words", "seat", "pid", "worker_id"} == set(told[-1])


def test_a_worker_that_cannot_start_ends_the_supervisor_with_its_code(app: Liteq, folder: Path) -> None:
    (folder / "wrong.py").write_text("raise RuntimeError('not today')")

    ended = liteq("--app", "wrong:app", "work", "--processes", "3")

    assert ended.returncode == 2
    assert ended.stderr.count("not today") == 1


def test_deaths_in_a_row_are_followed_by_ever_longer_waits(app: Liteq, fleet: Fleet, folder: Path) -> None:
    for _ in range(3):
        enqueue(app, "segfault")
    with fleet("--json"):
        until(lambda: count(folder, "waiting") >= 2)

    waits = [one["words"] for one in events(folder) if one["event"] == "waiting"]
    assert waits[:2] == ["the next one starts in 0.25 s", "the next one starts in 0.5 s"]


def test_a_worker_stopped_by_hand_is_not_replaced(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--json", "--processes", "2") as supervisor:
        until(lambda: len(workers(app)) == 2)
        first, second = workers(app)
        assert liteq("--file", "jobs.db", "worker", "stop", str(first.id)).stdout == f"{first.id}\n"
        until(lambda: count(folder, "left") == 1)
        assert [one.id for one in workers(app)] == [second.id]
        liteq("--file", "jobs.db", "worker", "stop", str(second.id))
        assert supervisor.wait(20) == 0


def test_stopped_now_a_worker_gives_its_job_back(app: Liteq, fleet: Fleet, folder: Path) -> None:
    held = enqueue(app, "hold", mark="held", seconds=60)
    with fleet():
        until(lambda: lines(folder / "held"))
        (worker,) = workers(app)
        assert liteq("--file", "jobs.db", "worker", "stop", str(worker.id), "--now").returncode == 0
        assert state(app, held) is State.READY

    assert app.get_job(held).failures + app.get_job(held).record.crashes == 0


def test_the_list_tells_what_workers_are_at(app: Liteq, fleet: Fleet, folder: Path) -> None:
    assert json.loads(liteq("--file", "jobs.db", "worker", "list", "--json").stdout) == {"workers": []}
    with fleet() as supervisor:
        done = enqueue(app, "quick", n=1)
        until(lambda: state(app, done) is State.COMPLETED)
        held = enqueue(app, "hold", mark="held", seconds=60)
        until(lambda: workers(app)[0].done == 1 and workers(app)[0].started)
        (row,) = json.loads(liteq("--file", "jobs.db", "worker", "list", "--json").stdout)["workers"]
        plain = liteq("--file", "jobs.db", "worker", "list").stdout

    assert (row["state"], row["jobs"], row["done"], row["supervisor_pid"]) == ("working", [held], 1, supervisor.pid)
    assert row["rss"] > 2**20
    assert 0 <= row["silent_ms"] < 10_000
    assert "working" in plain
    assert liteq("--file", "jobs.db", "worker", "stop", "999").returncode == 3


def test_workers_are_replaced_after_so_many_jobs(app: Liteq, fleet: Fleet, folder: Path) -> None:
    jobs = [enqueue(app, "quick", n=n) for n in range(25)]
    with fleet("--json", "--max-jobs", "10"):
        until(lambda: all(state(app, job) is State.COMPLETED for job in jobs))
        assert count(folder, "ready") == 3


def test_a_worker_that_has_grown_too_large_is_replaced(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--json", "--max-memory", "150M"):
        until(lambda: count(folder, "ready") == 1)
        grown = enqueue(app, "grow", megabytes=200)
        until(lambda: count(folder, "ready") == 2)

    assert state(app, grown) is State.COMPLETED
    (told,) = [one for one in events(folder) if one["event"] == "recycled"]
    assert "more than 150" in told["words"]


def test_workers_are_replaced_one_by_one_when_their_time_is_over(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--json", "--max-time", "1s", "--processes", "2"):
        until(lambda: count(folder, "recycled") >= 2)

    told = [one["event"] for one in events(folder) if one["event"] in {"recycled", "ready"}]
    assert told[:5] == ["ready", "ready", "recycled", "ready", "recycled"]


def test_changed_code_replaces_the_workers(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--json", "--reload"):
        until(lambda: count(folder, "ready") == 1)
        with (folder / "crew.py").open("a") as file:
            file.write("\n@app.task\ndef newest() -> str:\n    return 'new'\n")
        job = enqueue(app, "newest")
        until(lambda: state(app, job) is State.COMPLETED)

    assert count(folder, "changed") >= 1


def test_a_hangup_replaces_the_workers(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--json", "--processes", "2") as supervisor:
        until(lambda: count(folder, "ready") == 2)
        supervisor.send_signal(signal.SIGHUP)
        until(lambda: count(folder, "ready") == 4)

    told = [one["event"] for one in events(folder) if one["event"] in {"recycled", "ready"}]
    assert told == ["ready", "ready", "recycled", "ready", "recycled", "ready"]


def test_more_workers_come_when_jobs_wait(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--json", "--autoscale", "1:3"):
        until(lambda: count(folder, "ready") == 1)
        for n in range(3):
            enqueue(app, "hold", mark=f"held{n}", seconds=60)
        until(lambda: all(lines(folder / f"held{n}") for n in range(3)))
        assert len(workers(app)) == 3


def test_a_burst_of_several_processes_ends_by_itself_even_if_one_dies(app: Liteq, folder: Path) -> None:
    poison = enqueue(app, "segfault")
    jobs = [enqueue(app, "quick", n=n) for n in range(50)]

    ended = liteq("--app", "crew:app", "work", "--burst", "--processes", "2")

    assert ended.returncode in {0, 1}
    assert all(state(app, job) is State.COMPLETED for job in jobs)
    assert state(app, poison) in {State.DEAD, State.SCHEDULED}


def test_systemd_hears_when_the_workers_are_ready_and_when_they_stop(app: Liteq, fleet: Fleet, folder: Path) -> None:
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(30)
        with fleet(NOTIFY_SOCKET=str(folder / "notify"), WATCHDOG_USEC="1000000") as supervisor:
            while not any(b"READY=1" in one for one in heard):
                heard.append(systemd.recv(4096))
            supervisor.send_signal(signal.SIGTERM)
            while not any(b"STOPPING=1" in one for one in heard):
                heard.append(systemd.recv(4096))
            supervisor.wait(20)

    assert b"WATCHDOG=1" in heard or any(b"WATCHDOG" in one for one in heard)


def test_the_unit_runs_this_very_command_line(app: Liteq, folder: Path) -> None:
    unit = liteq("--app", "crew:app", "work", "--processes", "2", "-q", "50% off", "--install-unit").stdout

    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = shlex.split(line.removeprefix("ExecStart="))
    assert words[0] == sys.executable
    assert words[words.index("work") :] == ["work", "--queue", "50%% off", "--processes", "2"]
    assert f"WorkingDirectory={folder}" in unit
    assert "KillMode=mixed" in unit


@pytest.mark.skipif(not HAS_NAMESPACES, reason="no process namespaces for this user")
def test_as_process_1_it_lets_go_of_orphans(app: Liteq, folder: Path) -> None:
    words = ["-m", "liteq_cli", "--app", "crew:app", "work", "--no-scheduler"]
    orphans = [enqueue(app, "leave_orphan") for _ in range(3)]

    with subprocess.Popen([*OWN_NAMESPACE, sys.executable, *words], stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: all(state(app, one) is State.COMPLETED for one in orphans))
            (first,) = psutil.Process(process.pid).children()
            until(lambda: len(lines(folder / "orphans")) == 3)
            until(lambda: len(first.children()) == 1)
            assert process.poll() is None
        finally:
            process.kill()
