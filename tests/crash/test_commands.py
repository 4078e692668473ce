"""Commands and the end of the workers that run them: no command goes on beside its job's next attempt."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from liteq import Liteq, State
from tests.crash.conftest import Fleet, gone, lines, lone_worker, outcomes, state, until, workers

IGNORES_TERM = "trap '' TERM; echo $$ >> shells; while :; do sleep 0.1; done"
"""A shell that notes its pid and does not listen."""


@pytest.fixture(autouse=True)
def nobody_is_left(folder: Path) -> Iterator[None]:
    yield
    for pid in pids(folder / "shells"):
        kill_group(pid)


def pids(path: Path) -> list[int]:
    return [int(line) for line in lines(path)]


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_the_command_of_a_killed_worker_has_ended_when_the_job_runs_again(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    held = app.enqueue(app.command("echo $$ >> shells; sleep 60; true"))
    with fleet("--processes", "2"):
        until(lambda: lines(folder / "shells") and len(workers(app)) == 2)
        (record,) = [one for one in workers(app) if one.started]
        inner = psutil.Process(pids(folder / "shells")[0]).children()
        os.kill(record.pid, signal.SIGKILL)
        until(lambda: len(lines(folder / "shells")) == 2)
        assert gone(pids(folder / "shells")[0])
        assert all(gone(one.pid) for one in inner)
        assert not gone(pids(folder / "shells")[1])

    assert held.refresh().attempts[0].outcome == "crashed"


def test_the_command_of_a_killed_lone_worker_is_ended_by_the_next_one(app: Liteq, folder: Path) -> None:
    app.enqueue(app.command(IGNORES_TERM))
    with lone_worker(folder) as first:
        until(lambda: lines(folder / "shells"))
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        (left,) = pids(folder / "shells")
        assert not gone(left)
        with lone_worker(folder):
            until(lambda: len(lines(folder / "shells")) == 2)
            assert gone(left)


def test_a_command_in_a_thread_does_not_outlive_the_grace_of_its_worker(app: Liteq, fleet: Fleet, folder: Path) -> None:
    both = [app.enqueue(app.command(IGNORES_TERM)) for _ in range(2)]
    with fleet("--threads", "2", "--grace", "200ms") as supervisor:
        until(lambda: len(lines(folder / "shells")) == 2)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(20) == 0
        assert all(gone(pid) for pid in pids(folder / "shells"))

    # Its worker ended it in time, and had not to be killed.
    assert " killed: " not in (folder / "said").read_text()
    assert [state(app, one.id) for one in both] == [State.READY] * 2
    assert [outcomes(app, one.id) for one in both] == [["released"]] * 2


def test_what_a_command_started_is_killed_with_it_though_the_shell_itself_listens(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    (folder / "deaf.sh").write_text(IGNORES_TERM)
    asked = app.enqueue(app.command("sh deaf.sh & wait"))
    with fleet():
        until(lambda: lines(folder / "shells"))
        app.cancel(asked.id)
        until(lambda: state(app, asked.id) is State.CANCELLED)
        (deaf,) = pids(folder / "shells")
        assert gone(deaf)


def test_a_chatty_process_that_a_command_left_behind_holds_no_slot(app: Liteq, fleet: Fleet, folder: Path) -> None:
    job = app.enqueue(app.command("setsid sh -c 'echo $$ >> shells; while echo here; do sleep 0.02; done' & true"))
    with fleet():
        until(lambda: state(app, job.id) is State.COMPLETED)
        until(lambda: lines(folder / "shells"))
        (chatty,) = pids(folder / "shells")
        assert not gone(chatty)
