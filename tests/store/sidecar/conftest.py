"""The folder beside a database, open here, and other processes that have it open too."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liteq.store.sqlite.sidecar import Sidecar

PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
import msgspec
from liteq.store.sqlite.sidecar import Sidecar
def say(*words):
    # One write, so that the lines of a parent and its child never mix.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def hear():
    return sys.stdin.readline().strip()
sidecar = Sidecar(Path(sys.argv[1]))
sidecar.open()
"""


class Peer:
    """Another process with the same folder open."""

    def __init__(self, database: Path, script: str, *arguments: str) -> None:
        command = [sys.executable, "-c", PREAMBLE + script, str(database), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


MakePeer = Callable[..., Peer]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def sidecar(database: Path) -> Iterator[Sidecar]:
    opened = Sidecar(database)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def peer(database: Path) -> Iterator[MakePeer]:
    made: list[Peer] = []

    def make(script: str, *arguments: str) -> Peer:
        made.append(Peer(database, script, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def becomes_true(question: Callable[[], bool], within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if question():
            return True
        time.sleep(0.005)
    return False
