"""A fleet under odd conditions: nobody spins, nothing is lost for ever, no innocent pays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from liteq import Liteq, State
from liteq.clock import SystemClock
from liteq.store.engine import Engine
from liteq.worker.leash import Hello
from liteq.worker.supervisor import Supervisor, SupervisorSettings
from liteq.worker.telling import Event
from tests.crash.conftest import Fleet, enqueue, gone, kill, lines, lone_worker, outcomes, state, until, workers
from tests.crash.test_supervisor import count, events, liteq


def cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def test_while_the_first_worker_starts_the_supervisor_waits_and_does_not_spin(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    with (folder / "crew.py").open("a") as file:
        file.write("\nPath('importing').touch(); time.sleep(4)\n")
    with fleet("--processes", "3") as supervisor:
        until((folder / "importing").exists)
        before = cpu_s(supervisor.pid)
        time.sleep(2)
        spent = cpu_s(supervisor.pid) - before

    assert spent < 0.5


def test_an_app_that_ends_the_process_at_its_import_ends_the_command(app: Liteq, folder: Path) -> None:
    (folder / "wrong.py").write_text("import os; os._exit(0)")

    ended = liteq("--app", "wrong:app", "work", "--processes", "2")

    assert ended.returncode == 1


def test_a_job_that_ends_its_process_as_an_overdue_one_would_is_charged(app: Liteq, fleet: Fleet) -> None:
    poison = enqueue(app, "exit_with", code=124)
    with fleet():
        until(lambda: state(app, poison) is State.DEAD)

    assert app.get_job(poison).record.crashes == 2


def test_jobs_that_end_their_processes_in_a_row_are_followed_by_waits(app: Liteq, fleet: Fleet, folder: Path) -> None:
    jobs = [enqueue(app, "exit_with", code=0) for _ in range(3)]
    with fleet("--json"):
        until(lambda: count(folder, "waiting") >= 2)

    assert {outcome for job in jobs for outcome in outcomes(app, job)} <= {"crashed", "released"}
    assert sum(app.get_job(job).record.crashes for job in jobs) >= 2


def test_a_thread_that_a_task_left_behind_does_not_keep_its_worker(app: Liteq, fleet: Fleet, folder: Path) -> None:
    jobs = [enqueue(app, "leave_thread") for _ in range(2)]
    with fleet("--json", "--max-jobs", "1"):
        until(lambda: all(state(app, job) is State.COMPLETED for job in jobs))
        until(lambda: count(folder, "ready") == 3)

    assert [app.get_job(job).attempt for job in jobs] == [1, 1]


def test_a_burst_with_a_thread_left_behind_comes_to_its_end(app: Liteq, folder: Path) -> None:
    job = enqueue(app, "leave_thread")

    ended = liteq("--app", "crew:app", "work", "--burst", "--processes", "1")

    assert ended.returncode == 0
    assert state(app, job) is State.COMPLETED


def test_a_burst_says_by_its_exit_code_that_a_job_was_poison(app: Liteq, folder: Path) -> None:
    poison = enqueue(app, "segfault", max_crashes=1)
    ended = liteq("--app", "crew:app", "work", "--burst", "--processes", "1")

    assert state(app, poison) is State.DEAD
    assert ended.returncode == 1
    assert "1 dead" in ended.stderr or state(app, poison) is not State.DEAD


def test_a_job_that_takes_longer_than_its_workers_time_is_not_begun_again_and_again(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    held = enqueue(app, "hold", mark="held", seconds=4)
    with fleet("--json", "--max-time", "1s", "--grace", "100ms"):
        until(lambda: count(folder, "recycled") >= 1)
        until(lambda: state(app, held) is State.COMPLETED)

    assert outcomes(app, held) == []
    assert len(lines(folder / "held")) == 1


def test_a_limit_on_memory_that_the_app_alone_passes_still_lets_jobs_run(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    with fleet("--json", "--max-memory", "1M"):
        until(lambda: count(folder, "ready") == 1)
        time.sleep(2.5)
        assert count(folder, "recycled") == 0
        held = enqueue(app, "hold", mark="held", seconds=2)
        until(lambda: state(app, held) is State.COMPLETED)
        until(lambda: count(folder, "recycled") == 1)

    assert outcomes(app, held) == []


def test_two_signals_at_once_are_two(app: Liteq, fleet: Fleet, folder: Path) -> None:
    held = enqueue(app, "hold", mark="held", seconds=60)
    with fleet("--grace", "60s") as supervisor:
        until(lambda: lines(folder / "held"))
        begun = time.monotonic()
        supervisor.send_signal(signal.SIGTERM)
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(20) == 0
        assert time.monotonic() - begun < 4

    assert state(app, held) is State.READY
    assert outcomes(app, held) == ["released"]
    assert "killed" not in (folder / "said").read_text()


def test_a_task_that_becomes_another_program_is_ended_and_its_place_filled(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    lost = enqueue(app, "become_sleep")
    with fleet():
        until(lambda: lines(folder / "become"))
        asleep = int(lines(folder / "become")[0])
        after = enqueue(app, "quick", n=1)
        until(lambda: state(app, after) is State.COMPLETED)
        until(lambda: state(app, lost) is State.DEAD)
        assert gone(asleep)


def test_workers_and_supervisor_follow_a_file_that_was_replaced(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--json", "--lease", "1s", "--processes", "2"):
        until(lambda: count(folder, "ready") == 2)
        for name in ("jobs.db", "jobs.db-wal", "jobs.db-shm"):
            (folder / name).unlink(missing_ok=True)
        with Liteq(folder / "jobs.db", durability="normal") as fresh:
            done = enqueue(fresh, "quick", n=1)
            until(lambda: state(fresh, done) is State.COMPLETED)
            held = enqueue(fresh, "hold", mark="held", seconds=60)
            until(lambda: lines(folder / "held"))
            stopped = int(lines(folder / "held")[0])
            time.sleep(2.5)
            os.kill(stopped, signal.SIGSTOP)
            until(lambda: len(lines(folder / "held")) == 2)
            assert gone(stopped)
            assert outcomes(fresh, held) == ["hung"]


def test_a_hung_worker_whose_supervisor_is_dead_is_killed_and_taken_from(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    held = enqueue(app, "in_c_with_gil")
    with fleet("--lease", "1s") as supervisor:
        until((folder / "in_c_with_gil1").exists)
        (hung,) = workers(app)
        try:
            os.kill(supervisor.pid, signal.SIGKILL)
            supervisor.wait()
            with lone_worker(folder):
                until((folder / "in_c_with_gil2").exists)
                assert gone(hung.pid)
        finally:
            kill(hung.pid)

    assert outcomes(app, held) == ["hung"]
    assert app.get_job(held).record.crashes == 1


def test_a_hangup_lets_a_worker_without_a_supervisor_finish(app: Liteq, folder: Path) -> None:
    held = enqueue(app, "hold", mark="held", seconds=2)
    with lone_worker(folder) as worker:
        until(lambda: lines(folder / "held"))
        worker.send_signal(signal.SIGHUP)
        assert worker.wait(20) == 0

    assert (state(app, held), outcomes(app, held)) == (State.COMPLETED, [])


def test_a_lease_that_is_shorter_than_a_wait_for_the_file_kills_nobody(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--json", "--lease", "1s", "--threads", "2", "--kill-after", "300ms", "--grace", "10s") as judge:
        until(lambda: any(file.path.endswith("jobs.db") for file in psutil.Process(judge.pid).open_files()))
        beside = enqueue(app, "hold", mark="beside", seconds=5)
        until(lambda: lines(folder / "beside"))
        late = enqueue(app, "in_c", timeout=0.5)
        until((folder / "in_c1").exists)
        # While the side thread waits to write that the job is past its time, the worker is well.
        with app.engine.transaction():
            time.sleep(3.5)
        until(lambda: state(app, late) is State.DEAD)
        until(lambda: state(app, beside) is State.COMPLETED)

    assert count(folder, "hung") == 0
    assert (outcomes(app, late), outcomes(app, beside)) == (["timed out"], [])


def test_workers_with_nothing_to_do_are_spared(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--json", "--autoscale", "1:3", "--spare-after", "1s"):
        until(lambda: count(folder, "ready") == 1)
        jobs = [enqueue(app, "hold", mark=f"held{n}", seconds=8) for n in range(3)]
        until(lambda: all(lines(folder / f"held{n}") for n in range(3)))
        assert len(workers(app)) == 3
        until(lambda: all(state(app, job) is State.COMPLETED for job in jobs))
        until(lambda: len(workers(app)) == 1)
        time.sleep(1.5)
        assert len(workers(app)) == 1
        after = enqueue(app, "quick", n=1)
        until(lambda: state(app, after) is State.COMPLETED)

    assert count(folder, "spared") == 2
    assert [outcomes(app, job) for job in jobs] == [[]] * 3


def test_a_wrong_line_in_the_app_leaves_the_other_workers_as_they_are_until_it_is_put_right(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    right = (folder / "crew.py").read_text()
    with fleet("--json", "--reload", "--processes", "2"):
        until(lambda: count(folder, "ready") == 2)
        (folder / "crew.py").write_text(right + "\nthis is no Python\n")
        until(lambda: count(folder, "waiting") >= 1)
        job = enqueue(app, "quick", n=1)
        until(lambda: state(app, job) is State.COMPLETED)
        (folder / "crew.py").write_text(right + "\n@app.task\ndef newest() -> None: ...\n")
        newest = enqueue(app, "newest")
        until(lambda: state(app, newest) is State.COMPLETED)

    assert [app.get_job(one).attempt for one in (job, newest)] == [1, 1]


def test_a_reader_of_the_events_that_goes_away_stops_the_fleet_in_order(app: Liteq, folder: Path) -> None:
    held = enqueue(app, "hold", mark="held", seconds=2)
    command = [sys.executable, "-m", "liteq_cli", "--app", "crew:app", "--json", "work", "--no-scheduler"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        until(lambda: lines(folder / "held"))
        (worker,) = workers(app)
        process.stdout.close()
        os.kill(process.pid, signal.SIGHUP)
        until(lambda: process.poll() is not None)

    assert gone(worker.pid)
    assert state(app, held) is State.COMPLETED


def test_the_child_of_a_task_that_forked_and_returned_is_no_worker(app: Liteq, fleet: Fleet, folder: Path) -> None:
    jobs = [enqueue(app, "fork_and_return") for _ in range(3)]
    with fleet():
        until(lambda: all(state(app, job) is State.COMPLETED for job in jobs))
        (worker,) = workers(app)
        until(lambda: not [one for one in psutil.Process(worker.pid).children() if not gone(one.pid)])

    assert [app.get_job(job).record.result for job in jobs] == [b'"parent"'] * 3
    assert "ERROR" not in (folder / "said").read_text()


def test_a_task_that_took_the_alarm_costs_the_next_one_nothing(app: Liteq, fleet: Fleet) -> None:
    enqueue(app, "take_alarm")
    late = enqueue(app, "spin", timeout=0.2)
    with fleet():
        until(lambda: state(app, late) is State.DEAD)

    assert outcomes(app, late) == ["timed out"]


def test_a_process_that_does_not_become_ready_is_killed_and_tried_again() -> None:
    told: list[Event] = []

    def tell(event: Event) -> None:
        told.append(event)
        if event.event == "waiting":
            os.kill(os.getpid(), signal.SIGTERM)

    settings = SupervisorSettings(start_ms=300)
    code = Supervisor(["sh", "-c", "exec sleep 600"], never_opened, SystemClock(), settings, tell).run()

    assert code == 0
    assert [one.event for one in told] == [
        "started",
        "hung",
        "ended",
        "started",
        "hung",
        "ended",
        "waiting",
        "stopping",
    ]


def never_opened(hello: Hello) -> Engine:
    raise AssertionError(hello)


@pytest.mark.parametrize("how", ["worker", "claims"])
def test_a_worker_inside_another_program_is_not_stopped_with_that_program(app: Liteq, folder: Path, how: str) -> None:
    with app.worker(scheduler=False) if how == "worker" else app.claims(tasks=["x"], wait=False):
        (record,) = workers(app)
        refused = liteq("--file", "jobs.db", "worker", "stop", str(record.id))

    assert refused.returncode == 1
    assert "another program" in refused.stderr


def test_the_events_name_who_was_meant(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--json"):
        until(lambda: count(folder, "ready") == 1)

    (ready,) = [one for one in events(folder) if one["event"] == "ready"]
    assert ready["worker_id"] == 1
