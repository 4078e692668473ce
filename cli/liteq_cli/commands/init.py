"""``liteq init``: a file, its settings and a first task. Safe to run again: nothing that is there is changed."""

import os
from pathlib import Path

import typer

from liteq.app import Liteq
from liteq_cli import output
from liteq_cli.output import clean
from liteq_cli.target import read_table, session

STARTER = '''"""Tasks of this project. A worker runs them: liteq work"""

from liteq import Liteq

app = Liteq({file!r})


@app.task
def hello(name: str) -> str:
    """Enqueue it with: liteq enqueue tasks.hello name=you"""
    return f"hello, {{name}}"
'''


def init(context: typer.Context) -> None:
    """Create the file of jobs, the table tool.liteq in pyproject.toml and a starter module, each unless it is there."""
    given = session(context)
    file = given.file_setting.value or "liteq.db"
    done: dict[str, str] = {}
    starter = Path("tasks.py")
    if given.app_setting.value is not None:
        app = given.app
        done["app"] = f"{given.app_setting.value} is set already"
    else:
        app = Liteq(file)
    path = Path(os.fspath(app.path))
    done["file"] = f"{path.absolute()} " + ("was there" if path.exists() else "is new")
    context.call_on_close(app.close)
    _ = app.engine
    if given.app_setting.value is None:
        done["pyproject"] = _add_table(Path("pyproject.toml"), file)
        if starter.exists():
            done["starter"] = f"{starter.absolute()} was there and is unchanged"
        else:
            starter.write_text(STARTER.format(file=file), encoding="utf-8")
            done["starter"] = f"{starter.absolute()} is new"
    if given.as_json:
        output.document(done)
        return
    output.pairs((name, clean(text)) for name, text in done.items())
    output.note("try: liteq enqueue tasks.hello name=you && liteq work --burst && liteq job list")


def _add_table(path: Path, file: str) -> str:
    snippet = f"[tool.liteq]\nfile = {_toml(file)}\napp = {_toml('tasks:app')}\n"
    if not path.exists():
        path.write_text(snippet, encoding="utf-8")
        return f"{path.absolute()} is new, with [tool.liteq]"
    if read_table(path):
        return f"{path.absolute()} has [tool.liteq] and is unchanged"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.rstrip("\n") + "\n\n" + snippet, encoding="utf-8")
    return f"{path.absolute()} got [tool.liteq]"


def _toml(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
