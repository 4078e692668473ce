"""Workers that hang and tasks that do not end: killed where they are ours, fenced where they are not."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from liteq import Liteq, State
from liteq.worker.settings import WorkSettings
from tests.crash.conftest import Fleet, enqueue, gone, lines, lone_worker, outcomes, state, until, workers


def test_a_stopped_worker_with_a_lease_is_taken_from_and_its_late_report_dropped(app: Liteq, folder: Path) -> None:
    held = enqueue(app, "hold", mark="held", seconds=8)
    with lone_worker(folder, LEASE="1") as slow:
        until(lambda: lines(folder / "held"))
        os.kill(slow.pid, signal.SIGSTOP)
        with lone_worker(folder, LEASE="1"):
            until(lambda: len(lines(folder / "held")) == 2)
            os.kill(slow.pid, signal.SIGCONT)
            until(lambda: lines(folder / "held.lost"))
            assert int(lines(folder / "held.lost")[0]) == slow.pid
            until(lambda: state(app, held) is State.COMPLETED)
            after = enqueue(app, "quick", n=1)
            until(lambda: state(app, after) is State.COMPLETED)

    job = app.get_job(held)
    assert (job.attempt, job.record.crashes) == (2, 1)
    assert outcomes(app, held) == ["hung", "completed"]


def test_a_stopped_worker_without_a_lease_is_never_robbed(app: Liteq, folder: Path) -> None:
    held = enqueue(app, "hold", mark="held", seconds=2)
    with lone_worker(folder) as slow:
        until(lambda: lines(folder / "held"))
        os.kill(slow.pid, signal.SIGSTOP)
        with lone_worker(folder, LEASE="1"):
            others = [enqueue(app, "quick", n=n) for n in range(3)]
            until(lambda: all(state(app, one) is State.COMPLETED for one in others))
            assert app.get_job(held).attempt == 1
            os.kill(slow.pid, signal.SIGCONT)
            until(lambda: state(app, held) is State.COMPLETED)

    assert outcomes(app, held) == []


def test_a_stopped_worker_of_a_supervisors_is_killed_and_taken_over(app: Liteq, fleet: Fleet, folder: Path) -> None:
    held = enqueue(app, "hold", mark="held", seconds=3)
    with fleet("--processes", "2", "--lease", "1s"):
        until(lambda: lines(folder / "held"))
        hung = int(lines(folder / "held")[0])
        os.kill(hung, signal.SIGSTOP)
        until(lambda: len(lines(folder / "held")) == 2)
        assert gone(hung)
        until(lambda: state(app, held) is State.COMPLETED)

    assert outcomes(app, held) == ["hung", "completed"]
    assert (app.get_job(held).attempts[0].error or "").startswith("its worker hung: no beat for")


def test_a_killed_workers_command_does_not_run_on(app: Liteq, fleet: Fleet, folder: Path) -> None:
    held = app.enqueue(app.command("echo $$ >> shells; exec sleep 60"))
    with fleet("--lease", "1s"):
        until(lambda: lines(folder / "shells"))
        os.kill(workers(app)[0].pid, signal.SIGSTOP)
        until(lambda: len(lines(folder / "shells")) == 2)
        first, second = map(int, lines(folder / "shells"))
        assert gone(first)
        assert not gone(second)

    assert held.refresh().attempts[0].outcome == "hung"


def test_what_a_hung_worker_has_forked_ends_with_it(app: Liteq, fleet: Fleet, folder: Path) -> None:
    enqueue(app, "fork_and_hold", mark="forked")
    with fleet("--lease", "1s"):
        until(lambda: lines(folder / "forked"))
        parent, child = map(int, lines(folder / "forked")[0].split())
        os.kill(parent, signal.SIGSTOP)
        until(lambda: len(lines(folder / "forked")) == 2)
        assert gone(child)


def test_workers_that_came_after_the_folder_of_locks_was_deleted_are_watched_too(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    with fleet("--lease", "1s"):
        until(lambda: workers(app))
        (first,) = workers(app)
        shutil.rmtree(folder / "jobs.db-liteq")
        until(lambda: any(one.pid != first.pid for one in workers(app)))
        enqueue(app, "hold", mark="held", seconds=60)
        until(lambda: lines(folder / "held"))
        stopped = int(lines(folder / "held")[0])
        os.kill(stopped, signal.SIGSTOP)
        until(lambda: len(lines(folder / "held")) == 2)

        assert gone(stopped)


@pytest.mark.parametrize("task", ["spin", "in_c", "in_c_with_gil", "block_loop"])
def test_a_task_that_never_ends_is_timed_out_and_its_neighbours_go_unharmed(
    app: Liteq, fleet: Fleet, folder: Path, task: str
) -> None:
    with fleet("--threads", "2", "--kill-after", "300ms", "--grace", "3s"):
        beside = enqueue(app, "hold", mark="beside", seconds=1.5)
        until(lambda: lines(folder / "beside"))
        late = enqueue(app, task, timeout=0.3, max_failures=2)
        until(lambda: lines(folder / f"{task}1"))
        first = int(lines(folder / f"{task}1")[0])
        assert first == int(lines(folder / "beside")[0])
        until(lambda: lines(folder / f"{task}2"))
        # No job has two attempts at once: the second begins when the process of the first is gone, if it had to go.
        assert gone(first) or first == int(lines(folder / f"{task}2")[0])
        until(lambda: state(app, late) is State.DEAD)
        until(lambda: state(app, beside) is State.COMPLETED)

    assert outcomes(app, late) == ["timed out", "timed out"]
    assert (app.get_job(late).failures, app.get_job(late).record.crashes) == (2, 0)
    assert (app.get_job(beside).failures, app.get_job(beside).record.crashes) == (0, 0)
    assert set(outcomes(app, beside)) <= {"released", "completed"}


def test_a_hard_cancel_stops_what_does_not_listen_with_its_process(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--threads", "2", "--kill-after", "200ms", "--grace", "3s"):
        beside = enqueue(app, "hold", mark="beside", seconds=1)
        deaf = enqueue(app, "in_c")
        until((folder / "in_c1").exists)
        app.cancel(deaf, reason="enough", hard=True)
        until(lambda: state(app, deaf) is State.CANCELLED)
        until(lambda: state(app, beside) is State.COMPLETED)

    assert (outcomes(app, deaf), app.get_job(deaf).reason) == (["aborted"], "enough")
    assert app.get_job(beside).failures + app.get_job(beside).record.crashes == 0


def nothing() -> None: ...


def test_a_process_that_is_not_ours_loses_a_slot_and_is_not_ended(app: Liteq) -> None:
    ended: list[str] = []

    def stay() -> None:
        until(lambda: ended)

    task = app.task(name="stay", timeout=0.2)(stay)
    mate = app.task(name="mate")(nothing)
    late = task.enqueue()
    worker = app.new_worker(WorkSettings(threads=2, kill_after_ms=100))
    worker.start()
    try:
        until(lambda: late.refresh().record.overdue_attempt == 1)
        after = mate.enqueue()
        assert after.wait(timeout=20).state is State.COMPLETED
        assert late.refresh().state is State.RUNNING
        ended.append("now")
        until(lambda: late.refresh().state is not State.RUNNING)
    finally:
        ended.append("now")
        worker.stop()
        worker.join()

    assert late.attempts[0].outcome == "timed out"
