"""Workers as real processes: killed, told to stop, run into their limits."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from liteq import Liteq, Retry, State
from liteq.model.job import NewJob
from liteq.model.payload import crc, encode

TASKS = """
import os, signal, time
from pathlib import Path
from liteq import JobContext, Liteq, Retry

app = Liteq("jobs.db", durability="normal")

@app.task
def quick(n: int) -> int:
    return n

@app.task(retry=Retry.never())
def hold(mark: str, seconds: float) -> str:
    Path(mark).write_text(str(os.getpid()))
    time.sleep(seconds)
    return mark

@app.task(retry=Retry.never())
def poison() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

@app.task(retry=Retry.never(), timeout=0.3)
def spin() -> None:
    while True:
        pass

@app.task(retry=Retry.never(), timeout=0.3)
def polite(ctx: JobContext) -> str:
    while not ctx.cancelled:
        time.sleep(0.01)
    return "saw it"

@app.task(retry=Retry.never())
def until_cancelled(ctx: JobContext, mark: str) -> None:
    Path(mark).write_text("here")
    while not ctx.cancelled:
        time.sleep(0.01)

@app.task(retry=Retry.never(), timeout=0.2)
async def dawdle() -> None:
    import asyncio
    await asyncio.sleep(60)

if __name__ == "__main__":
    import sys
    app.work(burst="burst" in sys.argv, threads=4 if "four" in sys.argv else 1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "crew.py").write_text(TASKS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def app(folder: Path) -> Iterator[Liteq]:
    with Liteq(folder / "jobs.db", durability="normal") as app:
        app.engine.queues()
        yield app


@contextmanager
def worker(folder: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "crew.py", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def enqueue(app: Liteq, name: str, **args: object) -> int:
    """Enqueue a task of the crew by an app that knows only its name."""
    data = encode(args, what="args", max_bytes=1000)
    timeout = {"spin": 300, "polite": 300, "dawdle": 200}.get(name)
    new = NewJob(
        task=f"crew.{name}",
        queue="default",
        args=data,
        args_crc=crc(data),
        run_at=0,
        priority=0,
        max_failures=1,
        max_crashes=2,
        timeout_ms=timeout,
    )
    return app.engine.enqueue([new], now=app.clock.now_ms())[0].job_id


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def state(app: Liteq, job_id: int) -> State:
    return app.get_job(job_id).state


def test_a_killed_workers_job_starts_again_and_its_batch_mates_are_not_charged(app: Liteq, folder: Path) -> None:
    held = enqueue(app, "hold", mark="first", seconds=60)
    mates = [enqueue(app, "quick", n=n) for n in range(20)]

    with worker(folder) as doomed:
        until(lambda: (folder / "first").exists() and (folder / "first").read_text() != "")
        with worker(folder) as heir:
            until(lambda: len([one for one in app.stats().workers if one.alive]) == 2)
            (folder / "first").unlink()
            os.kill(doomed.pid, signal.SIGKILL)
            until(lambda: (folder / "first").exists() and (folder / "first").read_text() == str(heir.pid))
            until(lambda: all(state(app, mate) is State.COMPLETED for mate in mates))

    job = app.get_job(held)
    assert (job.attempt, job.record.crashes, job.failures) == (2, 1, 0)
    assert [app.get_job(mate).record.crashes for mate in mates] == [0] * 20
    assert job.attempts[0].outcome == "crashed"


def test_a_job_that_kills_its_workers_is_dead_after_max_crashes(app: Liteq, folder: Path) -> None:
    poison = enqueue(app, "poison")
    innocent = [enqueue(app, "quick", n=n) for n in range(10)]

    for _ in range(8):
        subprocess.run([sys.executable, "crew.py", "burst"], cwd=folder, check=False, capture_output=True)
        app.engine.expire(now=app.clock.now_ms())
        if state(app, poison) is State.DEAD:
            break
    subprocess.run([sys.executable, "crew.py", "burst"], cwd=folder, check=True, capture_output=True)

    assert (app.get_job(poison).reason or "").startswith("poison: it crashed 2 workers")
    assert {state(app, one) for one in innocent} == {State.COMPLETED}


@pytest.mark.parametrize("words", [(), ("four",)])
def test_the_first_signal_lets_the_running_job_finish(app: Liteq, folder: Path, words: tuple[str, ...]) -> None:
    held = enqueue(app, "hold", mark="mark", seconds=0.7)

    with worker(folder, *words) as process:
        until((folder / "mark").exists)
        process.send_signal(signal.SIGTERM)
        process.wait(20)

    assert process.returncode == 0
    assert state(app, held) is State.COMPLETED
    assert app.stats().workers == []


@pytest.mark.parametrize("words", [(), ("four",)])
def test_the_second_signal_gives_the_running_job_back_unharmed(
    app: Liteq, folder: Path, words: tuple[str, ...]
) -> None:
    held = enqueue(app, "hold", mark="mark", seconds=60)

    with worker(folder, *words) as process:
        until((folder / "mark").exists)
        # Two alike that are pending would be one.
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        process.wait(20)

    assert process.returncode == 0
    job = app.get_job(held)
    assert (job.state, job.failures, job.record.crashes) == (State.READY, 0, 0)
    assert job.attempts[0].outcome == "released"


def test_an_idle_worker_leaves_at_the_first_signal(app: Liteq, folder: Path) -> None:
    with worker(folder) as process:
        until(lambda: len(app.stats().workers) == 1)
        process.send_signal(signal.SIGINT)
        process.wait(20)

    assert process.returncode == 0
    assert app.stats().workers == []


@pytest.mark.parametrize(("name", "words"), [("spin", ()), ("polite", ("four",)), ("dawdle", ())])
def test_a_job_past_its_time_limit_is_recorded_as_timed_out(
    app: Liteq, folder: Path, name: str, words: tuple[str, ...]
) -> None:
    late, after = enqueue(app, name), enqueue(app, "quick", n=1)

    subprocess.run([sys.executable, "crew.py", "burst", *words], cwd=folder, check=True, timeout=60)

    assert app.get_job(late).attempts[0].outcome == "timed out"
    assert state(app, late) is State.DEAD
    assert state(app, after) is State.COMPLETED


def test_a_running_job_that_was_asked_to_stop_is_aborted(app: Liteq, folder: Path) -> None:
    job_id = enqueue(app, "until_cancelled", mark="mark")

    with worker(folder):
        until((folder / "mark").exists)
        app.cancel(job_id, reason="enough")
        until(lambda: state(app, job_id) is State.CANCELLED)

    assert app.get_job(job_id).reason == "enough"
    assert app.get_job(job_id).attempts[0].outcome == "aborted"


def test_jobs_behind_a_long_one_are_given_back_to_other_workers(app: Liteq, folder: Path) -> None:
    for n in range(300):
        enqueue(app, "quick", n=n)
    held = enqueue(app, "hold", mark="mark", seconds=60)
    late = [enqueue(app, "quick", n=n) for n in range(50)]

    with worker(folder):
        until((folder / "mark").exists)
        with worker(folder):
            until(lambda: all(state(app, one) is State.COMPLETED for one in late))

    assert app.get_job(held).attempt >= 1


def test_a_command_keeps_its_output_and_its_exit_code(app: Liteq, folder: Path) -> None:
    good = app.enqueue(app.command("echo out; echo err >&2"))
    bad = app.enqueue(app.command(["sh", "-c", "echo no; exit 7"]))
    missing = app.enqueue(app.command(["/no/such/program"]))
    slow = app.enqueue(app.command("sleep 60"), timeout=0.3)

    app.work(burst=True)

    assert good.refresh().attempts[0].output == b"out\nerr\n"
    assert (bad.refresh().attempts[0].exit_code, bad.reason) == (7, "failed 1 of 1 times: exit code 7: no")
    assert "cannot start" in (missing.refresh().reason or "")
    assert slow.refresh().attempts[0].outcome == "timed out"


def test_a_retried_command_is_tried_again(app: Liteq, folder: Path) -> None:
    line = "test -e seen || { touch seen; exit 1; }"

    job = app.enqueue(app.command(line), retry=Retry(max_failures=2, backoff=0.01))
    app.work(burst=True)

    assert (job.refresh().state, job.failures) == (State.COMPLETED, 1)
