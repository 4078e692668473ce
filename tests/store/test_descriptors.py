"""Descriptors: none is left behind, and none is there to be had."""

import os
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from liteq.errors import StorageError
from liteq.store.sqlite.descriptor import NOW_OR_NEVER, Descriptor
from liteq.store.sqlite.engine import SqliteEngine
from liteq.store.sqlite.platform import FolderWatch, watch_file
from tests.engine.steps import enqueue_one


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_the_file_closes_without_leaving_descriptors(made: Path) -> None:
    before = descriptors()
    engine = SqliteEngine(made)
    enqueue_one(engine)
    engine.settle()
    engine.close()

    assert descriptors() == before


def test_a_descriptor_that_somebody_else_closed_is_unlocked_and_closed_in_silence(tmp_path: Path) -> None:
    descriptor = Descriptor(os.open(tmp_path, os.O_RDONLY))
    descriptor.lock(NOW_OR_NEVER)
    os.close(descriptor.fd)

    descriptor.unlock()
    descriptor.close()

    assert descriptor.fd == -1


@contextmanager
def descriptors_left(number: int) -> Iterator[None]:
    """Take descriptors until so many are left of a few; give them back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = os.dup(0)
    os.close(highest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(highest + 64, 128), before[1]))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(number):
            os.close(taken.pop())
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def until_watches_are_gone() -> None:
    """Return once the kernel has let go of what was closed aside."""
    for thread in threading.enumerate():
        if thread.name == "liteq-unwatch":
            thread.join()


@pytest.mark.parametrize("left", [0, 1, 2])
@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
def test_a_watch_without_descriptors_raises_ours_and_leaks_none(tmp_path: Path, left: int) -> None:
    FolderWatch(tmp_path / "file").close()
    until_watches_are_gone()
    before = sorted(Path("/proc/self/fd").iterdir())

    with descriptors_left(left):
        if left < 2:
            with pytest.raises(StorageError):
                watch_file(tmp_path / "file")
        else:
            watch_file(tmp_path / "file").close()

    until_watches_are_gone()
    assert sorted(Path("/proc/self/fd").iterdir()) == before
