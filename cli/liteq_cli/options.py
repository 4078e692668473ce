"""Options and arguments that several commands share, and what they mean."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
import typer

from liteq.app import Liteq
from liteq.errors import InvalidOption, LiteqError
from liteq.model.names import shown
from liteq.model.priority import Priority
from liteq.model.transitions import State
from liteq_cli import output
from liteq_cli.exits import Code, Refused, code_of, hint_of
from liteq_cli.times import has_offset, parse_duration, parse_instant, parse_past

_LAST_ID = 2**63 - 1

JobId = Annotated[int, typer.Argument(help="The job.", min=1, max=_LAST_ID, metavar="ID", show_default=False)]
JobIds = Annotated[
    list[int] | None, typer.Argument(help="The jobs.", min=1, max=_LAST_ID, metavar="[ID]...", show_default=False)
]
_STATES = ", ".join(state.word for state in State)
States = Annotated[
    list[str] | None,
    typer.Option("--state", help=f"Only jobs in this state ({_STATES}); may be repeated.", metavar="STATE"),
]
OneQueue = Annotated[str | None, typer.Option("--queue", "-q", help="Only jobs of this queue.", metavar="QUEUE")]
OneTask = Annotated[str | None, typer.Option("--task", help="Only jobs of this task.", metavar="TASK")]
OneTag = Annotated[str | None, typer.Option("--tag", help="Only jobs with this tag.", metavar="TAG")]
OneBatch = Annotated[int | None, typer.Option("--batch", help="Only jobs of this batch.", min=1, metavar="ID")]
Since = Annotated[str | None, typer.Option(help="Only jobs enqueued since: 1h, or an ISO instant.", metavar="WHEN")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Limit = Annotated[int, typer.Option(help="At most so many.", min=1, max=100_000)]

ToQueue = Annotated[str | None, typer.Option("--queue", "-q", help="The queue to put it in.", metavar="QUEUE")]
PriorityWord = Annotated[
    str | None,
    typer.Option(
        "--priority", help="An integer, or low, normal, high, critical. Higher runs first.", metavar="PRIORITY"
    ),
]
In = Annotated[str | None, typer.Option("--in", help="Not before so long from now: 30s, 5m, 1h30m.", metavar="TIME")]
At = Annotated[str | None, typer.Option("--at", help="Not before this ISO instant.", metavar="ISO")]
Debounce = Annotated[
    str | None,
    typer.Option(help="Run once no call with the --unique-key has come for so long, as the last said.", metavar="TIME"),
]
MaxWait = Annotated[
    str | None, typer.Option(help="With --debounce: so long after the first call at the latest.", metavar="TIME")
]
WaitForRoom = Annotated[
    str | None, typer.Option(help="If the queue is full, wait for at most so long for room.", metavar="TIME")
]
After = Annotated[
    list[int] | None, typer.Option(help="Not before this job has completed; may be repeated.", min=1, metavar="ID")
]
UniqueKey = Annotated[
    str | None, typer.Option(help="If a live job holds this key, give its id instead.", metavar="KEY")
]
ConcurrencyKey = Annotated[
    str | None, typer.Option("--key", help="Jobs with the same key take turns.", metavar="KEY", show_default=False)
]
MaxRunningPerKey = Annotated[
    int | None, typer.Option(help="So many jobs of the key may run at once; 1 without it.", metavar="N")
]
RatePerKey = Annotated[
    str | None, typer.Option(help="So many jobs of the key may start in a time: 10/minute, 5/s.", metavar="RATE")
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="May be repeated.", metavar="TAG")]
Meta = Annotated[
    list[str] | None,
    typer.Option(help="Stored with the job: key=text or key:=JSON; may be repeated.", metavar="KEY=VALUE"),
]
TimeLimit = Annotated[str | None, typer.Option(help="Stop the job when it runs for longer.", metavar="TIME")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the job; the exit code is its outcome.")]
Timeout = Annotated[str | None, typer.Option(help="Wait for at most so long.", metavar="TIME")]


def priority_of(word: str) -> int:
    """Give the number that a priority's word or digits mean. Raises InvalidOption."""
    if word.upper() in Priority.__members__:
        return int(Priority[word.upper()])
    try:
        return int(word[:20])
    except ValueError:
        names = ", ".join(name.lower() for name in Priority.__members__)
        raise InvalidOption(f"{shown(word)} is no priority; write an integer or {names}") from None


