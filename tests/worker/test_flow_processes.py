"""Flow control between real processes: producers that fill a queue, workers that fail together, one that is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liteq import Liteq
from liteq.model.guard import GuardRecord
from liteq.model.transitions import AT_REST
from liteq.ops.guards import guard_stats

MOST = 40
EACH = 400

CREW = """
import os, sys, time
from pathlib import Path
from liteq import Breaker, Liteq, QueueFull, Retry

app = Liteq("jobs.db", durability="normal")

@app.task(queue="narrow")
def note(n: int) -> None: ...

@app.task(retry=Retry(max_failures=9, backoff=0.05, jitter=0), breaker=Breaker(min_calls=5, open_for=0.5, window=30))
def call(n: int) -> None:
    with open("calls", "a") as file:
        file.write(f"{n}\\n")
    if Path("down").exists():
        raise OSError("down")

@app.task(retry=Retry(max_failures=3), breaker=Breaker(min_calls=1, open_for=0.2))
def stuck(n: int) -> None:
    if Path("down").exists():
        raise OSError("down")
    if Path("hang").exists():
        with open("hanging", "a") as file:
            file.write(f"{os.getpid()}\\n")
        time.sleep(60)

def produce(count: int, patience: float) -> None:
    stored = refused = 0
    for n in range(count):
        try:
            # Of two at once, both or none.
            stored += len(app.enqueue_many(note.using(wait_for_room=patience).call(n) for _ in range(1 + n % 2)))
        except QueueFull:
            refused += 1
    print(stored, refused)

if __name__ == "__main__":
    if sys.argv[1] == "produce":
        produce(int(sys.argv[2]), float(sys.argv[3]))
    else:
        app.work(scheduler=False)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "crew.py").write_text(CREW)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def app(folder: Path) -> Iterator[Liteq]:
    with Liteq(folder / "jobs.db", durability="normal") as app:
        app.engine.queues()
        yield app


Crew = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def crew(folder: Path) -> Iterator[Crew]:
    """Give a function that starts one more process of the crew; none is left behind."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "crew.py", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def lines(name: str) -> list[str]:
    return Path(name).read_text().splitlines() if Path(name).exists() else []


def guard(app: Liteq, task: str) -> GuardRecord:
    return next(one for one in app.guards() if one.task == task)


def test_eight_producers_never_fill_a_queue_beyond_its_limit_while_workers_drain_it(app: Liteq, crew: Crew) -> None:
    app.limit_queue("narrow", max_pending=MOST)
    workers = [crew("work") for _ in range(2)]
    producers = [crew("produce", str(EACH), "60" if number < 4 else "0") for number in range(8)]
    highest = 0

    def waiting() -> int:
        # By the rows, in one statement: one snapshot.
        return sum(lane.jobs for lane in app.engine.lane_counts() if lane.state in AT_REST)

    while any(process.poll() is None for process in producers):
        highest = max(highest, waiting())
    said = [process.communicate()[0].split() for process in producers]

    stored = sum(int(words[0]) for words in said)
    refused = [int(words[1]) for words in said]
    until(lambda: app.count_jobs(state="completed") == stored)
    (queue,) = app.engine.queues()
    assert highest <= MOST
    assert highest > MOST // 2, "the queue was hardly ever full: this has proved nothing"
    assert refused[:4] == [0] * 4, "who waits gets room"
    assert [int(words[0]) for words in said[:4]] == [EACH * 3 // 2] * 4
    assert (queue.pending, waiting()) == (0, 0)
    assert [process.poll() for process in workers] == [None, None]


def test_a_dependency_that_is_down_is_left_alone_until_one_call_on_trial_succeeds(app: Liteq, crew: Crew) -> None:
    Path("down").touch()
    for _ in range(3):
        crew("work")
    until(lambda: len(app.engine.workers()) == 3)
    jobs = enqueue(app, "call", 60)
    until(lambda: guard(app, "crew.call").openings >= 3)
    calls, openings = len(lines("calls")), guard(app, "crew.call").openings

    until(lambda: guard(app, "crew.call").openings >= openings + 2)
    # One call for each opening: what had been claimed before is reported by now.
    assert len(lines("calls")) - calls <= 3
    assert guard_stats(app.engine, now=app.clock.now_ms())[0].breaker != "closed"
    Path("down").unlink()

    until(lambda: app.count_jobs(state="completed") == len(jobs))
    assert guard(app, "crew.call").opened_at is None
    attempts = [app.get_job(job_id).attempt for job_id in jobs]
    assert sum(attempts) == len(lines("calls"))


def test_a_trial_whose_worker_is_killed_is_followed_by_another(app: Liteq, crew: Crew) -> None:
    Path("down").touch()
    for _ in range(2):
        crew("work")
    until(lambda: len(app.engine.workers()) == 2)
    jobs = enqueue(app, "stuck", 1)
    until(lambda: guard(app, "crew.stuck").opened_at is not None)
    Path("hang").touch()
    Path("down").unlink()
    jobs += enqueue(app, "stuck", 3)
    until(lambda: lines("hanging"))
    time.sleep(0.3)
    assert len(lines("hanging")) == 1, "one job on trial among all workers"
    assert guard(app, "crew.stuck").trial in jobs
    Path("hang").unlink()

    os.kill(int(lines("hanging")[0]), signal.SIGKILL)

    until(lambda: app.count_jobs(state="completed") == len(jobs))
    assert guard(app, "crew.stuck").opened_at is None


def enqueue(app: Liteq, name: str, count: int) -> list[int]:
    """Enqueue jobs of the crew's task by a process that does not know it."""
    with subprocess.Popen(
        [sys.executable, "-c", f"import crew\nfor n in range({count}): print(crew.{name}.enqueue(n).id)"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said, _ = process.communicate()
    return [int(line) for line in said.split()]
