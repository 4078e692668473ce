"""Worker processes under a supervisor: how they are started, and how what happens to them is told."""

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from liteq.app import Liteq
from liteq.clock import SystemClock, to_datetime
from liteq.store.engine import Engine
from liteq.worker.leash import Hello
from liteq.worker.supervisor import Supervisor, SupervisorSettings
from liteq.worker.telling import Event
from liteq_cli import output

STDERR = 2
_LOUD = frozenset({"hung", "overdue", "killed", "trouble", "taken"})

log = logging.getLogger("liteq.supervisor")


def command_of(words: Sequence[str]) -> list[str]:
    """Give the command line of a worker process. Its current folder is not searched before the standard library."""
    return [sys.executable, "-P", "-m", "liteq_cli", *words]


def supervise(words: Sequence[str], settings: SupervisorSettings, *, as_json: bool) -> tuple[int, dict[str, int]]:
    """Run workers until stopped; give the exit code and how many jobs ended in each way."""
    quiet = msgspec.structs.replace(settings, child_stdout=STDERR) if as_json else settings
    supervisor = Supervisor(command_of(words), _open, SystemClock(), quiet, _as_json if as_json else _as_line)
    return supervisor.run(), dict(supervisor.totals)


def _open(hello: Hello) -> Engine:
    options = cast("dict[str, Any]", hello.opening)
    return Liteq(hello.path, create=False, **options).engine


def _as_json(event: Event) -> None:
    plain: dict[str, Any] = msgspec.to_builtins(event)
    output.json_line(plain | {"at": to_datetime(event.at).isoformat()})


def _as_line(event: Event) -> None:
    who = "" if event.pid is None else f"worker {event.worker_id or '?'} (pid {event.pid}): "
    level = logging.WARNING if event.event in _LOUD else logging.INFO
    log.log(level, "%s: %s%s", event.event, who, output.clean(event.words, limit=500))


def unit_of(words: Sequence[str], *, grace_s: float, environment: Mapping[str, str]) -> str:
    """Give a systemd unit that runs these words from the current folder."""
    command = " ".join(_quoted(word) for word in command_of(words))
    pairs = (_quoted(f"{name}={value}").replace("$$", "$") for name, value in environment.items())
    variables = "".join(f"Environment={pair}\n" for pair in pairs)
    return f"""[Unit]
Description=liteq workers
After=network.target

[Service]
Type=notify
NotifyAccess=main
WorkingDirectory={_escaped(str(Path.cwd()))}
{variables}ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# Only the supervisor is asked to stop; it asks the workers in order.
KillMode=mixed
TimeoutStopSec={grace_s + 15:.0f}
Restart=always
RestartSec=1
WatchdogSec=60

[Install]
WantedBy=default.target"""


def _quoted(word: str) -> str:
    # Both % and $ mean something to systemd, within quotes too.
    escaped = _escaped(word).replace("$", "$$")
    if shlex.quote(word) == word:
        return escaped
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
