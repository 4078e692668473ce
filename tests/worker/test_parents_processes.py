"""Two processes report the last parents of the same children: each child runs once."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from liteq import Liteq, State

CREW = """
import os, sys
from liteq import JobContext, Liteq

app = Liteq("jobs.db", durability="normal")

@app.task(name="parent")
def parent() -> int:
    return 1

@app.task(name="child")
def child(ctx: JobContext) -> int:
    descriptor = os.open("marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{ctx.id}\\n".encode())
    os.close(descriptor)
    return len(ctx.parents)

if __name__ == "__main__":
    # Each report is a commit of its own: the two race for the last parent of every child.
    for claim in app.claims(tasks=["parent"], wait=False):
        claim.complete(1)
    app.work(burst=True)
"""
CHILDREN = 1_000


def nothing() -> None:
    """Stand for the crew's tasks where they are only enqueued."""


def test_each_child_runs_once_whoever_reports_its_last_parent(tmp_path: Path) -> None:
    (tmp_path / "crew.py").write_text(CREW)
    with Liteq(tmp_path / "jobs.db", durability="normal") as app:
        parent = app.task(name="parent")(nothing)
        child = app.task(name="child")(nothing)
        parents = app.enqueue_many(parent.call() for _ in range(2 * CHILDREN))
        app.enqueue_many(child.using(after=parents[2 * n : 2 * n + 2]).call() for n in range(CHILDREN))

        crews = [subprocess.Popen([sys.executable, "crew.py"], cwd=tmp_path) for _ in range(2)]
        assert [crew.wait(60) for crew in crews] == [0, 0]

        assert app.count_jobs(state="completed") == app.count_jobs() == 3 * CHILDREN
        assert {job.record.result for job in app.list_jobs(task="child", limit=CHILDREN)} == {b"2"}
        assert {job.attempt for job in app.list_jobs(task="child", limit=CHILDREN)} == {1}
        assert all(job.state is State.COMPLETED for job in app.list_jobs(limit=10))
    marks = Counter((tmp_path / "marks").read_text().split())
    assert (len(marks), set(marks.values())) == (CHILDREN, {1})
