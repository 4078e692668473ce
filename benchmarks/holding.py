"""An application whose one task says when and where it began, and holds its worker."""

import os
import time
from pathlib import Path

from liteq import JobContext, Liteq

FILE = "LITEQ_BENCH_FILE"

app = Liteq(os.environ.get(FILE, "jobs.db"))


@app.task(name="hold")
def hold(ctx: JobContext, mark: str) -> None:
    with Path(mark).open("a", encoding="ascii") as file:
        file.write(f"{time.time_ns()} {os.getpid()}\n")
    while not ctx.cancelled:
        time.sleep(0.02)


if __name__ == "__main__":
    app.work(scheduler=False)
