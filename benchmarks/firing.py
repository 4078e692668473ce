"""A process that only fires schedules, to be measured or killed: ``python -m benchmarks.firing PATH DURABILITY``."""

import signal
import sys
from types import FrameType

from liteq import Liteq
from liteq.scheduler import Scheduler
from liteq.worker.scheduling import SchedulerLoop


def main() -> None:
    """Fire what is due in the file until terminated."""
    path, durability = sys.argv[1:3]
    app = Liteq(path, durability="full" if durability == "full" else "normal")
    loop = SchedulerLoop(Scheduler(app.engine, app.clock))

    def end(_number: int, _frame: FrameType | None) -> None:
        loop.end()

    signal.signal(signal.SIGTERM, end)
    loop.run()
    app.close()


if __name__ == "__main__":
    main()
