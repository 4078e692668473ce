"""The commands put together, and the way out: every error becomes one line and an exit code."""

import gc
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer

import liteq
from liteq_cli import output
from liteq_cli.commands import (
    batch,
    breaker,
    config,
    dead,
    demo,
    doctor,
    enqueue,
    init,
    job,
    limits,
    lock,
    queue,
    schedule,
    shell,
    status,
    upkeep,
    work,
    worker,
)
from liteq_cli.exits import Code, code_of, hint_of
from liteq_cli.spelling import in_order
from liteq_cli.target import Session

EPILOG = (
    "The options --file, --app, --json and --debug may stand anywhere. Exit codes: 0 done, 1 failed, 2 usage, "
    "3 not found, 4 degraded, 5 timed out, 69 unavailable, 75 busy, 130 interrupted."
)

_STDERR = 2

app = typer.Typer(
    name="liteq",
    help="A whole job queue and scheduler in one SQLite file.",
    epilog=EPILOG,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if output.is_rich(sys.stdout) else None,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  typer calls it
    if wanted:
        output.say(f"liteq {liteq.__version__}")
        raise typer.Exit


@app.callback()
def _globals(  # pyright: ignore[reportUnusedFunction]
    context: typer.Context,
    *,
    file: Annotated[
        str | None, typer.Option("--file", "-f", help="The file of jobs (LITEQ_FILE).", metavar="PATH")
    ] = None,
    app_name: Annotated[
        str | None, typer.Option("--app", help="module:attribute of the app (LITEQ_APP).", metavar="APP")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    del version
    context.obj = Session(file=file, app=app_name, as_json=as_json, debug=debug)


app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("enqueue")(enqueue.enqueue)
app.command("exec", context_settings={"allow_interspersed_args": False})(shell.exec_)
app.command("work")(work.work)
app.command("status")(status.status)
app.add_typer(job.app, name="job")
app.add_typer(dead.app, name="dead")
app.add_typer(queue.app, name="queue")
app.add_typer(breaker.app, name="breaker")
app.add_typer(limits.app, name="task")
app.add_typer(batch.app, name="batch")
app.add_typer(worker.app, name="worker")
app.add_typer(lock.app, name="lock")
app.add_typer(schedule.app, name="schedule")
app.command("prune")(upkeep.prune)
app.command("backup")(upkeep.backup)
app.command("check")(upkeep.check)
app.command("config")(config.config)
app.command("doctor")(doctor.doctor)


def run(words: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    # What the imports have made stays to the end: else Python looks through it all again, 20 ms of it as it exits.
    gc.freeze()
    _mend_streams()
    warnings.showwarning = _show_warning
    args = in_order(sys.argv[1:] if words is None else words)
    code = answer(args)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
    except OSError as error:
        output.note(f"error: the output cannot be written: {error.strerror}")
        _drop_output()
        code = code or Code.FAILED
    sys.exit(int(code))


def answer(args: list[str]) -> int:
    """Carry the words out and give the exit code. Says on stderr what went wrong."""
    command = typer.main.get_command(app)
    if "_LITEQ_COMPLETE" in os.environ:
        return int(command.main(args, prog_name="liteq", standalone_mode=False) or 0)
    debug = "--debug" in args
    try:
        with command.make_context("liteq", args or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, typer.Abort):
        output.note("interrupted")
        return Code.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has seen enough; that is no failure.
        _drop_output()
        return Code.DONE
    except Exception as error:  # noqa: BLE001  the one place where errors become words
        if debug:
            traceback.print_exc()
        return _explain(error)
    return Code.DONE


def _explain(error: Exception) -> int:
    if hasattr(error, "format_message"):
        return _explain_usage(cast("Any", error))
    code = code_of(error)
    kind = "" if code is not Code.FAILED or _is_ours(error) else f"{type(error).__name__}: "
    output.note(f"error: {kind}{output.clean(error, limit=1000)}")
    hint = hint_of(error)
    if hint is None and kind:
        hint = "--debug shows the traceback"
    if hint is not None:
        output.note(f"hint: {output.clean(hint)}")
    return code


def _is_ours(error: Exception) -> bool:
    return type(error).__module__.split(".")[0] in {"liteq", "liteq_cli"}


def _explain_usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        output.note(context.get_help())
        return Code.USAGE
    output.note(f"error: {output.clean(error.format_message(), limit=1000)}")
    if context is not None:
        output.note(f"hint: {context.command_path} --help")
    return Code.USAGE


def _mend_streams() -> None:
    """Make both streams able to take any text: closed ones lead nowhere, odd encodings escape what they lack."""
    # A number below 3 that is free would be given to the next file opened, and that is the file of jobs.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  it is None when it was closed
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    output.note(f"warning: {output.clean(message, limit=1000)}")


def _drop_output() -> None:
    """Let the interpreter's own flush at the end find no broken pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
