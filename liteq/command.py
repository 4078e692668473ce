"""A shell command as a job: what is stored, and under which name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from liteq.errors import InvalidOption
from liteq.job import Run
from liteq.model.payload import decode, decoder, encode
from liteq.model.retry import Retry
from liteq.options import Options
from liteq.task import Call, Definition, Payload

COMMAND_TASK = "liteq.command"


class Command(Payload, frozen=True, forbid_unknown_fields=True):
    """A program with its arguments, the folder it runs in, and what is added to the worker's environment."""

    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str] = msgspec.field(default_factory=dict[str, str])


class _CommandSignature:
    """A command's arguments are read by the worker, which runs it as a process group of its own."""

    result_type: Any = None

    def pack(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, max_bytes: int) -> bytes:
        return encode(command_of(*args, **kwargs), what="command", max_bytes=max_bytes)

    def invoke(self, data: bytes, run: Run) -> Command:  # noqa: ARG002  a command has no context
        command: Command = decode(data, decoder(Command), what="command")
        return command

    def parameters(self) -> list[str]:
        return list(Command.__struct_fields__)


def command_of(argv: Sequence[str] | str, *, cwd: str | None = None, env: Mapping[str, str] | None = None) -> Command:
    """Give the command: a list is run as it stands, one text is a line for the shell."""
    words = ("/bin/sh", "-c", argv) if isinstance(argv, str) else tuple(argv)
    if not words or not words[-1].strip():
        raise InvalidOption("a command needs at least the name of a program")
    if any("\0" in word for word in words):
        raise InvalidOption("a command cannot hold a NUL character")
    return Command(argv=words, cwd=cwd or str(Path.cwd()), env=dict(env or {}))


COMMAND = Definition(
    name=COMMAND_TASK,
    kind="command",
    signature=_CommandSignature(),
    # A command that failed half way is rarely one to run again unasked.
    options=Options(retry=Retry.never()),
)


def command_call(
    argv: Sequence[str] | str, *, cwd: str | None, env: Mapping[str, str] | None, max_bytes: int
) -> Call[None]:
    """Give a job not yet enqueued that runs the command."""
    data = COMMAND.signature.pack((argv,), {"cwd": cwd, "env": env}, max_bytes=max_bytes)
    return Call(COMMAND, data, COMMAND.options)
