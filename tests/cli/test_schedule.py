"""Schedules by the command line, each test a flow of real processes."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from tests.cli.conftest import COMMAND, TASKS, Liteq, clean_environment

Read = Callable[..., Any]

DECLARED = (
    TASKS
    + """

@app.every(seconds=1)
@app.task
def beat() -> str:
    return "beat"
"""
)


def test_a_schedule_is_added_listed_shown_and_removed(liteq: Liteq, read: Read) -> None:
    liteq("init")
    assert "no schedules yet" in liteq("schedule", "list").stdout

    added = liteq("schedule", "add", "sums", "--every", "10m", "--queue", "q", "tasks.add", "a:=1", "b:=2")
    again = liteq("schedule", "add", "sums", "--every", "10m", "--queue", "q", "tasks.add", "a:=1", "b:=2")
    other = liteq("schedule", "add", "sums", "--every", "20m", "tasks.add", "a:=1")
    replaced = liteq("schedule", "add", "sums", "--every", "20m", "tasks.add", "a:=1", "--replace")

    assert (added.returncode, again.returncode, other.returncode, replaced.returncode) == (0, 0, 2, 0)
    assert added.stdout.startswith("sums: every 10 minutes\n")
    assert "hint: --replace changes it" in other.stderr
    (listed,) = read("schedule:list")["schedules"]
    shown = read("schedule", "show", "sums")
    assert (listed["name"], listed["describe"], listed["revision"], listed["state"]) == (
        "sums",
        "every 20 minutes",
        2,
        "on",
    )
    assert (shown["job"]["task"], shown["job"]["args"], shown["ticks"]) == ("tasks.add", {"a": 1}, [])
    assert liteq("schedule", "remove", "sums").returncode == 2, "not without --yes off a terminal"
    assert liteq("schedule", "remove", "sums", "--yes").returncode == 0
    missing = liteq("schedule", "show", "sums")
    assert (missing.returncode, "schedule list" in missing.stderr) == (3, True)


def test_what_would_never_run_is_refused_before_anything_is_written(liteq: Liteq, read: Read) -> None:
    no_file = liteq("schedule", "add", "s", "--every", "10m", "tasks.add", "a:=1")
    liteq("init")
    refused = {
        "field": liteq("schedule", "add", "s", "--cron", "61 * * * *", "tasks.add", "a:=1"),
        "past": liteq("schedule", "add", "s", "--at", "2020-01-01T00:00Z", "tasks.add", "a:=1"),
        "kinds": liteq("schedule", "add", "s", "--manual", "--every", "10m", "tasks.add", "a:=1"),
        "none": liteq("schedule", "add", "s", "tasks.add", "a:=1"),
        "zone": liteq("schedule", "add", "s", "--every", "10m", "--timezone", "Europe/Berlin", "tasks.add", "a:=1"),
        "args": liteq("schedule", "add", "s", "--every", "10m", "tasks.add", "a=x"),
    }
    unknown = liteq("schedule", "add", "s", "--every", "10m", "tasks.nothing")

    assert (no_file.returncode, "there is no file" in no_file.stderr) == (69, True)
    assert {word: ended.returncode for word, ended in refused.items()} == dict.fromkeys(refused, 2)
    assert "minute" in refused["field"].stderr
    assert "never fire" in refused["past"].stderr
    assert unknown.returncode == 3
    assert read("schedule", "list") == {"schedules": []}


def test_a_triggered_a_paused_and_a_filled_in_schedule(liteq: Liteq, read: Read) -> None:
    liteq("init")
    liteq("schedule", "add", "hourly", "--cron", "0 * * * *", "--overlap", "allow", "--", "echo", "hi")

    triggered = liteq("schedule", "trigger", "hourly")
    paused = liteq("schedule", "pause", "hourly", "--reason", "holiday")
    shown = liteq("schedule", "show", "hourly")
    resumed = liteq("schedule", "resume", "hourly")
    span = ("--from", "2026-01-01T00:00Z", "--to", "2026-01-01T03:30Z")
    filled = read("schedule", "backfill", "hourly", *span)
    repeated = read("schedule", "backfill", "hourly", *span)
    many = liteq("schedule", "backfill", "hourly", "--from", "2026-01-01T00:00Z", "--to", "2026-01-09T00:00Z")

    assert triggered.stdout == "1\n"
    assert (paused.returncode, resumed.returncode) == (0, 0)
    assert (shown.returncode, "holiday" in shown.stdout) == (4, True)
    assert (len(filled["jobs"]), repeated["jobs"], many.returncode) == (4, [], 2)
    assert liteq("work", "--burst", "--no-scheduler").returncode == 0
    job = liteq("job", "show", "2").stdout
    assert read("job", "show", "1")["state"] == "completed"
    assert (" 1, hourly\n" in job, "tick" in job) == (True, True)
    after = read("schedule", "show", "hourly")
    assert after["counts"] == {"backfilled": 4, "triggered": 1}
    assert [tick["outcome"] for tick in after["ticks"]] == ["triggered"] + ["backfilled"] * 4


def test_ticks_are_previewed_in_wall_time_with_what_a_clock_change_does(liteq: Liteq, read: Read) -> None:
    liteq("init")
    liteq("schedule", "add", "night", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "tasks.add", "a:=1")

    named = read("schedule", "next", "night", "-n", "366")["ticks"]
    all_of_them = liteq("schedule", "next", "-n", "1")
    explained = liteq("schedule", "explain", "30 2 * * *", "--timezone", "Europe/Berlin", LITEQ_APP="")
    doubtful = read("schedule", "explain", "0 0 */2 * 1")
    wrong = liteq("schedule", "explain", "5-5 * * * *")

    assert len(named) == 366
    assert named[0]["wall"].split()[1] in {"02:30:00+01:00", "02:30:00+02:00"}
    assert {tick["touched"] for tick in named} == {None, "gap", "fold"}
    assert all_of_them.stdout.splitlines()[1].startswith("night")
    assert explained.stdout.startswith("at 02:30 every day, Europe/Berlin\n")
    assert "match either" in doubtful["warnings"][0]
    assert (wrong.returncode, "minute" in wrong.stderr, "hint: the fields are" in wrong.stderr) == (2, True, True)


def test_what_the_program_declares_is_stored_and_fired_through_the_whole_pipeline(
    liteq: Liteq, read: Read, folder: Path
) -> None:
    (folder / "tasks.py").write_text(DECLARED)
    liteq("init")

    assert [one["name"] for one in read("schedule", "list")["schedules"]] == ["tasks.beat"]
    worker = subprocess.Popen([*COMMAND, "work"], cwd=folder, env=clean_environment() | {"LITEQ_APP": "tasks:app"})
    try:
        _until(lambda: read("schedule", "show", "tasks.beat")["counts"].get("fired", 0) >= 2)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0

    status = read("scheduler:status")
    assert (status["schedules"], status["success_rate"], status["broken"]) == (1, 1.0, 0)
    assert read("status")["scheduler"]["fired"] == status["fired"] >= 2
    assert "1; next" in liteq("status").stdout
    newest = read("job", "list", "--limit", "1")["jobs"][0]
    assert newest["fire_at"] is not None


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        time.sleep(0.2)


def test_firing_alone_says_what_it_fires_and_runs_no_jobs(liteq: Liteq, read: Read, folder: Path) -> None:
    (folder / "tasks.py").write_text(DECLARED)
    liteq("init")
    environment = clean_environment() | {"LITEQ_APP": "tasks:app"}
    firing = subprocess.Popen(
        [*COMMAND, "schedule", "run", "--json"], cwd=folder, env=environment, stdout=subprocess.PIPE
    )
    assert firing.stdout is not None
    try:
        line = json.loads(firing.stdout.readline())
    finally:
        os.kill(firing.pid, signal.SIGINT)
        assert firing.wait(20) == 0
        firing.stdout.close()

    assert (line["schedule"], line["success"], line["job_id"]) == ("tasks.beat", True, 1)
    assert read("job", "show", "1")["state"] == "ready"
    time.sleep(1)
    once = liteq("schedule", "run", "--once")
    assert (once.returncode, once.stdout) == (0, ""), "the first job is live, so the tick is skipped"
    assert read("schedule", "show", "tasks.beat")["counts"]["skipped: overlap"] >= 1


def test_a_schedule_that_cannot_be_read_here_is_shown_and_hides_no_other(
    liteq: Liteq, read: Read, folder: Path
) -> None:
    liteq("init")
    for name in ("a", "b"):
        liteq("schedule", "add", name, "--every", "1h", "--max-runs", "2", "--", "true")
    connection = apsw.Connection(str(folder / "jobs.db"))
    connection.execute("UPDATE liteq_schedule SET spec = x'00ff' WHERE name = 'a'")
    connection.close()

    listed = read("schedule", "list")["schedules"]
    shown = liteq("schedule", "show", "a")
    upcoming = liteq("schedule", "next", "--json")

    assert [(one["name"], one["state"], one.keys() == listed[0].keys()) for one in listed] == [
        ("a", "broken", True),
        ("b", "on", True),
    ]
    assert (shown.returncode, "JSON is malformed" in shown.stdout) == (4, True)
    assert "warning: a:" in upcoming.stderr
    assert [tick["schedule"] for tick in json.loads(upcoming.stdout)["ticks"]] == ["b", "b"], "no more runs are left"


def test_firing_ends_when_nobody_reads_its_lines(liteq: Liteq, folder: Path) -> None:
    liteq("init")
    liteq("schedule", "add", "a", "--every", "1s", "--overlap", "allow", "--", "true")
    environment = clean_environment() | {"LITEQ_APP": "tasks:app"}
    firing = subprocess.Popen([*COMMAND, "schedule", "run"], cwd=folder, env=environment, stdout=subprocess.PIPE)
    assert firing.stdout is not None

    try:
        firing.stdout.close()
        assert firing.wait(20) == 0
    finally:
        firing.kill()
        firing.wait()
