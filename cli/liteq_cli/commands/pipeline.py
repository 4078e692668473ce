"""One tick sent through everything, step by step, on a temporary file. Nothing is printed here."""

import logging
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from liteq.app import Liteq
from liteq.clock import to_datetime
from liteq.job import JobContext
from liteq.model.firing import TickOutcome
from liteq.model.schedules import at
from liteq.model.transitions import State

NAME = "doctor"
TICK_IN_MS = 200
PATIENCE_S = 10.0


class Step(msgspec.Struct, kw_only=True):
    """One step of the pipeline: whether it did what it must, how long it took, and what was seen."""

    step: str
    passed: bool = False
    ms: float = 0.0
    seen: str = ""


def run_pipeline() -> list[Step]:
    """Take one tick through schedule, dispatch, queue, worker and history; give the steps, the last one failed or not.

    The steps end with the first that fails.
    """
    steps: list[Step] = []
    with tempfile.TemporaryDirectory(prefix="liteq-doctor-") as home, Liteq(Path(home) / "doctor.db") as app:
        _Pipeline(app, steps).run()
    return steps


class _Failed(Exception):  # noqa: N818  what happened, as in liteq.errors
    """A step did not do what it must."""


class _Pipeline:
    """The steps, each of which needs what the one before it left."""

    def __init__(self, app: Liteq, steps: list[Step]) -> None:
        self._app = app
        self._steps = steps
        self._task = app.task(name="doctor.tick", queue="doctor")(_tick)
        self._tick_ms = 0
        self._job_id = 0

    def run(self) -> None:
        for name, step in (
            ("schedule", self._schedule),
            ("fire", self._fire),
            ("queue", self._queue),
            ("worker", self._work),
            ("result", self._result),
            ("history", self._history),
            ("empty queue", self._empty),
        ):
            with self._timed(name, step) as passed:
                if not passed:
                    return

    @contextmanager
    def _timed(self, name: str, step: Callable[[], str]) -> Generator[bool]:
        noted = Step(step=name)
        self._steps.append(noted)
        begun = time.perf_counter()
        try:
            noted.seen = step()
            noted.passed = True
        except Exception as error:  # noqa: BLE001  whatever fails is what the doctor is there to tell
            noted.seen = str(error) if isinstance(error, _Failed) else f"{type(error).__name__}: {error}"
        noted.ms = (time.perf_counter() - begun) * 1000
        yield noted.passed

    def _schedule(self) -> str:
        self._tick_ms = self._app.clock.now_ms() + TICK_IN_MS
        self._app.schedule(NAME, at(to_datetime(self._tick_ms)), self._task.call())
        _expect(
            self._app.schedules[NAME].next_fire_at == to_datetime(self._tick_ms), "the next tick is not the one asked"
        )
        return f"stored, due in {TICK_IN_MS} ms"

    def _fire(self) -> str:
        until = time.monotonic() + PATIENCE_S
        while not (fired := self._app.fire_due()):
            _expect(time.monotonic() < until, "the schedule did not fire")
            time.sleep(0.001)
        _expect(len(fired) == 1 and fired[0].success, f"it fired otherwise than once: {fired}")
        self._job_id = fired[0].job_id or 0
        return f"job {self._job_id}, {self._app.clock.now_ms() - self._tick_ms} ms after its tick"

    def _queue(self) -> str:
        job = self._app.get_job(self._job_id)
        _expect(job.state is State.READY, f"the job is {job.state.word}, not ready")
        _expect(job.record.fire_at == self._tick_ms, "the job does not know its tick")
        return f"ready in queue {job.queue}"

    def _work(self) -> str:
        result = self._app.work(burst=True, scheduler=False)
        _expect(result.completed == 1, f"the worker completed {result.completed} jobs, not 1")
        return "claimed, run and reported by a worker"

    def _result(self) -> str:
        job = self._app.get_job(self._job_id)
        _expect(job.state is State.COMPLETED, f"the job is {job.state.word}: {job.reason}")
        _expect(job.result == to_datetime(self._tick_ms).isoformat(), f"the result is {job.result!r}")
        return "completed, with the tick as its result"

    def _history(self) -> str:
        (trace,) = self._app.schedules[NAME].ticks()
        _expect(trace.outcome is TickOutcome.FIRED, f"the trace says {trace.outcome}")
        _expect(trace.job_id == self._job_id, "the trace names another job")
        attempts = self._app.get_job(self._job_id).attempts
        _expect(bool(attempts and attempts[-1].log and "tick" in attempts[-1].log), "the attempt's log was not kept")
        _expect(sum(row.completed for row in self._app.engine.metrics(since_minute=0)) == 1, "the metrics miss it")
        return "tick, attempt, log and metrics agree"

    def _empty(self) -> str:
        live = self._app.count_jobs(state=["ready", "running", "scheduled", "waiting", "blocked"])
        _expect(live == 0, f"{live} jobs are still live")
        status = self._app.schedules.status()
        _expect((status.fired, status.success_rate) == (1, 1.0), f"the scheduler says {status}")
        return "nothing is left"


def _tick(ctx: JobContext) -> str:
    """Say for which tick it runs."""
    ctx.log.setLevel(logging.INFO)
    ctx.log.info("the tick of %s", ctx.fire_at)
    return "none" if ctx.fire_at is None else ctx.fire_at.isoformat()


def _expect(fact: object, otherwise: str) -> None:
    if not fact:
        raise _Failed(otherwise)
