"""The doctor: what it finds, and the pipeline that it proves."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from liteq_cli.commands.pipeline import run_pipeline

from liteq.scheduler import Scheduler
from tests.cli.conftest import Liteq

Read = Callable[..., Any]

STEPS = ["schedule", "fire", "queue", "worker", "result", "history", "empty queue"]


def test_the_pipeline_takes_one_tick_through_everything(liteq: Liteq, read: Read, folder: Path) -> None:
    shown = liteq("doctor", "--pipeline")
    document = read("doctor", "--pipeline")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert document["passed"]
    assert [step["step"] for step in document["steps"]] == STEPS
    assert not list(folder.glob("*.db")), "it works on a file of its own"


def test_a_pipeline_that_breaks_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scheduler, "fire_due", lambda _: 1 / 0)

    steps = run_pipeline()

    assert [(step.step, step.passed) for step in steps] == [("schedule", True), ("fire", False)]
    assert "ZeroDivisionError" in steps[-1].seen


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(liteq: Liteq, read: Read, folder: Path) -> None:
    without_file = liteq("doctor")
    liteq("init")
    well = read("doctor")
    (folder / "jobs.db").chmod(0o644)
    open_to_all = read("doctor")
    with (folder / "jobs.db").open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(64 * 1024))
    damaged = read("doctor", code=1)
    lost = liteq("doctor", LITEQ_APP="nowhere:app")

    assert (without_file.returncode, "liteq init" in without_file.stderr) == (0, True)
    assert {one["what"]: one["verdict"] for one in well["findings"]} == {
        "runtime": "ok",
        "package": "ok",
        "time zones": "ok",
        "app": "ok",
        "disk": "ok",
        "mode": "ok",
        "file": "ok",
        "log": "ok",
        "workers": "warn",
        "schedules": "ok",
    }
    assert next(one for one in open_to_all["findings"] if one["what"] == "mode")["verdict"] == "warn"
    assert not damaged["fit"]
    assert (lost.returncode, "nowhere" in lost.stdout) == (1, True)


def test_the_doctor_finds_a_stranger_of_the_same_name(liteq: Liteq, folder: Path) -> None:
    stranger = folder / "site" / "liteq-0.9.dist-info"
    stranger.mkdir(parents=True)
    (stranger / "METADATA").write_text("Metadata-Version: 2.1\nName: liteq\nVersion: 0.9\n")
    (stranger / "RECORD").write_text("liteq/queue.py,,\n")
    # From 3.12 on a file that is missing counts for nothing.
    (folder / "site" / "liteq").mkdir()
    (folder / "site" / "liteq" / "queue.py").touch()

    ended = liteq("doctor", PYTHONPATH=str(folder / "site"))

    assert ended.returncode == 1
    assert "pip uninstall liteq," in ended.stderr
