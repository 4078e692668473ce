"""One call that blocks, in a thread of its own, for a coroutine that awaits it."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def aside(call: Callable[[], T], *, stop: Callable[[], None], undo: Callable[[T], object]) -> T:
    """Run the call in a new thread, and give what it gives. The event loop goes on meanwhile.

    A pool would not do: those who wait for a lock could fill it, and its holder find no thread to let go in.
    A coroutine that is cancelled calls ``stop``, which must end the call soon, and waits for that end; what the call
    gave all the same goes to ``undo``.
    """
    ended = _started(call, undo)
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        stop()
        await _end_of(ended)
        if ended.exception() is None:
            value = ended.result()
            await _end_of(_started(lambda: undo(value), _keep))
        raise


def _started(call: Callable[[], T], undo: Callable[[T], object]) -> "asyncio.Future[T]":
    """Start the call, and give the future of its outcome. Where the loop ends before the call, ``undo`` follows."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001  it belongs to the coroutine
            _tell(loop, ended.set_exception, error)
        else:
            if not _tell(loop, ended.set_result, value):
                undo(value)

    threading.Thread(target=work, name="liteq-aside", daemon=True).start()
    return ended


def _tell(loop: asyncio.AbstractEventLoop, tell: Callable[[Any], None], value: object) -> bool:
    """Hand the value to the loop's thread; false when the loop is no more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(tell, value)
        return True
    return False


async def _end_of(future: "asyncio.Future[Any]") -> None:
    """Wait for the end, however often the waiting coroutine is cancelled meanwhile."""
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([future])


def _keep(_value: object) -> None:
    """Undo nothing."""
