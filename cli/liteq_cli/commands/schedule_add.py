"""``liteq schedule add``: a schedule that no program declares."""

from itertools import islice
from typing import Annotated, Any, Literal, cast

import typer

from liteq.app import Liteq
from liteq.errors import InvalidName
from liteq.model.names import check_name
from liteq.model.schedule import AnySchedule, Cron, Manual
from liteq.model.schedules import at, cron, every, manual
from liteq.schedules import StoredSchedule
from liteq.task import Call
from liteq_cli import options, output
from liteq_cli.commands.enqueue import call_of_words, refuse_without_app
from liteq_cli.commands.schedule_page import document
from liteq_cli.commands.schedule_ticks import upcoming
from liteq_cli.exits import Refused
from liteq_cli.output import clean
from liteq_cli.target import opened, session
from liteq_cli.times import local_time, parse_duration

SHOWN_TICKS = 3


def add(
    context: typer.Context,
    *,
    name: Annotated[str, typer.Argument(help="What it is called.", metavar="NAME", show_default=False)],
    words: Annotated[
        list[str],
        typer.Argument(
            help="A task, with key=value or key:=json; after -- a command.",
            metavar="TASK [KEY=VALUE]... | -- COMMAND...",
            show_default=False,
        ),
    ],
    expr: Annotated[str | None, typer.Option("--cron", help="By a cron expression, quoted.", metavar="EXPR")] = None,
    timezone: Annotated[str | None, typer.Option(help="The zone of --cron; UTC unless given.", metavar="ZONE")] = None,
    period: Annotated[str | None, typer.Option("--every", help="By elapsed time: 30s, 10m.", metavar="TIME")] = None,
    moment: Annotated[str | None, typer.Option("--at", help="Once, at this ISO instant.", metavar="ISO")] = None,
    by_hand: Annotated[bool, typer.Option("--manual", help="Only when triggered.")] = False,
    misfire: Annotated[
        Literal["coalesce", "skip", "all"], typer.Option(help="Missed ticks: one job for all, none, one each.")
    ] = "coalesce",
    max_catchup: Annotated[int | None, typer.Option(help="With --misfire all: at most so many.", min=1)] = None,
    misfire_grace: Annotated[
        str | None, typer.Option(help="No job for a tick later than this.", metavar="TIME")
    ] = None,
    overlap: Annotated[
        Literal["skip", "allow", "buffer_one", "buffer_all", "cancel_running"],
        typer.Option(help="A tick while an earlier job is live."),
    ] = "skip",
    jitter: Annotated[str | None, typer.Option(help="Delay each job by up to so much.", metavar="TIME")] = None,
    start_at: Annotated[str | None, typer.Option(help="No tick before.", metavar="ISO")] = None,
    end_at: Annotated[str | None, typer.Option(help="No tick after.", metavar="ISO")] = None,
    max_runs: Annotated[int | None, typer.Option(help="Done after so many jobs.", min=1)] = None,
    queue: options.ToQueue = None,
    priority: options.PriorityWord = None,
    tag: options.Tags = None,
    meta: options.Meta = None,
    time_limit: options.TimeLimit = None,
    args: Annotated[str | None, typer.Option(help="The arguments as a JSON object or array.", metavar="JSON")] = None,
    command: Annotated[bool, typer.Option("--command", help="Same as --: the words are a command.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Change a schedule that is there.")] = False,
) -> None:
    """Add a schedule; the same again changes nothing.

    The job is a task with its arguments, or after -- a command, which runs in this folder. Both are checked before
    anything is written.
    """
    given = {
        "misfire": misfire,
        "max_catchup": max_catchup,
        "misfire_grace": None if misfire_grace is None else parse_duration(misfire_grace),
        "overlap": overlap,
        "jitter": None if jitter is None else parse_duration(jitter),
        "start_at": None if start_at is None else options.instant_of(start_at),
        "end_at": None if end_at is None else options.instant_of(end_at),
        "max_runs": max_runs,
    }
    chosen = {word: value for word, value in given.items() if value is not None}
    kind = _kind(expr, timezone, period, moment, by_hand=by_hand, chosen=chosen)
    if not command:
        refuse_without_app(session(context))
    app = opened(context, tasks=not command)
    settings = options.settings_of(
        queue=queue, priority=priority, delay=None, at=None, unique_key=None, tags=tag, meta=meta, time_limit=time_limit
    )
    check_name(name, what="schedule")
    call = _call(app, words, args, command=command).using(**cast("Any", settings))
    _refuse_over(app, kind, name, replace=replace)
    stored = _store(app, name, kind, call, replace=replace)
    now = app.clock.now_ms()
    ticks = list(islice(upcoming(stored, now=now), SHOWN_TICKS))
    if session(context).as_json:
        output.document(document(stored, now=now) | {"upcoming": [tick.utc for tick in ticks]})
        return
    output.say(f"{clean(name)}: {clean(stored.schedule.describe())}")
    for tick in ticks:
        # A cron schedule is meant in the time of its zone, the others in that of whoever is looking.
        output.say(f"  {tick.wall if isinstance(kind, Cron) else local_time(tick.at_ms)}")


def _store(app: Liteq, name: str, kind: AnySchedule, call: Call[Any], *, replace: bool) -> StoredSchedule:
    try:
        return app.schedules.add(name, kind, call, replace=replace)
    except InvalidName as error:
        raise Refused(str(error), hint="--replace changes it") from error


def _kind(
    expr: str | None,
    timezone: str | None,
    period: str | None,
    moment: str | None,
    *,
    by_hand: bool,
    chosen: dict[str, Any],
) -> AnySchedule:
    """Give the schedule that the options mean. Raises Refused unless exactly one kind is given."""
    kinds = sum((expr is not None, period is not None, moment is not None, by_hand))
    if kinds != 1:
        raise Refused("give one of --cron, --every, --at and --manual", hint="liteq schedule add NAME --every 10m TASK")
    if timezone is not None and expr is None:
        raise Refused("--timezone goes with --cron")
    if expr is not None:
        return cron(expr, timezone=timezone or "UTC", **chosen)
    if period is not None:
        return every(parse_duration(period), **chosen)
    return manual(**chosen) if moment is None else at(options.instant_of(moment), **chosen)


def _call(app: Liteq, words: list[str], args: str | None, *, command: bool) -> Call[Any]:
    if not command:
        return call_of_words(app, words[0], words[1:], args)
    if args is not None:
        raise Refused("--args does not go with --command")
    return app.command(words[0] if len(words) == 1 else words)


def _refuse_over(app: Liteq, kind: AnySchedule, name: str, *, replace: bool) -> None:
    """Refuse a schedule that would never fire: by hand, that is a mistake."""
    now = app.clock.now_ms()
    if not isinstance(kind, Manual) and kind.bind(name=name, now_ms=now).next_fire_ms(now) is None:
        raise Refused(f"it would never fire: {kind.describe()}")
    limit, found = kind.options.max_runs, app.engine.get_schedule(name)
    if replace and limit is not None and found is not None and found.runs >= limit:
        hint = f"liteq schedule remove {name} starts the count anew"
        raise Refused(f"it would never fire: of {limit:,} runs at most it has had {found.runs:,}", hint=hint)
