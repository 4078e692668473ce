"""The part of a task's context by which it says how far it is, and keeps things for its next attempt."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast, get_type_hints, overload

from liteq.errors import InvalidOption, PayloadNotSerializable, Undecodable
from liteq.memory import Memory
from liteq.model.keeping import progress_note
from liteq.model.names import check_name
from liteq.model.payload import decode, decoder

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")


class Keeping(ABC):
    """What ``JobContext`` offers beside questions. Everything here is fenced: a late attempt changes nothing."""

    __slots__ = ()

    @abstractmethod
    def _remember(self) -> Memory:
        """Give the attempt's memory, made when it is first needed."""

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Say how far the job is: ``done`` of ``total``, and a few words for people. Each call replaces the last.

        Costs next to nothing: others see the latest within a quarter of a second, and the last at the job's end.
        Raises TypeError for no numbers, InvalidOption for negative, infinite or NaN, and for ``done`` above ``total``.
        """
        self._remember().progress = progress_note(done, total, note)

    def publish(self, value: object) -> None:
        """Put a JSON value at the end of the job's stream, which ``job.stream()`` follows.

        Others see it within a quarter of a second; all parts are there, in order, when the job has ended. Raises the
        payload errors, StreamFull after 10,000 parts or 16 MiB in one attempt, LeaseLost when late.
        """
        self._remember().publish(value)

    def checkpoint(self, value: object) -> None:
        """Keep a JSON value for the job's next attempt, in place of the last. It is on the disk when this returns.

        Raises the payload errors, and LeaseLost when the job is another attempt's by now.
        """
        self._remember().save(value)

    async def acheckpoint(self, value: object) -> None:
        """As ``checkpoint``, for coroutines: the loop goes on while the disk is waited for."""
        import asyncio  # noqa: PLC0415  15 ms that only coroutines need

        await asyncio.to_thread(self._remember().save, value)

    @overload
    def saved(self) -> Any: ...
    @overload
    def saved(self, kind: type[R]) -> R | None: ...
    @overload
    def saved(self, kind: type[R], default: D) -> R | D: ...
    def saved(self, kind: Any = Any, default: Any = None) -> Any:
        """Give what this attempt or an earlier one has kept last, in the type that is wanted; else ``default``.

        Raises Undecodable where it does not fit the type.
        """
        data = self._remember().saved()
        return default if data is None else decode(data, decoder(kind), what="checkpoint")

    @overload
    def step(
        self, name: str, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]: ...
    @overload
    def step(self, name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call the function once in all attempts of the job, and give its result, which later attempts are given too.

        The result is JSON, decoded to the function's return annotation, in the first attempt as in all others; it is on
        the disk when this returns. A coroutine function is awaited: ``await ctx.step(...)``. A step that raises is not
        done. One that is cut short between its effect and its end runs again, as jobs do.

        Raises InvalidOption for a name that was used in this attempt, LeaseLost when late, and the payload errors.
        """
        step = _Step(self._remember(), check_name(name, what="step"), function)
        return step.run_async(args, kwargs) if step.is_coroutine else step.run(args, kwargs)

    @property
    def metadata(self) -> dict[str, Any]:
        """What was stored beside the job by ``using(metadata=...)``; empty without."""
        return metadata_of(self._remember().metadata())

    @property
    def tags(self) -> tuple[str, ...]:
        return self._remember().tags()


def metadata_of(data: bytes | None) -> dict[str, Any]:
    """Give stored metadata as a dict of its own. Raises Undecodable."""
    return {} if data is None else decode(data, decoder(dict[str, Any]), what="metadata")


class _Step:
    """One named step of one attempt."""

    def __init__(self, memory: Memory, name: str, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"step {name!r} needs a function, not {type(function).__name__}")
        self._memory = memory
        self._name = name
        self._function = function
        self.is_coroutine = inspect.iscoroutinefunction(_innermost(function))
        self._decoder = decoder_of_result(function, name)

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        stored = self._memory.begin_step(self._name)
        if stored is not None:
            return self._decoded(stored)
        try:
            result, value = self._checked(self._function(*args, **kwargs))
            self._memory.finish_step(self._name, result)
        except BaseException:
            self._memory.leave_step(self._name)
            raise
        return value

    async def run_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        import asyncio  # noqa: PLC0415  see above

        # The name is taken before anything is waited for: two steps side by side must not share it.
        stored = self._memory.begin_step(self._name)
        if stored is not None:
            return self._decoded(stored)
        try:
            result, value = self._checked(await self._function(*args, **kwargs))
            await asyncio.to_thread(self._memory.finish_step, self._name, result)
        except BaseException:
            self._memory.leave_step(self._name)
            raise
        return value

    def _checked(self, value: Any) -> tuple[bytes, Any]:
        """Give the result as stored, and as every attempt is given it. Fails now rather than in the next attempt."""
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError(f"step {self._name!r} gave a coroutine; give the coroutine function itself")
        data = self._memory.encoded_result(self._name, value)
        try:
            return data, self._decoded(data)
        except Undecodable as error:
            raise PayloadNotSerializable(f"{error}; it would not come back as its annotation says") from error

    def _decoded(self, data: bytes) -> Any:
        return decode(data, self._decoder, what=f"step {self._name!r}")


def _innermost(function: Any) -> Any:
    """Give the function that a declared task stands for; a plain function that wraps another is what it is."""
    return function if inspect.isroutine(function) else getattr(function, "__wrapped__", function)


def decoder_of_result(function: Any, name: str) -> Any:
    """Give the decoder of what the function says it returns; of anything, where it says nothing that can be read."""
    if isinstance(function, type):
        return decoder(cast("Any", function))
    try:
        kind = get_type_hints(_innermost(function), include_extras=True).get("return", Any)
    except (NameError, TypeError, AttributeError):
        kind = Any
    try:
        return decoder(kind)
    except (TypeError, NameError) as error:
        raise InvalidOption(f"step {name!r}: what it returns cannot be read back: {error}") from error
