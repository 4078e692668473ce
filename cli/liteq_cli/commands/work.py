"""``liteq work``: runs jobs until told to stop."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
import typer

import liteq
from liteq.app import Liteq
from liteq.errors import InvalidOption
from liteq.model.names import check_name, shown
from liteq.worker.leash import Leash
from liteq.worker.settings import WorkResult, WorkSettings, check_lease
from liteq.worker.supervisor import SupervisorSettings
from liteq_cli import output
from liteq_cli.exits import Code
from liteq_cli.fleet import supervise, unit_of
from liteq_cli.target import opened, session
from liteq_cli.times import duration_ms, parse_size

log = logging.getLogger("liteq.cli")

MAX_PROCESSES = 256
SHORTEST_TIME_MS = 1_000
LogLevel = Literal["debug", "info", "warning", "error"]


def work(
    context: typer.Context,
    *,
    queue: Annotated[
        list[str] | None, typer.Option("--queue", "-q", help="Only this queue; may be repeated.", metavar="QUEUE")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", "-t", help="Jobs at once in a process.", min=1, max=1000)] = 1,
    coroutines: Annotated[int, typer.Option(help="Coroutine jobs at once in a process.", min=1, max=1000)] = 100,
    processes: Annotated[
        int | None,
        typer.Option("--processes", "-p", help="Worker processes; 1 unless given.", min=1, max=MAX_PROCESSES),
    ] = None,
    autoscale: Annotated[
        str | None, typer.Option(help="Between so many processes, as the backlog wants.", metavar="MIN:MAX")
    ] = None,
    spare_after: Annotated[
        str, typer.Option(help="With --autoscale, end a process that had nothing to do for so long.", metavar="TIME")
    ] = "30s",
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is left to do.")] = False,
    max_jobs: Annotated[
        int | None, typer.Option(help="Replace a process after so many jobs; with --burst, end.", min=1)
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option(help="Replace a process that holds more: 300M, 2G.", metavar="SIZE")
    ] = None,
    max_time: Annotated[str | None, typer.Option(help="Replace a process after so long.", metavar="TIME")] = None,
    no_scheduler: Annotated[bool, typer.Option("--no-scheduler", help="Leave schedules to other workers.")] = False,
    grace: Annotated[str, typer.Option(help="What running jobs get when asked to stop.", metavar="TIME")] = "30s",
    kill_after: Annotated[
        str, typer.Option(help="What a task gets after its time limit before its process ends.", metavar="TIME")
    ] = "5s",
    lease: Annotated[
        str, typer.Option(help="A process without a heartbeat for so long is killed.", metavar="TIME")
    ] = "60s",
    reload: Annotated[
        bool, typer.Option("--reload", help="Replace the processes when a .py file below here changes.")
    ] = False,
    install_unit: Annotated[
        bool, typer.Option("--install-unit", help="Print a systemd unit for this command line, and end.")
    ] = False,
    log_level: Annotated[LogLevel, typer.Option(help="How much is said on stderr.")] = "info",
    one: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run jobs in worker processes, kept alive by this one. Ctrl-C or SIGTERM ends them gently, a second one at once.

    With --burst and no --processes the jobs run in this very process. Exit code 1 means that with --burst a job died.
    """
    output.log_to_stderr(log_level)
    settings = WorkSettings(
        queues=None if not queue else tuple(check_name(name, what="queue") for name in queue),
        threads=threads,
        coroutines=coroutines,
        burst=burst,
        max_jobs=max_jobs,
        grace_ms=duration_ms(grace),
        scheduler=not no_scheduler,
        lease_ms=check_lease(duration_ms(lease)),
        kill_after_ms=duration_ms(kill_after),
        owned=True,
    )
    fewest, most = _range(autoscale, processes)
    fleet = SupervisorSettings(
        processes=fewest,
        most_processes=most,
        spare_after_ms=duration_ms(spare_after),
        reload_on=Path.cwd() if reload else None,
        burst=burst,
        grace_ms=settings.grace_ms,
        max_memory=None if max_memory is None else parse_size(max_memory),
        max_time_ms=None if max_time is None else _checked_max_time(duration_ms(max_time)),
    )
    if one is not None:
        _work_on_leash(context, settings, one)
    elif install_unit:
        output.say(unit_of(_words(context), grace_s=settings.grace_ms / 1000, environment=_said_by_environment()))
    elif burst and processes is None and autoscale is None:
        _work_here(context, settings)
    else:
        _work_in_fleet(context, settings, fleet)


