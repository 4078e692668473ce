"""``liteq config``: what is in force, and where each value was said."""

import os
from pathlib import Path

import typer

from liteq_cli import output
from liteq_cli.exits import Refused
from liteq_cli.output import Column, clean
from liteq_cli.target import Session, Setting, session


def config(context: typer.Context) -> None:
    """Show the file, the app, its tasks and the durability in force, and where each was said."""
    given = session(context)
    settings = _settings(given)
    tasks = sorted(definition.name for definition in given.app.tasks)
    if given.as_json:
        document = {setting.name: {"value": setting.value, "source": setting.source} for setting in settings}
        output.document(document | {"tasks": tasks})
        return
    columns = (Column("name"), Column("value", yields=True), Column("from", yields=True))
    output.table(columns, [[one.name, clean(one.value or "none"), clean(one.source)] for one in settings])
    output.say()
    output.say("tasks: " + clean(", ".join(tasks)))


def _settings(given: Session) -> list[Setting]:
    app = given.app
    named = given.app_setting
    path = str(Path(os.fspath(app.path)).absolute())
    from_app = named.value is not None and given.file_setting.source != "--file"
    source = f"the app {named.value}" if from_app else given.file_setting.source
    durability = given.durability_setting
    if app.durability != durability.value:
        durability = Setting("durability", app.durability, f"the app {named.value}")
    if durability.value not in {"full", "normal"}:
        raise Refused(f"durability must be 'full' or 'normal', not {str(durability.value)[:40]!r}")
    project = given.project.path
    return [
        Setting("file", path, source),
        named,
        durability,
        Setting("pyproject", None if project is None else str(project), "the nearest upwards"),
    ]
