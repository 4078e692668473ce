"""Workers that die: whatever ends them, their jobs run again, and only those that had started are charged."""

import os
import shutil
import signal
from pathlib import Path

from liteq import Liteq, State
from tests.crash.conftest import Fleet, enqueue, gone, kill, lines, lone_worker, outcomes, state, until, workers


def test_another_worker_starts_the_job_of_a_killed_one(app: Liteq, fleet: Fleet, folder: Path) -> None:
    with fleet("--processes", "2"):
        until(lambda: len(workers(app)) == 2)
        held = enqueue(app, "hold", mark="held", seconds=60)
        until(lambda: lines(folder / "held"))
        victim = int(lines(folder / "held")[0])
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(lines(folder / "held")) == 2)
        until(lambda: len(workers(app)) == 2)

    assert int(lines(folder / "held")[1]) != victim
    job = app.get_job(held)
    assert (job.record.crashes, job.failures) == (1, 0)
    (crash,) = job.attempts
    assert (crash.outcome, crash.error, crash.exit_code) == ("crashed", "its worker was killed by SIGKILL", -9)


def test_a_job_that_kills_its_workers_is_dead_with_the_signal_named(app: Liteq, fleet: Fleet) -> None:
    poison = enqueue(app, "segfault")
    innocent = [enqueue(app, "quick", n=n) for n in range(20)]

    with fleet("--processes", "2"):
        until(lambda: state(app, poison) is State.DEAD)
        until(lambda: all(state(app, one) is State.COMPLETED for one in innocent))

    assert app.get_job(poison).reason == (
        "poison: it crashed 2 workers, the last because its worker was killed by SIGSEGV"
    )
    assert [app.get_job(one).record.crashes for one in innocent] == [0] * 20


def test_a_forked_child_does_not_keep_its_dead_parent_alive(app: Liteq, fleet: Fleet, folder: Path) -> None:
    enqueue(app, "fork_and_hold", mark="forked")
    children: list[int] = []
    try:
        with fleet("--processes", "2"):
            until(lambda: lines(folder / "forked"))
            parent, child = map(int, lines(folder / "forked")[0].split())
            children.append(child)
            os.kill(parent, signal.SIGKILL)
            until(lambda: len(lines(folder / "forked")) == 2)
            children.append(int(lines(folder / "forked")[1].split()[1]))
            assert not gone(child)
    finally:
        for child in children:
            kill(child)


def test_the_workers_of_a_killed_supervisor_finish_and_leave(app: Liteq, fleet: Fleet, folder: Path) -> None:
    held = enqueue(app, "hold", mark="held", seconds=1.5)
    with fleet("--processes", "2") as supervisor:
        until(lambda: lines(folder / "held") and len(workers(app)) == 2)
        orphans = [worker.pid for worker in workers(app)]
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
        until(lambda: all(gone(pid) for pid in orphans))

    assert state(app, held) is State.COMPLETED
    assert outcomes(app, held) == []
    assert len(lines(folder / "held")) == 1
    assert workers(app) == []


def test_jobs_outlive_the_death_of_all(app: Liteq, fleet: Fleet, folder: Path) -> None:
    held = enqueue(app, "hold", mark="held", seconds=60)
    with fleet() as supervisor:
        until(lambda: lines(folder / "held"))
        (worker,) = workers(app)
        os.kill(supervisor.pid, signal.SIGKILL)
        os.kill(worker.pid, signal.SIGKILL)
        supervisor.wait()

    with fleet():
        until(lambda: len(lines(folder / "held")) == 2)
    assert app.get_job(held).record.crashes == 1


def test_with_the_folder_of_locks_deleted_nobody_is_robbed_and_nothing_doubled(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    held = enqueue(app, "hold", mark="held", seconds=3)
    with fleet("--processes", "2"), lone_worker(folder):
        until(lambda: len(workers(app)) == 3 and lines(folder / "held"))
        before = {worker.pid for worker in workers(app)}
        for n in range(300):
            enqueue(app, "note", n=n)
        shutil.rmtree(folder / "jobs.db-liteq")
        until(lambda: state(app, held) is State.COMPLETED)
        # Those whose locks are gone leave; the supervisor starts others in their place.
        until(lambda: len({worker.pid for worker in workers(app)} - before) == 2, 60)
        until(lambda: app.count_jobs(state="completed") == 301, 60)

    assert sorted(map(int, lines(folder / "noted"))) == list(range(300))
    assert len(lines(folder / "held")) == 1
    assert outcomes(app, held) == []


def test_told_to_stop_under_load_no_attempt_is_burnt(app: Liteq, fleet: Fleet, folder: Path) -> None:
    jobs = [enqueue(app, "note", n=n) for n in range(2_000)]
    with fleet("--processes", "2", "--threads", "2", "--grace", "5s") as supervisor:
        until(lambda: len(lines(folder / "noted")) > 50)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(15) == 0

    done = [int(line) for line in lines(folder / "noted")]
    assert len(done) == len(set(done)) == app.count_jobs(state="completed")
    assert app.count_jobs(state="ready") == len(jobs) - len(done)
    assert [app.get_job(one).failures + app.get_job(one).record.crashes for one in jobs[::50]] == [0] * 40
    assert workers(app) == []


def test_what_does_not_stop_in_its_grace_is_given_back_unharmed(app: Liteq, fleet: Fleet, folder: Path) -> None:
    held = enqueue(app, "in_c")
    with fleet("--grace", "300ms") as supervisor:
        until((folder / "in_c1").exists)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(20) == 0

    job = app.get_job(held)
    assert (job.state, job.failures, job.record.crashes) == (State.READY, 0, 0)
    assert outcomes(app, held) == ["released"]