def _checked_max_time(max_time_ms: int) -> int:
    if max_time_ms < SHORTEST_TIME_MS:
        raise InvalidOption(f"--max-time must be at least {SHORTEST_TIME_MS / 1000:g} s: starting one takes as long")
    return max_time_ms


def _range(autoscale: str | None, processes: int | None) -> tuple[int, int]:
    """Give the fewest and the most processes."""
    if autoscale is None:
        return processes or 1, processes or 1
    fewest, colon, most = autoscale.partition(":")
    if processes is not None:
        raise InvalidOption("give either --processes or --autoscale, not both")
    if not (colon and fewest.isdecimal() and most.isdecimal() and 1 <= int(fewest) <= int(most) <= MAX_PROCESSES):
        raise InvalidOption(f"{shown(autoscale)} is no range; write 1:4, at most {MAX_PROCESSES}")
    return int(fewest), int(most)


def _work_here(context: typer.Context, settings: WorkSettings) -> None:
    app = opened(context, tasks=True)
    log.info("%s", _start_line(app, _named(context), settings))
    # Without a supervisor nobody would kill it first, so it has no lease.
    alone = msgspec.structs.replace(settings, lease_ms=None, retention_ms=app.retention_ms)
    result = app.new_worker(alone).run()
    log.info("%s", _end_line(_counts(result)))
    if session(context).as_json:
        output.document(result)
    if result.dead:
        raise typer.Exit(Code.FAILED)


def _work_on_leash(context: typer.Context, settings: WorkSettings, fd: int) -> None:
    """Be one worker process of a supervisor's."""
    app = opened(context, tasks=True)
    leash = Leash(fd, path=str(Path(os.fspath(app.path)).absolute()), opening=app.opening)
    worker = app.new_worker(msgspec.structs.replace(settings, retention_ms=app.retention_ms), leash)
    result = worker.run()
    leash.farewell(_counts(result), worker.why)
    if worker.left_running:
        # Tasks that were given back still run in their threads, which no interpreter can end.
        app.close()
        os._exit(Code.DONE)


def _work_in_fleet(context: typer.Context, settings: WorkSettings, fleet: SupervisorSettings) -> None:
    named = _named(context)
    log.info("liteq %s pid %d supervises %s, app %s", liteq.__version__, os.getpid(), _processes(fleet), named)
    code, counts = supervise(_words(context), fleet, as_json=session(context).as_json)
    log.info("%s", _end_line(counts))
    if code or (settings.burst and counts.get("dead")):
        raise typer.Exit(code or Code.FAILED)


def _words(context: typer.Context) -> list[str]:
    """Give the words of this command line for another process."""
    words = [*session(context).flags, "work"]
    given: dict[str, Any] = context.params
    for option in context.command.params:
        value = given.get(option.name or "")
        if option.name in {"install_unit", "one"} or value is None or value == option.default:
            continue
        flag = max(option.opts, key=len)
        values = list(cast("Sequence[object]", value)) if isinstance(value, list | tuple) else [value]
        words += [flag] if value is True else [word for one in values for word in (flag, str(one))]
    return words


def _said_by_environment() -> dict[str, str]:
    """Give what would be missing where another environment starts this command line."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith("LITEQ_") and value}


def _named(context: typer.Context) -> str:
    named = session(context).app_setting.value
    if named is None:
        log.warning("no app was named, so only shell commands run; --app module:attribute names one")
    return output.clean(named or "none")


def _start_line(app: Liteq, named: str, settings: WorkSettings) -> str:
    path = Path(os.fspath(app.path)).absolute()
    queues = "all queues" if settings.queues is None else f"queues {', '.join(settings.queues)}"
    tasks = sum(1 for _ in app.tasks)
    return (
        f"liteq {liteq.__version__} pid {os.getpid()}: {output.clean(path)}, app {named}, "
        f"{tasks} task{'s' * (tasks != 1)}, {queues}, {settings.threads} thread{'s' * (settings.threads != 1)}"
    )


def _processes(fleet: SupervisorSettings) -> str:
    most = fleet.most_processes or fleet.processes
    if most > fleet.processes:
        return f"{fleet.processes} to {most} processes"
    return f"{most} process{'es' * (most != 1)}"


def _counts(result: WorkResult) -> dict[str, int]:
    return {name: getattr(result, name) for name in result.__struct_fields__}


def _end_line(counts: dict[str, int]) -> str:
    return "ended: " + (", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing was done")
