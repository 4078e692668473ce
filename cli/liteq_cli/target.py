"""Which file and which app a command is about, and where each of the two was said."""

import os
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import msgspec
import typer

from liteq.app import Liteq
from liteq.errors import FileMissing
from liteq_cli.exits import Refused
from liteq_cli.loading import load_app

DEFAULT_FILE = "liteq.db"
PROJECT_KEYS = ("file", "app", "durability")


class Setting(msgspec.Struct, frozen=True):
    """A value that is in force, and where it comes from."""

    name: str
    value: str | None
    source: str


class Project(msgspec.Struct, frozen=True):
    """The nearest pyproject.toml and its ``[tool.liteq]``; no path when there is none."""

    path: Path | None = None
    table: dict[str, str] = {}


class Session:
    """What the global options said, and the app that follows from them and from the surroundings."""

    def __init__(self, *, file: str | None, app: str | None, as_json: bool, debug: bool) -> None:
        self._file = file
        self._app = app
        self.as_json = as_json
        self.debug = debug

    @property
    def flags(self) -> list[str]:
        """What was said by flags, as words for another process."""
        said = [] if self._file is None else ["--file", self._file]
        return said if self._app is None else [*said, "--app", self._app]

    @cached_property
    def project(self) -> Project:
        """The nearest pyproject.toml, from the current folder upwards."""
        here = Path.cwd()
        for folder in (here, *here.parents):
            path = folder / "pyproject.toml"
            if path.is_file():
                return Project(path, read_table(path))
        return Project()

    @cached_property
    def app_setting(self) -> Setting:
        """Which app, None when nobody said."""
        return self._first("app", self._app, "--app", "LITEQ_APP", None)

    @cached_property
    def file_setting(self) -> Setting:
        """Which file, when no app says it itself."""
        found = self._first("file", self._file, "--file", "LITEQ_FILE", DEFAULT_FILE)
        path = self.project.path
        if path is not None and found.source == str(path) and found.value is not None:
            return Setting("file", str(path.parent / found.value), found.source)
        return found

    @cached_property
    def durability_setting(self) -> Setting:
        """What was said about durability, before it is passed on through the environment."""
        return self._first("durability", None, "", "LITEQ_DURABILITY", "full")

    def _first(self, name: str, flag: str | None, option: str, variable: str, default: str | None) -> Setting:
        if flag is not None:
            return Setting(name, flag, option)
        if os.environ.get(variable):
            return Setting(name, os.environ[variable], variable)
        if name in self.project.table:
            return Setting(name, self.project.table[name], str(self.project.path))
        return Setting(name, default, "default")

    def open(self, *, create: bool, tasks: bool) -> Liteq:
        """Give the app, its file on hand. Raises FileMissing with the absolute path where none may be created.

        Without ``tasks`` a file that was named by the flag is enough: no code of the project is needed to look at it.
        """
        alone = not tasks and self._file is not None and self._app is None
        app = self.bare if alone else self.app
        path = Path(os.fspath(app.path)).absolute()
        if not create and not path.exists():
            raise FileMissing(f"there is no file {str(path)!r}")
        return app

    @property
    def bare(self) -> Liteq:
        """An app for the file alone, that knows shell commands only."""
        self._pass_durability_on()
        return Liteq(self.file_setting.value or DEFAULT_FILE)

    def _pass_durability_on(self) -> None:
        durability = self.durability_setting
        if durability.value is not None and durability.source != "default":
            # Under this name the app finds it too, wherever it was said.
            os.environ["LITEQ_DURABILITY"] = durability.value

    @cached_property
    def app(self) -> Liteq:
        """The app, with its tasks if one was named, else with shell commands only. Nothing is opened yet."""
        named = self.app_setting.value
        if named is None:
            return self.bare
        self._pass_durability_on()
        folders = [Path.cwd()]
        if self.project.path is not None and self.app_setting.source == str(self.project.path):
            folders.insert(0, self.project.path.parent)
        app = load_app(named, folders=folders)
        if self._file is not None:
            app.close()
            app.path = self._file
        return app


def session(context: typer.Context) -> Session:
    """Give what the global options said."""
    return cast("Session", context.find_root().obj)


def opened(context: typer.Context, *, create: bool = False, tasks: bool = False) -> Liteq:
    """Give the app of this command line, closed when the command ends. ``tasks``: it must know them."""
    app = session(context).open(create=create, tasks=tasks)
    context.call_on_close(app.close)
    return app


def read_table(path: Path) -> dict[str, str]:
    """Give ``[tool.liteq]`` of a pyproject.toml, empty without one. Raises Refused when it cannot be right."""
    try:
        whole: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"cannot read {str(path)!r}: {error}") from error
    tool = whole.get("tool")
    table: Any = cast("dict[str, Any]", tool).get("liteq", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise Refused(f"[tool.liteq] in {str(path)!r} is no table")
    return _checked(cast("dict[str, Any]", table), path)


def _checked(table: dict[str, Any], path: Path) -> dict[str, str]:
    for name, value in table.items():
        if name not in PROJECT_KEYS or not isinstance(value, str):
            raise Refused(f"[tool.liteq] {name} in {str(path)!r} is not known; known are {', '.join(PROJECT_KEYS)}")
    return {name: str(value) for name, value in table.items()}
