"""Shows how far the jobs of a file are, on stderr: a bar on a terminal, else a line each second."""

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

from liteq.app import Liteq
from liteq.model.transitions import LIVE, State
from liteq_cli import output

LOOK_EVERY_S = 0.1
LINE_EVERY_S = 1.0


@contextmanager
def live_progress(app: Liteq, total: int) -> Generator[None]:
    """Show progress beside the block, which does the work."""
    over = threading.Event()
    follow = _follow_bar if output.is_rich(sys.stderr) else _follow_lines
    thread = threading.Thread(target=follow, args=(app, total, over), name="liteq-demo-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _follow_lines(app: Liteq, total: int, over: threading.Event) -> None:
    while not over.wait(LINE_EVERY_S):
        done, waiting, dead = _counts(app, total)
        output.note(f"{done:,} of {total:,} done, {waiting} wait for a retry, {dead} dead")


def _follow_bar(app: Liteq, total: int, over: threading.Event) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=output.console(to_stderr=True)) as progress:
        bar = progress.add_task("", total=total)
        last = False
        while not last:
            last = over.wait(LOOK_EVERY_S)
            done, waiting, dead = _counts(app, total)
            progress.update(bar, completed=done, description=f"{waiting} retrying, {dead} dead")


def _counts(app: Liteq, total: int) -> tuple[int, int, int]:
    lanes = app.engine.lane_counts()
    live = sum(lane.jobs for lane in lanes if lane.state in LIVE)
    waiting = sum(lane.jobs for lane in lanes if lane.state is State.SCHEDULED)
    dead = sum(lane.jobs for lane in lanes if lane.state is State.DEAD)
    return total - live, waiting, dead
