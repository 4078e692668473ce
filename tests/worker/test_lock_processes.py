"""Named locks between processes that are killed, stopped and forked."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from liteq import Liteq, LockTimeout, State

HOLDER = """
import os, sys, time
from pathlib import Path
from liteq import Liteq

name, mark, forks = sys.argv[1], Path(sys.argv[2]), "--fork" in sys.argv
with Liteq("jobs.db", durability="normal") as app, app.lock(name) as lock:
    if forks and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    mark.write_text(str(lock.token))
    sys.stdin.read()
"""

COUNTER = """
import sys
from pathlib import Path
from liteq import Liteq

counter = Path("counter")
with Liteq("jobs.db", durability="normal") as app:
    for _ in range(int(sys.argv[1])):
        with app.lock("counter") as lock:
            was = int(counter.read_text())
            # Written in two steps: a second writer between them would leave half a number.
            counter.write_text("")
            counter.write_text(str(was + 1))
            lock.check()
            with open("tokens", "a") as tokens:
                tokens.write(f"{lock.token}\\n")
"""

CREW = """
import os, signal
from liteq import JobContext, Liteq

app = Liteq("jobs.db", durability="normal")

@app.task(name="nightly")
def nightly(ctx: JobContext) -> int:
    with ctx.lock("nightly", timeout=20) as lock:
        if ctx.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return lock.token

if __name__ == "__main__":
    app.work(burst=True)
"""

OWN_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
HAS_NAMESPACES = (
    shutil.which("unshare")
    and not subprocess.run([*OWN_NAMESPACE, "true"], check=False, capture_output=True).returncode
)

Holder = subprocess.Popen[bytes]


@pytest.fixture
def locking_app(tmp_path: Path) -> Iterator[Liteq]:
    with Liteq(tmp_path / "jobs.db", durability="normal") as app:
        yield app


@contextmanager
def holder(folder: Path, name: str, *flags: str, mark: str = "mark", inside: tuple[str, ...] = ()) -> Iterator[Holder]:
    """Run a process that wants the lock and keeps it until its input ends; it leaves a mark once it holds it."""
    argv = [*inside, sys.executable, "-c", HOLDER, name, mark, *flags]
    with subprocess.Popen(argv, cwd=folder, stdin=subprocess.PIPE, process_group=0) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(fact: Path) -> None:
    end = time.monotonic() + 30
    while not fact.exists():
        assert time.monotonic() < end, fact
        time.sleep(0.002)


def wait_for_line(app: Liteq, name: str, waiting: int) -> None:
    end = time.monotonic() + 30
    while (found := app.engine.get_lock(name)) is None or found.waiting != waiting:
        assert time.monotonic() < end, found
        time.sleep(0.002)


@pytest.mark.parametrize("flags", [(), ("--fork",)])
def test_a_killed_holders_lock_goes_to_who_waits(locking_app: Liteq, tmp_path: Path, flags: tuple[str, ...]) -> None:
    with holder(tmp_path, "nightly", *flags) as process:
        wait_for(tmp_path / "mark")
        with pytest.raises(LockTimeout) as told, locking_app.lock("nightly", timeout=0.1):
            pass
        assert told.value.pid == process.pid

        os.kill(process.pid, signal.SIGKILL)

        with locking_app.lock("nightly", timeout=20) as lock:
            assert lock.token == 2


def test_a_stopped_holder_keeps_its_lock(locking_app: Liteq, tmp_path: Path) -> None:
    with holder(tmp_path, "nightly") as process:
        wait_for(tmp_path / "mark")
        os.kill(process.pid, signal.SIGSTOP)

        with pytest.raises(LockTimeout), locking_app.lock("nightly", timeout=1):
            pass

        os.kill(process.pid, signal.SIGCONT)
        assert process.stdin is not None
        process.stdin.close()
        with locking_app.lock("nightly", timeout=20) as lock:
            assert lock.token == 2
        assert process.wait(20) == 0


@pytest.mark.skipif(not HAS_NAMESPACES, reason="no namespaces here")
def test_a_holder_with_pids_of_its_own_is_neither_robbed_nor_outlived(locking_app: Liteq, tmp_path: Path) -> None:
    with holder(tmp_path, "nightly", inside=OWN_NAMESPACE) as process:
        wait_for(tmp_path / "mark")
        found = locking_app.engine.get_lock("nightly")
        assert found is not None
        assert (found.pid, found.here, found.alive) == (1, False, True)
        with pytest.raises(LockTimeout), locking_app.lock("nightly", timeout=0.2):
            pass

        os.kill(process.pid, signal.SIGKILL)

        with locking_app.lock("nightly", timeout=20) as lock:
            assert lock.token == 2


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_who_waits_first_and_is_stopped_or_killed_holds_up_nobody(
    locking_app: Liteq, tmp_path: Path, number: int
) -> None:
    with ExitStack() as ends:
        with locking_app.lock("nightly"):
            first = ends.enter_context(holder(tmp_path, "nightly", mark="first"))
            wait_for_line(locking_app, "nightly", 1)
            second = ends.enter_context(holder(tmp_path, "nightly", mark="second"))
            wait_for_line(locking_app, "nightly", 2)
            os.kill(first.pid, number)

        wait_for(tmp_path / "second")
        assert second.poll() is None
        assert not (tmp_path / "first").exists()


def test_no_update_is_lost_under_the_lock(locking_app: Liteq, tmp_path: Path) -> None:
    processes, increments = 8, 40
    locking_app.engine.file_facts()
    (tmp_path / "counter").write_text("0")
    argv = [sys.executable, "-c", COUNTER, str(increments)]

    crews = [subprocess.Popen(argv, cwd=tmp_path) for _ in range(processes)]

    assert [crew.wait(100) for crew in crews] == [0] * processes
    assert (tmp_path / "counter").read_text() == str(processes * increments)
    tokens = [int(token) for token in (tmp_path / "tokens").read_text().split()]
    assert tokens == list(range(1, processes * increments + 1))
    assert locking_app.engine.list_locks(limit=9) == []


def test_a_killed_workers_job_takes_its_lock_again(locking_app: Liteq, tmp_path: Path) -> None:
    (tmp_path / "crew.py").write_text(CREW)
    nightly = locking_app.task(name="nightly")(token_of)
    job = nightly.enqueue()
    argv = [sys.executable, "crew.py"]

    assert subprocess.run(argv, cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    locking_app.engine.expire(now=locking_app.clock.now_ms())
    assert subprocess.run(argv, cwd=tmp_path, check=False).returncode == 0

    assert (job.refresh().state, job.result, job.attempt) == (State.COMPLETED, 2, 2)


def token_of() -> int:
    """Stand for the crew's task where it is only enqueued."""
    raise NotImplementedError
