"""A folder of its own for each test, with tasks in it, and ``liteq`` as a real process there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

TASKS = """
from liteq import Liteq, Retry

app = Liteq("jobs.db")


@app.task
def add(a: int, b: int = 0) -> int:
    return a + b


@app.task
def greet(name: str) -> str:
    return "hello " + name


@app.task(retry=Retry.never())
def fail(why: str = "because") -> None:
    raise ValueError(why)
"""


class Liteq(Protocol):
    """Runs the command line and gives the ended process."""

    def __call__(
        self, *words: str, stdin: str | bytes | None = None, **environment: str
    ) -> "subprocess.CompletedProcess[str]": ...


def clean_environment() -> dict[str, str]:
    """Give the environment without what would steer liteq or its colours."""
    unwanted = ("LITEQ_", "FORCE_COLOR", "NO_COLOR", "COLUMNS")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


COMMAND = (sys.executable, "-W", "error", "-m", "liteq_cli")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture
def liteq(folder: Path) -> Liteq:
    def run(*words: str, stdin: str | bytes | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
        data = stdin.encode() if isinstance(stdin, str) else stdin
        ended = subprocess.run(
            [*COMMAND, *words],
            cwd=folder,
            env=clean_environment() | {"LITEQ_APP": "tasks:app"} | environment,
            input=data if data is not None else b"",
            capture_output=True,
            timeout=60,
            check=False,
        )
        out, err = ended.stdout.decode(), ended.stderr.decode()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(ended.args, ended.returncode, out, err)

    return run


@pytest.fixture
def read(liteq: Liteq) -> Callable[..., Any]:
    """Run a command with --json and give its document."""

    def run(*words: str, code: int = 0) -> Any:
        ended = liteq(*words, "--json")
        assert ended.returncode == code, ended.stderr
        return json.loads(ended.stdout)

    return run
