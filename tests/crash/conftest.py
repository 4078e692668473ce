"""A crew of tasks that misbehave, and fleets of real processes that run them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest

from liteq import Liteq, State
from liteq.model.fleet import WorkerRecord
from liteq.model.job import NewJob
from liteq.model.payload import crc, encode

TASKS = """
import ctypes, fcntl, os, signal, sys, threading, time
from pathlib import Path
from liteq import JobContext, Liteq, Retry

app = Liteq("jobs.db", durability="normal", lease=float(os.environ["LEASE"]) if "LEASE" in os.environ else None)

@app.task
def quick(n: int) -> int:
    return n

@app.task
def note(n: int) -> None:
    with open("noted", "a") as file:
        file.write(f"{n}\\n")
    time.sleep(0.005)

@app.task
def hold(ctx: JobContext, mark: str, seconds: float) -> str:
    with open(mark, "a") as file:
        file.write(f"{os.getpid()}\\n")
    end = time.monotonic() + seconds
    while time.monotonic() < end and not ctx.lost:
        time.sleep(0.01)
    if ctx.lost:
        Path(mark + ".lost").write_text(str(os.getpid()))
    return mark

@app.task
def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)

@app.task
def spin(ctx: JobContext) -> None:
    Path(f"spin{ctx.attempt}").write_text(str(os.getpid()))
    while True:
        pass

def lock_twice(libc):
    # Unlike a sleep, no signal ends the wait for a mutex.
    mutex = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)

@app.task
def in_c(ctx: JobContext) -> None:
    Path(f"in_c{ctx.attempt}").write_text(str(os.getpid()))
    lock_twice(ctypes.CDLL(None))

@app.task
def in_c_with_gil(ctx: JobContext) -> None:
    Path(f"in_c_with_gil{ctx.attempt}").write_text(str(os.getpid()))
    lock_twice(ctypes.PyDLL(None))

@app.task
async def block_loop(ctx: JobContext) -> None:
    Path(f"block_loop{ctx.attempt}").write_text(str(os.getpid()))
    time.sleep(1000)

@app.task
def fork_and_hold(mark: str) -> None:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    with open(mark, "a") as file:
        file.write(f"{os.getpid()} {child}\\n")
    time.sleep(60)

@app.task
def leave_orphan() -> None:
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            time.sleep(0.3)
            with open("orphans", "a") as file:
                file.write("here\\n")
        os._exit(0)
    os.waitpid(child, 0)

@app.task
def in_slot(name: str, seconds: float) -> None:
    for slot in range(3):
        with open(f"{name}.{slot}", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            with open(f"{name}.slots", "a") as slots:
                slots.write(f"{slot}\\n")
            time.sleep(seconds)
            return
    with open(f"{name}.slots", "a") as slots:
        slots.write("over\\n")

@app.task
def exit_with(code: int) -> None:
    os._exit(code)

@app.task
def fork_and_return() -> str:
    return "child" if os.fork() == 0 else "parent"

@app.task
def take_alarm() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)

@app.task
def leave_thread() -> None:
    threading.Thread(target=time.sleep, args=(1000,)).start()

@app.task
def become_sleep() -> None:
    Path("become").write_text(str(os.getpid()))
    os.execvp("sleep", ["sleep", "1000"])

@app.task
def grow(megabytes: int) -> None:
    global kept
    kept = bytearray(os.urandom(1)) * (megabytes * 2**20)

if __name__ == "__main__":
    app.work(threads=2 if "two" in sys.argv else 1, scheduler=False)
"""

Fleet = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


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


@pytest.fixture
def fleet(folder: Path) -> Fleet:
    """Give a function that runs ``liteq work`` with more words, as a context; nothing of it is left behind."""

    @contextmanager
    def run(*words: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
        command = [sys.executable, "-m", "liteq_cli", "--app", "crew:app", "work", "--no-scheduler", *words]
        with _running(command, folder, environment) as process:
            yield process

    return run


@contextmanager
def lone_worker(folder: Path, *words: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a worker without a supervisor."""
    with _running([sys.executable, "crew.py", *words], folder, environment) as process:
        yield process


@contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    # Into a file: a pipe would be held open by whatever the test leaves behind on purpose.
    with (folder / "said").open("a") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            text=True,
            env=os.environ | environment,
        )
    try:
        yield process
    finally:
        family = [process.pid, *(child.pid for child in _children(process.pid))]
        for pid in family:
            kill(pid)
        process.wait()


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def kill(pid: int) -> None:
    """Kill a process that this test has started; one that is gone is fine."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def gone(pid: int) -> bool:
    """Tell whether a process has ended, reaped or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def enqueue(
    app: Liteq, name: str, *, timeout: float | None = None, max_failures: int = 1, max_crashes: int = 2, **args: object
) -> int:
    """Enqueue a task of the crew by an app that knows only its name."""
    data = encode(args, what="args", max_bytes=1000)
    new = NewJob(
        task=f"crew.{name}",
        queue="default",
        args=data,
        args_crc=crc(data),
        run_at=0,
        priority=0,
        max_failures=max_failures,
        max_crashes=max_crashes,
        timeout_ms=None if timeout is None else round(timeout * 1000),
    )
    return app.engine.enqueue([new], now=app.clock.now_ms())[0].job_id


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not happen in time; said: {_said()}"
        time.sleep(0.01)


def _said() -> str:
    path = Path("said")
    return path.read_text() if path.exists() else ""


def lines(path: Path) -> list[str]:
    """Give the whole lines that were written so far."""
    return path.read_text().splitlines() if path.exists() else []


def state(app: Liteq, job_id: int) -> State:
    return app.get_job(job_id).state


def outcomes(app: Liteq, job_id: int) -> list[str]:
    return [attempt.outcome.value for attempt in app.get_job(job_id).attempts]


def workers(app: Liteq) -> list[WorkerRecord]:
    """Give the living workers."""
    return [worker for worker in app.engine.workers() if worker.alive]
