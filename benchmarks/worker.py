"""The program of a measured worker process: ``python -m benchmarks.worker FILE DURABILITY [--burst] [--coroutines]``.

It imports liteq and nothing of the command line, as an application that calls ``app.work()`` does.
"""

import sys
from pathlib import Path
from typing import cast

from benchmarks.jobs import Durability, declare, declare_coroutine


def main() -> None:
    """Work on the file until told to stop, or with ``--burst`` until nothing is left."""
    path, durability, *rest = sys.argv[1:]
    with declare(Path(path), cast("Durability", durability)).app as app:
        if "--coroutines" in rest:
            declare_coroutine(app)
        app.work(burst="--burst" in rest)


if __name__ == "__main__":
    main()