def instant_of(text: str) -> datetime:
    """Give the instant of ``--at``; says so when the machine's zone was assumed."""
    value = parse_instant(text)
    if not has_offset(text):
        output.note(f"note: {output.clean(text)} has no time zone, taken as local time: {value.isoformat()}")
    return value


def settings_of(
    *,
    queue: str | None = None,
    priority: str | None = None,
    delay: str | None = None,
    at: str | None = None,
    unique_key: str | None = None,
    tags: Sequence[str] | None = None,
    meta: Sequence[str] | None = None,
    time_limit: str | None = None,
    after: Sequence[int] | None = None,
    debounce: str | None = None,
    max_wait: str | None = None,
    wait_for_room: str | None = None,
    concurrency_key: str | None = None,
    max_running_per_key: int | None = None,
    rate_per_key: str | None = None,
) -> dict[str, Any]:
    """Give the settings of a job that the options mean, only those that were given."""
    if delay is not None and at is not None:
        raise InvalidOption("give either --in or --at, not both")
    wanted: dict[str, Any] = {
        "queue": queue,
        "priority": None if priority is None else priority_of(priority),
        "delay": None if delay is None else parse_duration(delay),
        "run_at": None if at is None else instant_of(at),
        "unique_key": unique_key,
        "concurrency_key": concurrency_key,
        "max_running_per_key": max_running_per_key,
        "rate_per_key": rate_per_key,
        "tags": list(tags) if tags else None,
        "metadata": named_values(meta) if meta else None,
        "after": list(after) if after else None,
        "timeout": None if time_limit is None else parse_duration(time_limit),
        "debounce": None if debounce is None else parse_duration(debounce),
        "max_wait": None if max_wait is None else parse_duration(max_wait),
        "wait_for_room": None if wait_for_room is None else parse_duration(wait_for_room),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def named_values(words: Iterable[str], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give what ``key=text`` and ``key:=JSON`` mean, beside what was given. Raises Refused for other words."""
    named = dict(given or {})
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise Refused(f"{shown(word)} is no argument", hint="key=value passes text, key:=5 passes JSON")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if name in named:
            raise Refused(f"{shown(name)} was given twice")
        named[name] = _json_value(name, value) if is_json else value
    return named


def _json_value(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"{shown(name)} is no JSON: {error}", hint="a JSON text has quotes: key:='\"text\"'") from error


def filters_of(
    app: Liteq,
    *,
    state: Sequence[str] | None,
    queue: str | None,
    task: str | None,
    tag: str | None,
    since: str | None,
    batch: int | None = None,
) -> dict[str, Any]:
    """Give the filters that the options mean, only those that were given."""
    wanted: dict[str, Any] = {
        "state": list(state) if state else None,
        "queue": queue,
        "task": task,
        "tag": tag,
        "batch": batch,
        "since": None if since is None else parse_past(since, now_ms=app.clock.now_ms()),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def agreed(question: str, *, yes: bool) -> None:
    """Return if the person agrees. Raises Refused otherwise, and off a terminal without ``--yes``."""
    if yes:
        return
    if not typer.get_text_stream("stdin").isatty():
        raise Refused(f"{question} Not without --yes.", hint="add --yes")
    if not typer.confirm(question, err=True):
        raise Refused("nothing was done", code=Code.FAILED)


def each(job_ids: Iterable[int], act: Callable[[int], list[int]]) -> tuple[list[int], Code]:
    """Do it to each job, say on stderr which could not; give the ids it was done to and the first refusal's code."""
    done: list[int] = []
    code = Code.DONE
    for job_id in dict.fromkeys(job_ids):
        try:
            done += act(job_id)
        except LiteqError as error:
            output.note(f"error: {output.clean(error)}")
            if code is Code.DONE:
                code = code_of(error)
                hint = hint_of(error)
                if hint:
                    output.note(f"hint: {hint}")
    return done, code
