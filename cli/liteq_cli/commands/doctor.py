"""``liteq doctor``: is everything here fit to run jobs, and if not, what to do about it."""

import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

import msgspec
import typer

import liteq
from liteq.app import Liteq
from liteq.errors import InvalidSchedule, LiteqError
from liteq.store.sqlite.connection import sqlite_version
from liteq.store.sqlite.platform import filesystem_of
from liteq.timezones import load_zone, tzdata_version
from liteq_cli import output
from liteq_cli.commands.pipeline import Step, run_pipeline
from liteq_cli.exits import Code
from liteq_cli.output import Column, clean
from liteq_cli.target import Session, session
from liteq_cli.times import size

DISTRIBUTION = "liteq-jobs"
LOW_DISK_BYTES = 64 * 1024 * 1024
LARGE_LOG_BYTES = 64 * 1024 * 1024

Verdict = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at, and what to do where it is not well."""

    what: str
    verdict: Verdict
    seen: str
    advice: str = ""


def doctor(
    context: typer.Context,
    *,
    pipeline: Annotated[
        bool,
        typer.Option(
            "--pipeline", help="Send one tick through schedule, queue, worker and history, on a temporary file."
        ),
    ] = False,
) -> None:
    """Look whether everything here is fit to run jobs. Exit code 1 when something is not."""
    if pipeline:
        _show_pipeline(run_pipeline(), as_json=session(context).as_json)
        return
    findings = list(_examine(session(context)))
    if session(context).as_json:
        output.document({"fit": _fit(findings), "findings": findings})
    else:
        _show(findings)
    if not _fit(findings):
        raise typer.Exit(Code.FAILED)


def _fit(findings: list[Finding]) -> bool:
    return all(finding.verdict != "fail" for finding in findings)


def _show(findings: list[Finding]) -> None:
    columns = (Column(""), Column("what"), Column("seen", yields=True))
    output.table(columns, [[one.verdict, one.what, clean(one.seen)] for one in findings])
    for one in findings:
        if one.advice:
            output.note(f"{one.what}: {one.advice}")


def _show_pipeline(steps: list[Step], *, as_json: bool) -> None:
    passed = all(step.passed for step in steps)
    if as_json:
        output.document({"passed": passed, "steps": steps})
    else:
        columns = (Column(""), Column("step"), Column("ms", right=True), Column("seen", yields=True))
        rows = [["ok" if one.passed else "fail", one.step, f"{one.ms:.1f}", clean(one.seen)] for one in steps]
        output.table(columns, rows)
    if not passed:
        raise typer.Exit(Code.FAILED)


def _examine(given: Session) -> Iterator[Finding]:
    yield _python()
    yield _distribution()
    yield _zones()
    try:
        app = given.app
    except Exception as error:  # noqa: BLE001  an application that does not load is a finding like any other
        advice = "liteq --debug config shows the traceback"
        yield Finding(what="app", verdict="fail", seen=f"{type(error).__name__}: {error}", advice=advice)
        app = given.bare
    else:
        yield _app(given, app)
    with app:
        yield from _file(app)


def _python() -> Finding:
    seen = f"Python {platform.python_version()}, SQLite {sqlite_version()}, {platform.system()} {platform.machine()}"
    return Finding(what="runtime", verdict="ok", seen=seen)


def _distribution() -> Finding:
    """The name on the package index is somebody else's, with the same name to import."""
    from importlib.metadata import (  # noqa: PLC0415  8 ms that every other command would wait for too
        PackageNotFoundError,
        distribution,
        packages_distributions,
    )

    seat = Path(liteq.__file__).resolve()
    seen = f"liteq {liteq.__version__} in {str(seat.parent)!r}"
    strangers = sorted(set(packages_distributions().get("liteq", [])) - {DISTRIBUTION})
    if strangers:
        advice = f"pip uninstall {' '.join(strangers)}, then install {DISTRIBUTION} again: both write the same files"
        return Finding(what="package", verdict="fail", seen=f"{seen} beside {', '.join(strangers)}", advice=advice)
    try:
        ours = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        advice = f"pip install {DISTRIBUTION}"
        return Finding(what="package", verdict="warn", seen=f"{seen}, not installed as a package", advice=advice)
    files = [Path(str(ours.locate_file(one))) for one in ours.files or () if one.name == seat.name]
    if not _holds(files, ours.read_text("direct_url.json"), seat):
        advice = (
            f"it hides {DISTRIBUTION} {ours.version}, which is installed; look at PYTHONPATH and the present folder"
        )
        return Finding(what="package", verdict="warn", seen=seen, advice=advice)
    return Finding(what="package", verdict="ok", seen=f"{DISTRIBUTION} {ours.version}")


