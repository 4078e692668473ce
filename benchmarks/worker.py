"""The program of a measured worker process: ``python -m benchmarks.worker FILE DURABILITY [FLAG ...]``.

It imports liteq and nothing of the command line, as an application that calls ``app.work()`` does. The flags are
``--burst``, ``--threads=N``, ``--concurrent=N`` (coroutines at once), and what it knows beside jobs that do nothing:
``--coroutines``, ``--echo``, ``--bodies``, ``--coroutine-bodies``. They are read by hand, for argparse would be part of
the memory that is measured.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from benchmarks.jobs import (
    Durability,
    declare,
    declare_bodies,
    declare_coroutine,
    declare_coroutine_body,
    declare_echo,
)

MORE = {
    "--coroutines": declare_coroutine,
    "--echo": declare_echo,
    "--bodies": declare_bodies,
    "--coroutine-bodies": declare_coroutine_body,
}


def main() -> None:
    """Work on the file until told to stop, or with ``--burst`` until nothing is left."""
    path, durability, *flags = sys.argv[1:]
    with declare(Path(path), cast("Durability", durability)).app as app:
        for flag in MORE.keys() & flags:
            MORE[flag](app)
        threads, coroutines = number(flags, "threads", 1), number(flags, "concurrent", 100)
        app.work(burst="--burst" in flags, threads=threads, coroutines=coroutines)


def number(flags: Sequence[str], name: str, usual: int) -> int:
    """Give what ``--name=N`` says, or the usual."""
    return next((int(flag.partition("=")[2]) for flag in flags if flag.startswith(f"--{name}=")), usual)


if __name__ == "__main__":
    main()
