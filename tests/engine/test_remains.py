"""What dead and orphaned workers leave running is ended before their jobs are taken; and deaths are heard of."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from liteq.model.fleet import Death, WorkerCard
from liteq.model.transitions import Outcome, State
from liteq.store.engine import Engine, Slate
from tests.engine.conftest import OpenEngine
from tests.engine.steps import NOW, claim_one, die, enqueue_one, record, register, state_of

LEASE = 5_000
BEAT = 1_000_000

WORKER = """
import sys, time
from pathlib import Path
from liteq.model.fleet import WorkerCard
from liteq.store.sqlite.engine import SqliteEngine
engine = SqliteEngine(Path(sys.argv[1]), full=False)
boss = int(sys.argv[2]) or None
card = WorkerCard(name="other", tasks=("task",), queues=None, slots=1, lease_ms=5000, supervisor_pid=boss)
slate = engine.register_worker(card, now=1)
slate.beat(1_000_000)
(claim,) = engine.claim(worker_id=slate.worker_id, queues=None, tasks=("task",), limit=1, now=2_000_000_000_000)
slate.start(0, claim.job_id, claim.attempt, 1)
print(slate.worker_id, flush=True)
time.sleep(600)
"""


@contextmanager
def sleeper(**environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command in a process group of its own, as jobs do."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True, env=os.environ | environment) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def other_worker(engine: Engine, *, supervisor_pid: int = 0) -> Iterator["subprocess.Popen[str]"]:
    """Have a worker in a process of its own run one job."""
    command = [sys.executable, "-c", WORKER, engine.file_facts().path, str(supervisor_pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def begin(engine: Engine, worker: Slate) -> int:
    job_id = enqueue_one(engine)
    claim = claim_one(engine, worker_id=worker.worker_id)
    worker.start(0, job_id, claim.attempt, NOW)
    return job_id


def test_the_command_of_a_dead_worker_is_ended(engine: Engine) -> None:
    worker = register(engine)
    begin(engine, worker)
    with sleeper() as command:
        worker.command(0, command.pid)
        die(worker)

        assert len(engine.expire(now=NOW)) == 1

        assert command.wait(10) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="by /proc")
def test_a_command_whose_worker_died_before_it_knew_the_group_is_ended_by_its_mark(engine: Engine) -> None:
    worker = register(engine)
    job_id = begin(engine, worker)
    mark = worker.run_mark(job_id, 1)
    others = [worker.run_mark(job_id, 2), worker.run_mark(job_id + 1, 1), mark + "1"]
    with ExitStack() as stack:
        innocent = [stack.enter_context(sleeper(LITEQ_RUN=other)) for other in others]
        command = stack.enter_context(sleeper(LITEQ_RUN=mark))
        worker.command(0, -1)
        die(worker)

        assert len(engine.expire(now=NOW)) == 1

        assert command.wait(10) == -signal.SIGKILL
        assert [one.poll() for one in innocent] == [None] * 3


def test_a_process_that_only_has_the_number_of_a_command_is_left_alone(engine: Engine) -> None:
    worker = register(engine)
    begin(engine, worker)
    with sleeper() as ended:
        worker.command(0, ended.pid)
        (started,) = engine.workers()[0].started
        ended.kill()
        ended.wait()
    assert started.group_start > 0
    with sleeper() as innocent:
        worker.start(0, started.job_id, started.attempt, NOW)
        worker.command(0, 2**22 + 7)
        die(worker)

        assert len(engine.expire(now=NOW)) == 1

        assert innocent.poll() is None


def test_what_is_cleared_from_the_slate_is_not_ended(engine: Engine) -> None:
    worker = register(engine)
    begin(engine, worker)
    with sleeper() as left_behind:
        worker.command(0, left_behind.pid)
        worker.clear(0)
        die(worker)

        engine.expire(now=NOW)

        assert left_behind.poll() is None


def test_a_hung_worker_is_killed_once_its_supervisor_is_dead(engine: Engine) -> None:
    job_id = enqueue_one(engine)
    boss = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with other_worker(engine, supervisor_pid=boss.pid) as other:
        assert engine.expire(now=NOW, monotonic=BEAT + 100 * LEASE) == []
        boss.communicate()
        assert engine.expire(now=NOW, monotonic=BEAT + LEASE) == []
        assert other.poll() is None

        assert engine.expire(now=NOW, monotonic=BEAT + LEASE + 1) == []
        assert other.wait(10) == -signal.SIGKILL
        (taken,) = engine.expire(now=NOW, monotonic=BEAT + LEASE + 1)

    assert (taken.job_id, taken.charged) == (job_id, True)
    assert (state_of(engine, job_id), engine.attempts(job_id)[0].outcome) == (State.READY, Outcome.HUNG)


def test_the_death_of_another_process_charges_no_namesake(engine: Engine) -> None:
    worker = register(engine)
    job_id = begin(engine, worker)

    seen = Death(cause="killed by SIGKILL", pid=os.getpid() + 1)
    assert engine.expire(now=NOW, causes={worker.worker_id: seen}) == []

    assert record(engine, job_id).owner == worker.worker_id


def test_an_unsure_death_is_charged_unless_a_job_was_past_its_time(engine: Engine) -> None:
    for overdue in (False, True):
        worker = register(engine)
        beside = begin(engine, worker)
        late = enqueue_one(engine)
        claim = claim_one(engine, worker_id=worker.worker_id)
        worker.start(1, late, claim.attempt, NOW)
        if overdue:
            engine.time_out(job_id=late, attempt=claim.attempt, worker_id=worker.worker_id)
        die(worker)

        engine.expire(now=NOW, causes={worker.worker_id: Death(cause="exit code 124", exit_code=124, unsure=True)})

        assert record(engine, beside).crashes == int(not overdue)
        engine.cancel([beside, late], reason="enough", now=NOW)


@pytest.mark.skipif(sys.platform != "linux", reason="by pidfd")
def test_the_death_of_another_worker_ends_the_wait(engine: Engine) -> None:
    enqueue_one(engine)
    with other_worker(engine) as other:
        engine.expire(now=NOW)
        watch = engine.watch_deaths()
        try:
            assert not watch.wait(1)
            other.kill()
            assert watch.wait(20_000)
            assert len(engine.expire(now=NOW)) == 1
            assert not watch.wait(1)
        finally:
            watch.close()


@pytest.mark.skipif(sys.platform != "linux", reason="by pidfd")
def test_of_a_supervised_worker_the_supervisors_death_is_heard(engine: Engine) -> None:
    enqueue_one(engine)
    boss = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with other_worker(engine, supervisor_pid=boss.pid):
        engine.expire(now=NOW)
        watch = engine.watch_deaths()
        try:
            assert not watch.wait(1)
            boss.communicate()
            assert watch.wait(20_000)
        finally:
            watch.close()


def test_a_wait_for_deaths_ends_when_called_or_when_a_line_speaks(engine: Engine) -> None:
    watch = engine.watch_deaths()
    read, write = os.pipe()
    try:
        watch.wake()
        assert watch.wait(20_000)
        os.write(write, b"x")
        assert not watch.wait(20_000, also=read)
        caller = threading.Timer(0.05, watch.wake)
        caller.start()
        begun = time.monotonic()
        assert watch.wait(20_000)
        assert time.monotonic() - begun < 10
        caller.join()
    finally:
        watch.close()
        os.close(read)
        os.close(write)
    watch.close()


def test_who_cannot_be_heard_is_looked_at_more_often(engine: Engine, open_engine: OpenEngine) -> None:
    watch = engine.watch_deaths()
    try:
        usual = watch.look_again_ms()
        card = WorkerCard(name="leased", tasks=("task",), queues=None, slots=1, lease_ms=LEASE)
        open_engine().register_worker(card, now=NOW)
        engine.expire(now=NOW)
        assert watch.look_again_ms() < usual
    finally:
        watch.close()


def test_a_file_that_was_removed_is_no_longer_intact(engine: Engine) -> None:
    assert engine.intact()

    os.unlink(engine.file_facts().path)  # noqa: PTH108  the engine gives it as text

    assert not engine.intact()