def _holds(files: list[Path], origin: str | None, seat: Path) -> bool:
    """Tell whether the file is one that the distribution installed, or lies in the folder it was made editable in."""
    if any(file.resolve() == seat for file in files):
        return True
    try:
        url = urlsplit(str(json.loads(origin or "{}").get("url", "")))
    except (ValueError, AttributeError):
        return False
    return url.scheme == "file" and Path(unquote(url.path)).resolve() in seat.parents


def _zones() -> Finding:
    release = tzdata_version()
    try:
        load_zone("Europe/Berlin")
    except InvalidSchedule:
        advice = "pip install tzdata; until then only schedules in UTC fire"
        return Finding(what="time zones", verdict="warn", seen="none", advice=advice)
    return Finding(what="time zones", verdict="ok", seen=f"release {release}")


def _app(given: Session, app: Liteq) -> Finding:
    named = given.app_setting.value
    if named is None:
        advice = "--app module:attribute or LITEQ_APP names the app; without one only shell commands run"
        return Finding(what="app", verdict="warn", seen="none is named", advice=advice)
    tasks = sum(1 for _ in app.tasks) - 1
    return Finding(what="app", verdict="ok", seen=f"{named}, {tasks} task{'s' * (tasks != 1)}")


def _file(app: Liteq) -> Iterator[Finding]:
    path = Path(os.fspath(app.path)).absolute()
    yield _disk(path.parent)
    if not path.exists():
        yield Finding(what="file", verdict="warn", seen=f"there is no {str(path)!r}", advice="liteq init makes one")
        return
    mode = path.stat().st_mode & 0o777
    open_to_all = bool(mode & 0o077)
    advice = f"chmod 600 {str(path)!r}: it holds what your jobs are given" if open_to_all else ""
    yield Finding(what="mode", verdict="warn" if open_to_all else "ok", seen=f"{mode:04o}", advice=advice)
    for question in (_whole, _log, _workers, _scheduler):
        yield _asked(app, question)


def _asked(app: Liteq, question: Callable[[Liteq], Finding]) -> Finding:
    try:
        return question(app)
    except LiteqError as error:
        return Finding(what=question.__name__.removeprefix("_"), verdict="fail", seen=str(error))


def _disk(folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding(what="disk", verdict="fail", seen=f"there is no folder {str(folder)!r}", advice="make it")
    free = shutil.disk_usage(folder).free
    kind = filesystem_of(folder) or "unknown file system"
    seen = f"{kind}, {size(free)} free"
    if kind in {"tmpfs", "ramfs"}:
        return Finding(what="disk", verdict="warn", seen=seen, advice="what lies in memory is gone after a restart")
    low = free < LOW_DISK_BYTES
    return Finding(what="disk", verdict="fail" if low else "ok", seen=seen, advice="make room" if low else "")


def _whole(app: Liteq) -> Finding:
    complaints = app.engine.check(full=False)
    facts = app.engine.file_facts()
    if complaints:
        advice = "liteq check --full says more; restore a backup"
        return Finding(what="file", verdict="fail", seen=complaints[0], advice=advice)
    return Finding(what="file", verdict="ok", seen=f"{facts.path}, {size(facts.bytes)}, whole, schema {facts.schema}")


def _log(app: Liteq) -> Finding:
    wal = app.engine.file_facts().wal_bytes
    large = wal > LARGE_LOG_BYTES
    advice = "a program keeps a read transaction open; end it" if large else ""
    return Finding(what="log", verdict="warn" if large else "ok", seen=size(wal), advice=advice)


def _workers(app: Liteq) -> Finding:
    alive = sum(worker.alive for worker in app.engine.workers())
    advice = "" if alive else "liteq work starts one"
    return Finding(what="workers", verdict="ok" if alive else "warn", seen=f"{alive} alive", advice=advice)


def _scheduler(app: Liteq) -> Finding:
    status = app.schedules.status()
    seen = (
        f"{status.schedules} schedule{'s' * (status.schedules != 1)}, {status.overdue} overdue, {status.broken} broken"
    )
    if status.broken:
        return Finding(what="schedules", verdict="fail", seen=seen, advice="liteq schedule list shows which")
    late = bool(status.overdue)
    advice = "liteq work or liteq schedule run fires them" if late else ""
    return Finding(what="schedules", verdict="warn" if late else "ok", seen=seen, advice=advice)
