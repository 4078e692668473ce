"""Each command's effect and the shape of its JSON, in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from liteq_cli.main import answer
from liteq_cli.spelling import in_order

from liteq.app import Liteq

Cli = Callable[..., Any]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Liteq:
    for name in ("LITEQ_FILE", "LITEQ_APP", "LITEQ_DURABILITY", "FORCE_COLOR"):
        # Set first, so that what the command line adds is undone as well.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with Liteq("liteq.db") as app:
        app.enqueue_many(app.command("true").using(queue="a", tags=["t"]) for _ in range(3))
        app.enqueue_many(app.command("exit 1").using(queue="b") for _ in range(2))
    return app


@pytest.fixture
def cli(app: Liteq, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run words in this process; gives the JSON document, or the text where there is no --json."""

    def run(words: str, *, code: int = 0) -> Any:
        app.close()
        capsys.readouterr()
        assert answer(in_order(words.split())) == code
        text = capsys.readouterr().out
        if "--json" not in words:
            return text
        document = json.loads(text)
        return {"done": sorted(document["done"])} if "done" in document else document

    return run


@pytest.fixture
def worked(app: Liteq) -> Liteq:
    app.work(burst=True)
    app.close()
    return app


def test_lists_have_a_stable_shape(cli: Cli, worked: Liteq) -> None:
    assert list(cli("job list --json")) == ["jobs"]
    assert [job["id"] for job in cli("job list --json --limit 2 --before-id 4")["jobs"]] == [3, 2]
    assert [job["id"] for job in cli("job list --json --tag t --state completed --since 1h")["jobs"]] == [3, 2, 1]
    assert [job["state"] for job in cli("dead list --json")["jobs"]] == ["dead", "dead"]
    assert [queue["name"] for queue in cli("queue list --json")["queues"]] == ["a", "b"]
    assert cli("queue status a --json")["completed_last_hour"] == 3
    assert cli("queue status --json")["queues"]
    assert cli("dead show 4 --json")["attempts"][0]["exit_code"] == 1
    status = cli("status --json")
    assert {"at", "queues", "workers", "orphaned_tasks", "file", "live", "dead"} <= set(status)
    assert cli("config --json")["durability"] == {"value": "full", "source": "default"}
    assert cli("check --json --full") == {"whole": True, "complaints": []}
    assert list(cli("job logs 1 --json")) == ["attempts"]


def test_lists_are_plain_columns_off_a_terminal(cli: Cli, worked: Liteq) -> None:
    lines = cli("job list").splitlines()
    assert lines[0].split()[:4] == ["ID", "STATE", "QUEUE", "TASK"]
    assert len(lines) == 6
    assert cli("job list --queue nowhere") == ""
    for words in ("dead list", "queue list", "queue status a", "status", "job show 4", "config", "check"):
        text = cli(words)
        assert text
        assert not set(text) & set("│─╭\x1b")


def test_a_rich_table_is_drawn_when_colour_is_forced(cli: Cli, worked: Liteq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")

    for words in ("job list", "status", "job show 4"):
        text = cli(words)
        assert "\x1b[" in text
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in cli("job list")


def test_a_column_without_a_value_is_left_out_on_a_terminal(
    cli: Cli, app: Liteq, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.enqueue(app.command("true").using(queue="a", after=[1]))
    assert "waiting" in cli("queue list").lower()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")

    heading = cli("status").splitlines()[0]

    assert "waiting" in heading
    assert "blocked" not in heading
    assert "scheduled" not in heading


def test_a_missing_file_names_the_ways_to_another(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["-f", "nowhere.db", "status"]) == 69

    assert "--file PATH or --app module:attribute" in capsys.readouterr().err


def test_jobs_are_cancelled_requeued_changed_and_deleted(cli: Cli, app: Liteq) -> None:
    assert cli("job cancel 1 --json") == {"done": [1]}
    assert cli("job cancel 1", code=1) == ""
    assert cli("job cancel --queue a --yes --json") == {"done": [2, 3]}
    assert cli("job retry 1 2 --json") == {"done": [1, 2]}
    assert cli("job retry 1 99", code=1) == ""
    assert cli("job edit 4 --in 5m --priority low --to-queue c") == "changed job 4\n"
    assert cli("job edit --queue b --priority 7 --json") == {"done": [5]}
    moved = cli("job show 4 --json")
    assert (moved["state"], moved["queue"], moved["priority"]) == ("scheduled", "c", -100)
    assert cli("job delete 4") == "deleted job 4\n"
    assert cli("job delete --state ready --yes") == "deleted 3 jobs\n"


def test_dead_jobs_are_requeued_and_purged(cli: Cli, worked: Liteq) -> None:
    assert cli("job retry --queue b --json") == {"done": [4, 5]}
    worked.work(burst=True)
    assert cli("dead requeue 4") == "requeued job 4\n"
    assert cli("dead purge --older-than 1d --yes --json") == {"done": []}
    assert cli("dead purge --yes --json") == {"done": [5]}
    assert cli("dead requeue --all") == "requeued 0 jobs\n"
    assert cli("dead show 1", code=1) == ""


def test_queues_are_paused_resumed_and_reprioritized(cli: Cli) -> None:
    assert cli("queue pause a --json") == {"queue": "a", "paused": True}
    assert cli("queue:status a --json", code=4)["paused"] is True
    assert cli("queue resume a") == "queue a runs\n"
    assert cli("queue reprioritize a critical --json") == {"done": [1, 2, 3]}
    assert "1000" in cli("queue status a")


def test_the_file_is_pruned_copied_and_checked(cli: Cli, worked: Liteq, tmp_path: Path) -> None:
    assert cli("backup copy.db --json")["path"] == str(tmp_path / "copy.db")
    assert cli("backup copy.db", code=2) == ""
    assert "verified" in cli("backup copy.db --force")
    assert cli("prune --older-than 1h --json") == {"removed": 0}
    assert cli("prune --older-than 0s") == "removed 3 jobs\n"
    assert cli("-f copy.db check") == "the file is whole\n"


def test_settings_are_found_where_they_were_said(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.liteq]\nfile = "p.db"\ndurability = "normal"\n')
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert cli("config --json")["file"]["value"] == str(tmp_path / "p.db")
    monkeypatch.delenv("LITEQ_DURABILITY")
    assert cli("config --json")["durability"] == {"value": "normal", "source": str(tmp_path / "pyproject.toml")}
    monkeypatch.delenv("LITEQ_DURABILITY")
    monkeypatch.setenv("LITEQ_FILE", "e.db")
    assert cli("config --json")["file"] == {"value": str(below / "e.db"), "source": "LITEQ_FILE"}
    assert cli("config --json -f f.db")["file"] == {"value": str(below / "f.db"), "source": "--file"}
    (tmp_path / "pyproject.toml").write_text("[tool.liteq]\nflie = 3\n")
    assert cli("config", code=2) == ""
    (tmp_path / "pyproject.toml").write_text("not toml")
    assert cli("config", code=2) == ""


def test_an_instant_without_zone_is_noted(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["exec", "--at", "2030-01-01T00:00", "--", "true"]) == 0

    assert "local time" in capsys.readouterr().err


def test_version_and_help_are_there(cli: Cli) -> None:
    assert cli("--version").startswith("liteq ")
    for words in ("--help", "job --help", "exec --help", "enqueue -h"):
        assert "Usage" in cli(words)
