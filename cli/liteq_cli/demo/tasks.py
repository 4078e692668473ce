"""The tasks of the demonstration, declared as any application declares its own, and their totals done plainly."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from liteq.app import Liteq
from liteq.job import Job, JobContext
from liteq.model.retry import Retry
from liteq.model.transitions import State
from liteq.task import Call, Payload

FLAKY = 7
"""How many jobs fail on purpose at their first attempt."""
BY_CLASS_EVERY = 5
QUICK = Retry(max_failures=3, backoff=0.05)


class Digest(msgspec.Struct, frozen=True):
    """What a job finds out about one file."""

    path: str
    sha256: str
    lines: int
    bytes: int


class Totals(msgspec.Struct, frozen=True):
    """All files together; ``digest`` is taken over the digests in the order of the paths."""

    files: int
    lines: int
    bytes: int
    digest: str


class DigestFile(Payload, frozen=True):
    """The same as a job class: the fields are its arguments."""

    path: str

    def handle(self) -> Digest:
        return digest_of(self.path)


def digest_of(path: str) -> Digest:
    """Read the file and give its digest."""
    data = Path(path).read_bytes()
    return Digest(path, _sha256(data), data.count(b"\n"), len(data))


def _sha256(data: bytes) -> str:
    from hashlib import sha256  # noqa: PLC0415  OpenSSL behind it takes 2 ms and 4 MB, and the other commands too

    return sha256(data).hexdigest()


def digest_flaky(context: JobContext, path: str) -> Digest:
    """Fail at the first attempt, on purpose."""
    if context.attempt == 1:
        raise ConnectionError("the network blinked, on purpose; the retry will do")
    return digest_of(path)


def read_the_missing(path: str) -> str:
    """Fail at every attempt, on purpose."""
    return Path(path).read_text(encoding="utf-8")


class Demo:
    """The tasks, declared for one app."""

    def __init__(self, app: Liteq) -> None:
        self.app = app
        self.digest = app.task(name="demo.digest", queue="files", retry=QUICK)(digest_of)
        self.flaky = app.task(name="demo.digest_flaky", queue="files", retry=QUICK)(digest_flaky)
        self.missing = app.task(name="demo.read_the_missing", queue="trouble", retry=QUICK)(read_the_missing)
        app.job(name="demo.DigestFile", queue="classes", retry=QUICK)(DigestFile)

    def calls(self, root: Path, files: Iterable[Path]) -> Iterator[Call[Any]]:
        """Give a job for each file, one that will die, and a shell command."""
        for place, file in enumerate(files):
            if place < FLAKY:
                yield self.flaky.call(str(file))
            elif place % BY_CLASS_EVERY == 0:
                yield self.app.call(DigestFile(path=str(file)))
            else:
                yield self.digest.call(str(file))
        yield self.missing.call(str(root / "this file does not exist.py"))
        yield self.app.command(["ls", "-l", str(root)]).using(queue="shell")


def totals_of(jobs: Iterable[Job[Any]]) -> Totals:
    """Add up what the jobs found out."""
    return total(job.result for job in jobs if job.state is State.COMPLETED and isinstance(job.result, Digest))


def expected(files: Iterable[Path]) -> Totals:
    """Give the same by a plain loop."""
    return total(digest_of(str(file)) for file in files)


def total(digests: Iterable[Digest]) -> Totals:
    """Add digests up, whatever order they come in."""
    ordered = sorted(digests, key=lambda one: one.path)
    over_all = _sha256("".join(one.sha256 for one in ordered).encode())
    return Totals(len(ordered), sum(one.lines for one in ordered), sum(one.bytes for one in ordered), over_all)
