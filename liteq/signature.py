"""How a task's arguments become bytes and come back: checked when they go in exactly as they will be read."""

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Union, get_type_hints

import msgspec

from liteq.errors import BadArguments, InvalidName, InvalidOption
from liteq.job import JobContext, Run
from liteq.model.names import check_name
from liteq.model.payload import decode, decoder, encode, fits

NO_ARGUMENTS = b"{}"
"""What a task without parameters is stored with: there is nothing to encode and to prove."""
_VARIADIC = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


class Signature(Protocol):
    """The two ways of a task's arguments, and the type of its result."""

    def pack(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, max_bytes: int) -> bytes:
        """Give the arguments as JSON that the task can read. Raises BadArguments and the payload errors."""
        ...

    def invoke(self, data: bytes, run: Run) -> Any:
        """Call the task with stored arguments; a coroutine function gives its coroutine. Raises Undecodable."""
        ...

    @property
    def result_type(self) -> Any: ...

    def parameters(self) -> list[str]:
        """Give the names that arguments may have, for messages and completion."""
        ...


class FunctionSignature:
    """A function's parameters as a struct. Compiled at first use: a declaration costs its program nothing."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._name = name
        self._compiled: _Compiled | None = None

    @property
    def result_type(self) -> Any:
        return (self._compiled or self._parts()).result_type

    def parameters(self) -> list[str]:
        return list(self._parts().fields)

    def pack(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, max_bytes: int) -> bytes:
        parts = self._compiled or self._parts()
        if not (args or kwargs or parts.fields):
            return NO_ARGUMENTS
        if args:
            kwargs = parts.with_names(args, kwargs, self._name)
        try:
            value = parts.struct(**kwargs)
        except TypeError as error:
            raise BadArguments(f"{self._name}: {error}") from error
        data = encode(value, what="args", max_bytes=max_bytes)
        try:
            fits(data, parts.decoder)
        except BadArguments as error:
            raise BadArguments(f"{self._name}: {error}") from error
        return data

    def invoke(self, data: bytes, run: Run) -> Any:
        parts = self._compiled or self._parts()
        value = decode(data, parts.decoder, what="args")
        arguments = msgspec.structs.asdict(value)
        if parts.has_defaults:
            arguments = {name: one for name, one in arguments.items() if one is not msgspec.UNSET}
        if parts.positional_only:
            first = [arguments.pop(name) for name in parts.positional_only if name in arguments]
            return self._function(*([JobContext(run)] if parts.wants_context else []), *first, **arguments)
        if parts.wants_context:
            return self._function(JobContext(run), **arguments)
        return self._function(**arguments)

    def _parts(self) -> "_Compiled":
        if self._compiled is None:
            self._compiled = _compile(self._function, self._name)
        return self._compiled


class _Compiled(msgspec.Struct, frozen=True):
    struct: Any
    decoder: Any
    fields: tuple[str, ...]
    positional: tuple[str, ...]
    positional_only: tuple[str, ...]
    has_defaults: bool
    wants_context: bool
    result_type: Any

    def with_names(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], task: str) -> dict[str, Any]:
        """Give positional arguments their names."""
        if len(args) > len(self.positional):
            raise BadArguments(f"{task}: takes {len(self.positional)} positional arguments, {len(args)} were given")
        named = dict(zip(self.positional, args, strict=False))
        if not kwargs:
            return named
        twice = named.keys() & kwargs.keys()
        if twice:
            raise BadArguments(f"{task}: {', '.join(sorted(twice))} was given twice")
        return named | dict(kwargs)


def _compile(function: Callable[..., Any], name: str) -> _Compiled:
    hints = _hints(function, name)
    parameters = list(inspect.signature(function).parameters.values())
    wants_context = bool(parameters) and hints.get(parameters[0].name) is JobContext
    taken = parameters[1:] if wants_context else parameters
    struct = _struct(name, taken, hints)
    positional = [p.name for p in taken if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    only = [p.name for p in taken if p.kind is inspect.Parameter.POSITIONAL_ONLY]
    return _Compiled(
        struct=struct,
        decoder=_decoder(struct, name),
        fields=struct.__struct_fields__,
        positional=tuple(positional),
        positional_only=tuple(only),
        has_defaults=bool(struct.__struct_defaults__),
        wants_context=wants_context,
        result_type=hints.get("return", Any),
    )


def _struct(name: str, parameters: list[inspect.Parameter], hints: dict[str, Any]) -> Any:
    fields: list[Any] = []
    for parameter in parameters:
        if parameter.kind in _VARIADIC:
            raise InvalidOption(
                f"task {name}: {parameter} cannot be stored; name each parameter, or take one list or dict"
            )
        kind = hints.get(parameter.name, Any)
        if parameter.default is inspect.Parameter.empty:
            fields.append((parameter.name, kind))
        else:
            # The default stays the function's own: a job stored today takes the default of the day it runs.
            fields.append((parameter.name, Union[kind, msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007  kind is a value here
    return msgspec.defstruct("args", fields, kw_only=True, forbid_unknown_fields=True, frozen=True)


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise InvalidOption(f"task {name}: an annotation names nothing: {error}") from error


def _decoder(kind: Any, name: str) -> Any:
    try:
        return decoder(kind)
    except (TypeError, NameError) as error:
        raise InvalidOption(f"task {name}: its arguments cannot be read back: {error}") from error


class PayloadSignature:
    """A job class: its fields are the arguments, ``handle`` is the function, and what that wants is injected."""

    def __init__(self, payload: type[msgspec.Struct], name: str) -> None:
        self._payload = payload
        self._name = name
        self._handle: Callable[..., Any] = payload.handle  # type: ignore[attr-defined]  # checked when declared
        self._decoder: Any = None
        self._context: str | None = None
        self._result_type: Any = Any

    @property
    def result_type(self) -> Any:
        self._compile()
        return self._result_type

    def parameters(self) -> list[str]:
        return list(self._payload.__struct_fields__)

    def pack(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, max_bytes: int) -> bytes:
        try:
            value = self._payload(*args, **kwargs)
        except TypeError as error:
            raise BadArguments(f"{self._name}: {error}") from error
        return self.pack_value(value, max_bytes=max_bytes)

    def pack_value(self, value: object, *, max_bytes: int) -> bytes:
        """Give a filled job class as JSON."""
        data = encode(value, what="args", max_bytes=max_bytes)
        self._compile()
        try:
            fits(data, self._decoder)
        except BadArguments as error:
            raise BadArguments(f"{self._name}: {error}") from error
        return data

    def invoke(self, data: bytes, run: Run) -> Any:
        self._compile()
        value = decode(data, self._decoder, what="args")
        if self._context is not None:
            return self._handle(value, **{self._context: JobContext(run)})
        return self._handle(value)

    def _compile(self) -> None:
        if self._decoder is None:
            hints = _hints(self._handle, self._name)
            contexts = [name for name, kind in hints.items() if kind is JobContext]
            self._context = contexts[0] if contexts else None
            self._result_type = hints.get("return", Any)
            self._decoder = _decoder(self._payload, self._name)


def task_name(declared: Any, name: str | None) -> str:
    """Give the name under which jobs of a function or class are stored: ``module.qualname`` unless given.

    A script run directly and a worker that imports it agree: ``__main__`` becomes the name that an import would give.
    """
    if name is not None:
        return check_name(name, what="task")
    qualname = declared.__qualname__
    if "<lambda>" in qualname:
        raise InvalidName("a lambda has no name that a worker could find; give name=")
    if "<locals>" in qualname:
        raise InvalidName(f"{qualname} is made inside a function; give it a name= that stays the same")
    module = declared.__module__
    return check_name(f"{_main_module() if module == '__main__' else module}.{qualname}", what="task")


def _main_module() -> str:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    if file is None:
        raise InvalidName("a task of a notebook or prompt needs name=: no worker could import it")
    return Path(file).stem
