"""What a running job says and keeps, by the command line."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from liteq_cli.main import app as commands

from liteq.app import Liteq as App
from liteq.model.job import Claim
from liteq.model.keeping import NewPart, ProgressNote, Remark
from tests.cli.conftest import COMMAND, Liteq, clean_environment

Read = Callable[..., Any]

TASKS = """
from liteq import GiveUp, JobContext, Liteq

app = Liteq("jobs.db")

@app.task
def tell(ctx: JobContext, words: int = 3, fail: bool = False) -> None:
    for n in range(words):
        ctx.progress(n + 1, words, "word by word")
        ctx.publish({"word": n})
        ctx.step(f"say {n}", str, n)
    ctx.checkpoint(["half"])
    if fail:
        raise GiveUp("no more")

@app.task
def silent() -> None:
    pass
"""


@pytest.fixture(autouse=True)
def tasks(folder: Path) -> None:
    (folder / "tasks.py").write_text(TASKS)


def test_a_job_shows_what_it_said_and_keeps(liteq: Liteq, read: Read) -> None:
    liteq("enqueue", "tasks.tell", "--meta", "customer=Ann", "--meta", "order:=[1,2]", "--tag", "t")
    assert liteq("work", "--burst", "--no-scheduler").returncode == 0

    job = read("job", "show", "1")
    assert job["metadata"] == {"customer": "Ann", "order": [1, 2]}
    assert job["progress"] | {"updated_at": 0} == {
        "done": 3,
        "total": 3,
        "fraction": 1.0,
        "note": "word by word",
        "attempt": 1,
        "updated_at": 0,
    }
    assert [(step["name"], step["attempt"]) for step in job["steps"]] == [("say 0", 1), ("say 1", 1), ("say 2", 1)]
    assert job["stream"] == {"parts": 3, "dropped": 0}
    text = liteq("job", "show", "1").stdout
    for line in (
        'metadata    {"customer":"Ann","order":[1,2]}',
        "progress    3 of 3 (100%): word by word",
        "steps done  say 0, say 1, say 2",
        'checkpoint  ["half"]',
        "stream      3 parts",
    ):
        assert line in text


def test_a_job_that_said_nothing_shows_nothing_of_it(liteq: Liteq, read: Read) -> None:
    liteq("enqueue", "tasks.silent")
    liteq("work", "--burst", "--no-scheduler")

    job = read("job", "show", "1")
    assert (job["progress"], job["steps"], job["stream"], job["metadata"]) == (
        None,
        [],
        {"parts": 0, "dropped": 0},
        None,
    )
    text = liteq("job", "show", "1").stdout
    assert not {"progress", "metadata", "stream", "checkpoint"} & set(text.split())
    ended = liteq("job", "stream", "1")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "ctx.publish" in ended.stderr


def test_a_stream_is_one_document_a_line(liteq: Liteq) -> None:
    liteq("enqueue", "tasks.tell", "words:=4")
    liteq("work", "--burst", "--no-scheduler")

    ended = liteq("job", "stream", "1", "--after", "2")

    parts = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(part["seq"], part["attempt"], part["value"]) for part in parts] == [
        (3, 1, {"word": 2}),
        (4, 1, {"word": 3}),
    ]
    assert all(part["published_at"].endswith("+00:00") for part in parts)
    assert liteq("job", "stream", "1", "--json").stdout.splitlines()[2:] == ended.stdout.splitlines()


def test_following_ends_with_the_job_and_says_how_that_ended(liteq: Liteq) -> None:
    liteq("enqueue", "tasks.tell")
    liteq("enqueue", "tasks.tell", "fail:=true")
    liteq("work", "--burst", "--no-scheduler")

    good, bad = liteq("job", "stream", "1", "--follow"), liteq("job", "stream", "2", "--follow")
    assert (good.returncode, len(good.stdout.splitlines())) == (0, 3)
    assert (bad.returncode, len(bad.stdout.splitlines())) == (1, 3)


def test_following_a_job_that_does_not_end_ends_with_the_time(liteq: Liteq) -> None:
    liteq("enqueue", "tasks.tell")

    assert liteq("job", "stream", "1", "--follow", "--timeout", "50ms").returncode == 5
    assert liteq("job", "stream", "1", "--timeout", "1s").returncode == 2
    assert liteq("job", "stream", "2").returncode == 3


def test_a_job_is_followed_while_it_runs(liteq: Liteq, folder: Path) -> None:
    liteq("enqueue", "tasks.tell", "words:=50")
    follower = subprocess.Popen(
        [*COMMAND, "job", "stream", "1", "--follow"],
        cwd=folder,
        env=clean_environment() | {"LITEQ_APP": "tasks:app"},
        stdout=subprocess.PIPE,
        text=True,
    )
    liteq("work", "--burst", "--no-scheduler")
    out, _ = follower.communicate(timeout=30)

    assert follower.returncode == 0
    assert [json.loads(line)["value"]["word"] for line in out.splitlines()] == list(range(50))


@pytest.mark.parametrize("words", ["novalue", "=x", "k:=nojson"])
def test_metadata_that_is_no_pair_is_refused(liteq: Liteq, words: str) -> None:
    ended = liteq("enqueue", "tasks.silent", "--meta", words)

    assert ended.returncode == 2
    assert liteq("job", "list", "--json").returncode == 69


def test_commands_and_schedules_carry_metadata(liteq: Liteq, read: Read) -> None:
    liteq("exec", "--meta", "why=test", "--", "true")
    liteq("schedule", "add", "s", "--manual", "--meta", "by=schedule", "tasks.silent")
    liteq("schedule", "trigger", "s")

    assert [job["metadata"] for job in read("job", "list")["jobs"]] == [{"by": "schedule"}, {"why": "test"}]


def claimed(app: App) -> Claim:
    now = app.clock.now_ms()
    (claim,) = app.engine.claim(worker_id=7_777, queues=None, tasks=["liteq.command"], limit=1, now=now)
    return claim


def test_status_shows_the_running_jobs_that_say_how_far_they_are(liteq: Liteq, read: Read, folder: Path) -> None:
    with App(folder / "jobs.db") as app:
        app.enqueue_many([app.command("true"), app.command("true"), app.command("true")])
        now = app.clock.now_ms()
        said = [
            Remark(claim=claimed(app), progress=ProgressNote(4000, 9000, "rows\x1b[2J"), parts=(NewPart(b"1", now),)),
            Remark(claim=claimed(app), progress=ProgressNote(0.5)),
        ]
        claimed(app)
        app.engine.note(said, now=now)

    running = read("status")["running"]
    assert [(job["id"], job["progress"]["done"], job["progress"]["fraction"]) for job in running] == [
        (2, 0.5, None),
        (1, 4000, 4000 / 9000),
    ]
    assert {"task", "queue", "attempt", "claimed_at"} < set(running[0])
    text = liteq("status").stdout
    assert "4,000 of 9,000 (44%)" in text
    assert "rows\\x1b[2J" in text
    assert "0.5" in text


def test_status_says_nothing_where_nobody_tells(liteq: Liteq, read: Read) -> None:
    liteq("enqueue", "tasks.silent")

    assert read("status")["running"] == []
    assert "PROGRESS" not in liteq("status").stdout


def test_waiting_shows_the_progress_on_a_terminal_and_nothing_off_it(liteq: Liteq, folder: Path) -> None:
    with App(folder / "jobs.db") as app:
        app.enqueue(app.command("true"))
        claim = claimed(app)
        app.engine.note([Remark(claim=claim, progress=ProgressNote(3, 8, "half way"))], now=app.clock.now_ms())

    plain = liteq("job", "wait", "1", "--timeout", "1s")
    drawn = liteq("job", "wait", "1", "--timeout", "1s", FORCE_COLOR="1", COLUMNS="200")

    assert (plain.returncode, drawn.returncode) == (5, 5)
    assert (plain.stdout, len(plain.stderr.splitlines())) == ("", 1)
    assert "half way" in drawn.stderr
    assert "3/8" in drawn.stderr


FILTERING = {"job list", "job retry", "job cancel", "job delete", "job edit", "dead list", "dead requeue", "dead purge"}


def _leaves(group: Any, path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        full = f"{path} {name}".strip()
        found |= _leaves(command, full) if hasattr(command, "commands") else {full: command}
    return found


def test_every_list_and_bulk_command_filters_by_tag() -> None:
    filtering = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in _leaves(typer.main.get_command(commands)).items()
        if any("only jobs of this queue" in (getattr(one, "help", None) or "").lower() for one in command.params)
    }

    assert set(filtering) >= FILTERING
    assert [name for name, options in filtering.items() if "--tag" not in options] == []


def test_an_option_that_may_be_repeated_says_what_it_takes() -> None:
    bare = [
        f"{name} {option.opts[0]}"
        for name, command in _leaves(typer.main.get_command(commands)).items()
        for option in command.params
        if option.param_type_name == "option" and option.multiple and option.metavar is None
    ]

    assert bare == []


def test_the_help_of_a_filter_names_the_states(liteq: Liteq) -> None:
    said = " ".join(liteq("job", "list", "--help").stdout.split())

    assert "(scheduled, waiting, blocked, ready, running, completed, dead, cancelled)" in said


def test_every_bulk_verb_filters_by_tag(folder: Path) -> None:
    with App(folder / "jobs.db") as app:
        tagged = app.enqueue(app.command("true").using(tags=["t"]))
        app.enqueue(app.command("true"))

        assert [job.id for job in app.list_jobs(tag="t")] == [tagged.id]
        assert app.count_jobs(tag="t") == 1
        assert app.reschedule(tag="t", priority=5) == [tagged.id]
        assert app.cancel(tag="t") == [tagged.id]
        assert app.requeue(tag="t") == [tagged.id]
        assert app.delete_jobs(tag="t") == [tagged.id]
        assert app.count_jobs() == 1


def test_a_running_job_says_where_it_runs(liteq: Liteq) -> None:
    liteq("exec", "--", *COMMAND, "-f", "jobs.db", "job", "show", "1")
    assert "in worker" not in liteq("job", "show", "1").stdout

    assert liteq("work", "--burst").returncode == 0

    assert "attempt 1, in worker 1 (" in liteq("job", "logs", "1").stdout
    assert "in worker" not in liteq("job", "show", "1").stdout
