"""``liteq enqueue``: jobs of a task, one from the words given or many from standard input."""

import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, BinaryIO, cast

import msgspec
import typer

from liteq.app import Liteq
from liteq.command import COMMAND_TASK
from liteq.errors import InvalidOption, LiteqError, QueueFull, UnknownTask
from liteq.task import Call
from liteq_cli import options, output
from liteq_cli.commands.waiting import wait_for
from liteq_cli.exits import Code, Refused
from liteq_cli.target import Session, opened, session
from liteq_cli.ticker import Ticker

AT_ONCE = 1_000
LONGEST_LINE = 64 * 1024 * 1024


def enqueue(
    context: typer.Context,
    *,
    task: Annotated[str, typer.Argument(help="The task's name.", show_default=False)],
    words: Annotated[
        list[str] | None,
        typer.Argument(help="key=text, key:=JSON, or - to read JSON objects from stdin.", metavar="[KEY=VALUE]..."),
    ] = None,
    args: Annotated[str | None, typer.Option(help="All arguments as a JSON object or array.", metavar="JSON")] = None,
    queue: options.ToQueue = None,
    priority: options.PriorityWord = None,
    delay: options.In = None,
    at: options.At = None,
    unique_key: options.UniqueKey = None,
    debounce: options.Debounce = None,
    max_wait: options.MaxWait = None,
    wait_for_room: options.WaitForRoom = None,
    key: options.ConcurrencyKey = None,
    max_running_per_key: options.MaxRunningPerKey = None,
    rate_per_key: options.RatePerKey = None,
    after: options.After = None,
    tag: options.Tags = None,
    meta: options.Meta = None,
    time_limit: options.TimeLimit = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
) -> None:
    """Put a job in the queue and print its id.

    The arguments are checked against the task before anything is written. With - each line of standard input is the
    arguments of one job, as a JSON object; 1,000 are committed at once.
    """
    settings = options.settings_of(
        queue=queue,
        priority=priority,
        delay=delay,
        at=at,
        unique_key=unique_key,
        concurrency_key=key,
        max_running_per_key=max_running_per_key,
        rate_per_key=rate_per_key,
        after=after,
        tags=tag,
        meta=meta,
        time_limit=time_limit,
        debounce=debounce,
        max_wait=max_wait,
        wait_for_room=wait_for_room,
    )
    refuse_timeout_alone(timeout, wait=wait)
    given = session(context)
    refuse_without_app(given)
    app = opened(context, create=True, tasks=True)
    _check_task(app, task)
    if words == ["-"]:
        if wait or args is not None:
            raise Refused("- goes neither with --args nor with --wait")
        many(app, lambda line: _call_of_line(app, task, line, settings), as_json=given.as_json)
        return
    job = app.enqueue(call_of_words(app, task, words or [], args), **cast("Any", settings))
    finish(app, job.id, answer=job.answer, wait=wait, timeout=timeout, as_json=given.as_json)


def refuse_without_app(given: Session) -> None:
    """Raise Refused when nobody said which app declares the tasks."""
    if given.app_setting.value is None:
        raise Refused("which app declares the task is not known", hint="--app module:attribute, or LITEQ_APP")


def call_of_words(app: Liteq, task: str, words: list[str], args: str | None) -> Call[Any]:
    """Give the job that a task, ``key=value`` words and a JSON text mean; checked against the task."""
    _check_task(app, task)
    positional, named = _arguments(words, args)
    return app.call(task, *positional, **named)


def refuse_timeout_alone(timeout: str | None, *, wait: bool) -> None:
    """Raise Refused, before anything is stored, for a time to wait where nobody waits."""
    if timeout is not None and not wait:
        raise Refused("--timeout goes with --wait")


def finish(app: Liteq, job_id: int, *, answer: str, wait: bool, timeout: str | None, as_json: bool) -> None:
    """Print what was enqueued and, if asked, wait for it."""
    if not as_json:
        output.say(str(job_id))
    elif not wait:
        output.document({"id": job_id, "answer": answer})
    sys.stdout.flush()
    if wait:
        wait_for(app, [job_id], timeout=timeout, as_json=as_json, quiet=True)


def many(app: Liteq, read: Callable[[bytes], Call[Any]], *, as_json: bool) -> None:
    """Enqueue a job for each line of standard input, 1,000 in one commit, and print how many.

    Raises Refused for the first bad line, naming it; the full thousands before it stay.
    """
    stored = 0
    calls: list[Call[Any]] = []
    number = 0
    try:
        with Ticker("jobs stored") as ticker:
            for line in _lines(sys.stdin.buffer):
                number += 1
                if line.strip():
                    calls.append(read(line))
                if len(calls) == AT_ONCE:
                    stored += len(app.enqueue_many(calls))
                    calls = []
                    ticker.count(stored)
        if calls:
            stored += len(app.enqueue_many(calls))
    except (LiteqError, TypeError) as error:
        kept = f"{stored} jobs from earlier lines were enqueued and stay" if stored else "nothing was enqueued"
        code = Code.BUSY if isinstance(error, QueueFull) else Code.USAGE
        raise Refused(f"line {number}: {error}", hint=kept, code=code) from error
    if as_json:
        output.document({"enqueued": stored})
    else:
        output.say(str(stored))


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise InvalidOption(f"longer than {LONGEST_LINE} bytes")
        yield line


def _call_of_line(app: Liteq, task: str, line: bytes, settings: dict[str, Any]) -> Call[Any]:
    positional, named = _from_json(line)
    call = app.call(task, *positional, **named)
    return call.using(**cast("Any", settings)) if settings else call


def _check_task(app: Liteq, task: str) -> None:
    if task == COMMAND_TASK:
        raise Refused(f"{COMMAND_TASK} is enqueued by another command", hint="liteq exec -- COMMAND …")
    try:
        app.tasks[task]
    except UnknownTask as error:
        names = sorted(definition.name for definition in app.tasks if definition.name != COMMAND_TASK)
        known = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
        raise Refused(str(error), hint=f"known are {known}" if names else None, code=Code.NOT_FOUND) from error


def _arguments(words: list[str], args: str | None) -> tuple[list[Any], dict[str, Any]]:
    positional, named = ([], {}) if args is None else _from_json(args.encode("utf-8", "surrogateescape"))
    return positional, options.named_values(words, named)


def _from_json(text: bytes) -> tuple[list[Any], dict[str, Any]]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOption(f"arguments are no JSON: {error}") from error
    if isinstance(value, dict):
        return [], cast("dict[str, Any]", value)
    if isinstance(value, list):
        return msgspec.convert(value, list[Any]), {}
    raise InvalidOption("arguments must be a JSON object or array")
