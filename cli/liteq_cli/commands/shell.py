"""``liteq exec``: shell commands as jobs."""

from typing import Annotated, Any, cast

import typer

from liteq.app import Liteq
from liteq.errors import InvalidOption
from liteq.model.retry import Retry
from liteq.task import Call
from liteq_cli import options
from liteq_cli.commands.enqueue import finish, many, refuse_timeout_alone
from liteq_cli.exits import Refused
from liteq_cli.target import opened, session


def exec_(
    context: typer.Context,
    *,
    words: Annotated[
        list[str],
        typer.Argument(
            help="One word is a line for the shell, several run as they stand, - reads lines from stdin.",
            metavar="COMMAND...",
            show_default=False,
        ),
    ],
    queue: options.ToQueue = None,
    priority: options.PriorityWord = None,
    delay: options.In = None,
    at: options.At = None,
    unique_key: options.UniqueKey = None,
    debounce: options.Debounce = None,
    max_wait: options.MaxWait = None,
    wait_for_room: options.WaitForRoom = None,
    after: options.After = None,
    tag: options.Tags = None,
    meta: options.Meta = None,
    time_limit: options.TimeLimit = None,
    max_failures: Annotated[
        int | None, typer.Option(help="Dead after so many failures; 1 unless given.", min=1, max=1000)
    ] = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
) -> None:
    """Put a command in the queue and print the job's id. Its exit code is the job's outcome; its output is kept.

    It runs in this folder, with the worker's environment.
    """
    settings = options.settings_of(
        queue=queue,
        priority=priority,
        delay=delay,
        at=at,
        unique_key=unique_key,
        after=after,
        tags=tag,
        meta=meta,
        time_limit=time_limit,
        debounce=debounce,
        max_wait=max_wait,
        wait_for_room=wait_for_room,
    )
    if max_failures is not None:
        settings["retry"] = Retry(max_failures=max_failures)
    refuse_timeout_alone(timeout, wait=wait)
    app = opened(context, create=True)
    as_json = session(context).as_json
    if words == ["-"]:
        if wait:
            raise Refused("- does not go with --wait")
        many(app, lambda line: _call_of_line(app, line, settings), as_json=as_json)
        return
    job = app.enqueue(app.command(words[0] if len(words) == 1 else words), **cast("Any", settings))
    finish(app, job.id, answer=job.answer, wait=wait, timeout=timeout, as_json=as_json)


def _call_of_line(app: Liteq, line: bytes, settings: dict[str, Any]) -> Call[Any]:
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidOption("not UTF-8") from error
    return app.command(text).using(**cast("Any", settings))
