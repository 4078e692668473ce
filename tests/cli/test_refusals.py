"""Exit codes, and what is said with each: one line, a hint, no traceback."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from liteq_cli.exits import CODES, Code, code_of
from liteq_cli.main import answer
from liteq_cli.spelling import in_order

import liteq as face
from tests.cli.conftest import COMMAND, Liteq, clean_environment

Here = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Run words in this process and give the exit code and what was printed."""
    for name in ("LITEQ_FILE", "LITEQ_DURABILITY", "FORCE_COLOR"):
        # Set first, so that what the command line adds is undone as well.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setenv("LITEQ_APP", "tasks.py:app")

    def run(words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = answer(in_order([word.strip("'") for word in words.split(" ")]))
        return (code, *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    "words",
    [
        "status",
        "work --burst",
        "job list",
        "job show 1",
        "job wait 1",
        "job logs 1",
        "job cancel 1",
        "dead list",
        "queue list",
        "queue pause q",
        "prune --older-than 1d",
        "backup b.db",
        "check",
    ],
)
def test_a_missing_file_is_named_and_not_made(here: Here, folder: Path, words: str) -> None:
    code, out, err = here(words)

    assert (code, out) == (Code.UNAVAILABLE, "")
    assert str(folder / "jobs.db") in err
    assert "hint: " in err
    assert not (folder / "jobs.db").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("enqueue tasks.nope", 3),
        ("job show 9", 3),
        ("job cancel 9", 3),
        ("queue status nope", 3),
        ("job show 99999999999999999999", 2),
        ("job show -1", 2),
        ("job show x", 2),
        ("job list --state asleep", 2),
        ("job list --since yesterday", 2),
        ("job delete", 2),
        ("job delete --state dead", 2),
        ("job delete 1 --state dead", 2),
        ("job cancel --queue q", 2),
        ("job edit 1", 2),
        ("job edit 1 --in 5m --at 2027-01-01", 2),
        ("dead purge", 2),
        ("dead requeue", 2),
        ("prune", 2),
        ("nonsense", 2),
        ("status --nonsense", 2),
        ("enqueue tasks.add a:=1 --priority urgent", 2),
        ("enqueue tasks.add a:=1 --in soon", 2),
        ("enqueue tasks.add a:=1 --timeout 5s", 2),
        ("enqueue liteq.command argv=x", 2),
        ("--app nowhere:app status", 2),
        ("--app tasks:nothing status", 2),
        ("--app nowhere.py status", 2),
        ("--app :x status", 2),
        ("backup .", 2),
        ("job", 2),
        ("queue pause ''", 2),
    ],
)
def test_each_refusal_has_its_code_and_one_line(here: Here, words: str, code: int) -> None:
    here("init")

    ended, out, err = here(words)

    assert (ended, out) == (code, ""), err
    if words != "job":
        assert err.startswith("error: ")
        assert len(err.splitlines()) <= 2


def test_every_error_of_liteq_has_a_code() -> None:
    kinds = [kind for kind in vars(face).values() if isinstance(kind, type) and issubclass(kind, face.LiteqError)]

    assert all(any(issubclass(kind, row) for row, _ in CODES) for kind in kinds)
    assert code_of(face.Busy("x")) is Code.BUSY
    assert code_of(face.DiskFull("x")) is Code.UNAVAILABLE
    assert code_of(face.WaitTimeout("x")) is Code.TIMED_OUT


def test_degraded_and_without_worker_have_codes(liteq: Liteq) -> None:
    liteq("init")
    assert liteq("status", "--check").returncode == 0
    liteq("queue", "pause", "mail", "--reason", "a reason")
    assert liteq("status", "--check").returncode == 4
    assert liteq("queue:status", "mail").returncode == 4
    assert liteq("status").returncode == 0
    liteq("queue", "resume", "mail")
    liteq("enqueue", "tasks.add", "a:=1")
    assert liteq("status", "--check").returncode == 69


def test_a_script_that_enqueues_while_it_is_imported_is_refused(liteq: Liteq, folder: Path) -> None:
    script = (folder / "tasks.py").read_text() + "\nadd.enqueue(1)\n"
    (folder / "loose.py").write_text(script)

    for named in ("loose:app", "loose.py:app", "loose"):
        ended = liteq("--app", named, "work", "--burst")
        assert ended.returncode == 2
        assert "if __name__ == " in ended.stderr
    assert not (folder / "jobs.db").exists()


def test_a_script_and_a_worker_that_loads_it_agree_on_names(liteq: Liteq, folder: Path) -> None:
    (folder / "script.py").write_text(
        (folder / "tasks.py").read_text() + '\nif __name__ == "__main__":\n    add.enqueue(1)\n'
    )
    subprocess.run([COMMAND[0], "script.py"], cwd=folder, check=True, env=clean_environment())

    assert liteq("work", "--burst", "--app", "script.py:app").returncode == 0
    assert liteq("job", "wait", "1").stdout == "1 completed\n"


