"""A Redis of one's own for the peers that need one: on a socket in its folder, stopped at the end."""

import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Level

PROGRAM = "redis-server"
START_S = 10
ALWAYS = "appendfsync always"
"""The append-only log is synced before the answer."""
EVERY_SECOND = "appendfsync everysec"
"""It is synced each second: a power cut takes what came later."""


def client(path: Path) -> Any:
    """Give a connection to the server of ``path``."""
    redis: Any = import_module("redis")
    return redis.Redis(unix_socket_path=str(_socket(path)))


@contextmanager
def server(path: Path, level: Level) -> Generator[None]:
    """Run a server with an append-only log and no snapshots, its files beside ``path``, for the time of the block."""
    synced = (ALWAYS if level == "full" else EVERY_SECOND).split()
    flags = ["--port", "0", "--unixsocket", str(_socket(path)), "--dir", str(path.parent), "--save", ""]
    flags += ["--appendonly", "yes", f"--{synced[0]}", synced[1], "--logfile", str(path.with_suffix(".log"))]
    process = subprocess.Popen([PROGRAM, *flags], stdout=subprocess.DEVNULL)
    try:
        _await(path)
        yield
    finally:
        process.terminate()
        process.wait()


def _await(path: Path) -> None:
    redis: Any = import_module("redis")
    until = time.monotonic() + START_S
    while True:
        try:
            client(path).ping()
        except redis.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _socket(path: Path) -> Path:
    return path.with_suffix(".sock")
