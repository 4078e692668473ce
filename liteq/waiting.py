"""Waiting for something in the file to come about: looks again at each commit, and never polls."""

import logging
from collections.abc import Callable
from datetime import timedelta

from liteq.clock import Clock
from liteq.errors import InvalidOption, WaitTimeout
from liteq.model.instants import to_ms
from liteq.store.engine import Engine

LONGEST_LOOK_AWAY_MS = 500
"""Between looks at what is waited for, should a signal have been missed."""
NO_WORKER_AFTER_MS = 2_000

log = logging.getLogger("liteq.job")


def wait_until(
    done: Callable[[], bool],
    *,
    engine: Engine,
    clock: Clock,
    timeout: timedelta | float | None,
    what: Callable[[], str],
) -> None:
    """Return once ``done`` says so. Raises WaitTimeout after ``timeout`` (seconds), with what ``what`` says then.

    InvalidOption inside a transaction.
    """
    if engine.in_transaction():
        raise InvalidOption("waiting inside a transaction would be for ever: nobody else can write until it has ended")
    limit = None if timeout is None else to_ms(timeout, what="timeout")
    watch = engine.watch()
    try:
        begun = clock.monotonic_ms()
        warned = False
        while not done():
            waited = clock.monotonic_ms() - begun
            if limit is not None and waited >= limit:
                raise WaitTimeout(f"{what()} after {limit / 1000:g} s")
            if not warned and waited >= NO_WORKER_AFTER_MS:
                warned = True
                _warn_without_worker(engine, what)
            watch.wait(LONGEST_LOOK_AWAY_MS if limit is None else min(LONGEST_LOOK_AWAY_MS, limit - waited))
    finally:
        watch.close()


def _warn_without_worker(engine: Engine, what: Callable[[], str]) -> None:
    if not any(worker.alive for worker in engine.workers()):
        log.warning("no worker is alive; %s and nobody will change that", what())