def test_a_broken_module_is_one_line_and_debug_says_more(folder: Path, liteq: Liteq) -> None:
    (folder / "broken.py").write_text("1 / 0\n")

    ended = liteq("--app", "broken", "status")
    assert ended.returncode == 2
    assert "ZeroDivisionError" in ended.stderr

    debug = subprocess.run(
        [*COMMAND, "status", "--debug", "--app", "broken"],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        check=False,
    )
    assert b"Traceback" in debug.stderr


@pytest.mark.parametrize("reader", ["true", "head -c 1"])
def test_a_reader_that_leaves_early_causes_no_traceback(folder: Path, liteq: Liteq, reader: str) -> None:
    liteq("enqueue", "tasks.add", "-", stdin='{"a": 1}\n' * 3_000)

    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {' '.join(COMMAND)} -f jobs.db job list --limit 3000 --json | {reader}"],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_cause_no_traceback(folder: Path, liteq: Liteq, redirection: str) -> None:
    liteq("init")

    ended = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} -f jobs.db status {redirection}"],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_a_failure(folder: Path, liteq: Liteq) -> None:
    liteq("init")

    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = subprocess.run(
            [*COMMAND, "-f", "jobs.db", "status"],
            cwd=folder,
            env=clean_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert ended.returncode == 1
    assert b"Traceback" not in ended.stderr


def test_a_poor_locale_is_enough_for_any_name(folder: Path, liteq: Liteq) -> None:
    for encoding in ({}, {"PYTHONIOENCODING": "ascii"}):
        environment = {"LC_ALL": "C"} | encoding
        assert liteq("enqueue", "tasks.greet", "name=Ünïcode ✓", "--queue", "kö", **environment).returncode == 0
        listed = liteq("job", "list", "--json", **environment)
        assert listed.returncode == 0
        assert liteq("job", "show", "1", **environment).returncode == 0


def test_control_characters_are_escaped(folder: Path, liteq: Liteq) -> None:
    liteq("enqueue", "tasks.fail", "why=\x1b[31mred\x07")
    liteq("work", "--burst")

    for words in (("job", "list"), ("job", "show", "1"), ("job", "logs", "1"), ("dead", "list"), ("job", "wait", "1")):
        assert "\x1b" not in liteq(*words).stdout
    assert os.linesep in liteq("job", "show", "1").stdout


@pytest.mark.parametrize(("said", "code", "left"), [(b"n\n", 1, 1), (b"y\n", 0, 0)])
def test_a_person_at_a_terminal_is_asked_before_many_jobs_go(
    folder: Path, liteq: Liteq, said: bytes, code: int, left: int
) -> None:
    liteq("enqueue", "tasks.add", "a:=1")
    person, terminal = pty.openpty()
    try:
        with subprocess.Popen(
            [*COMMAND, "-f", "jobs.db", "job", "delete", "--state", "ready"],
            cwd=folder,
            env=clean_environment(),
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as asked:
            os.write(person, said)
            assert asked.wait(20) == code
            assert asked.stderr is not None
            assert b"Delete 1 job?" in asked.stderr.read()
    finally:
        os.close(person)
        os.close(terminal)
    assert liteq("job", "list").stdout.count("tasks.add") == left


def test_ctrl_c_ends_a_wait_with_130(folder: Path, liteq: Liteq) -> None:
    liteq("enqueue", "tasks.add", "a:=1")

    with subprocess.Popen(
        [*COMMAND, "-f", "jobs.db", "job", "wait", "1"], cwd=folder, env=clean_environment(), stderr=subprocess.PIPE
    ) as waits:
        assert waits.stderr is not None
        assert b"no worker is alive" in waits.stderr.readline()
        os.kill(waits.pid, signal.SIGINT)
        assert waits.wait(20) == 130
        assert waits.stderr.read() == b"interrupted\n"


def test_looking_at_a_named_file_needs_no_working_app(liteq: Liteq, folder: Path) -> None:
    liteq("init")
    (folder / "broken.py").write_text("1 / 0\n")

    assert liteq("status", LITEQ_APP="broken").returncode == 2
    assert liteq("status", "-f", "jobs.db", LITEQ_APP="broken").returncode == 0


def test_a_time_to_wait_without_waiting_is_refused_before_anything_is_stored(liteq: Liteq) -> None:
    liteq("init")
    refused = [
        liteq("enqueue", "tasks.add", "a:=1", "--timeout", "5s"),
        liteq("exec", "--timeout", "5s", "--", "true"),
    ]

    assert [ended.returncode for ended in refused] == [2, 2]
    assert json.loads(liteq("job", "list", "--json").stdout)["jobs"] == []
