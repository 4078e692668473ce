"""Limits hold while workers die: never more at once than they say, told by locks that the kernel frees."""

import os
import random
import signal
from pathlib import Path

from liteq import Liteq
from liteq.model.job import NewJob
from liteq.model.limits import Limit
from liteq.model.payload import crc, encode
from tests.crash.conftest import Fleet, lines, until, workers

PROCESSES = 8
JOBS = 150
KILLS = 12


def enqueue_in_slot(app: Liteq, name: str, *, key: str | None = None) -> None:
    data = encode({"name": name, "seconds": 0.02}, what="args", max_bytes=1000)
    job = NewJob(
        task="crew.in_slot",
        queue=name,
        args=data,
        args_crc=crc(data),
        run_at=0,
        priority=0,
        max_failures=1,
        max_crashes=1_000,
        concurrency_key=key,
        key_max_running=3,
    )
    app.engine.enqueue([job] * JOBS, now=app.clock.now_ms())


def test_no_more_than_three_run_at_once_though_workers_are_killed_at_random(
    app: Liteq, fleet: Fleet, folder: Path
) -> None:
    enqueue_in_slot(app, "keyed", key="customer:7")
    enqueue_in_slot(app, "narrow")
    app.engine.put_limit("queue", "narrow", Limit(max_running=3))
    draw = random.Random(7)  # noqa: S311  no secret

    with fleet("--processes", str(PROCESSES)):
        until(lambda: len(workers(app)) == PROCESSES)
        for _ in range(KILLS):
            # Where quick deaths follow each other, the supervisor takes its time.
            until(lambda: len(workers(app)) > PROCESSES // 2)
            os.kill(draw.choice(workers(app)).pid, signal.SIGKILL)
        until(lambda: app.count_jobs(state="completed") == 2 * JOBS, seconds=60)

    for name in ("keyed", "narrow"):
        slots = lines(folder / f"{name}.slots")
        assert "over" not in slots
        assert "2" in slots, "three never ran at once: the test told nothing"
