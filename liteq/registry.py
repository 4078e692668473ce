"""The tasks of one app by name, and how each kind of declaration becomes one."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, cast

from liteq.declared import Declared
from liteq.errors import InvalidName, InvalidOption, UnknownTask
from liteq.model.guard import Guard
from liteq.model.limits import Limit
from liteq.signature import FunctionSignature, PayloadSignature, Signature, task_name
from liteq.task import Definition, Kind, Payload


class Registry:
    """Every task that was declared here. A name stands for one function or class only."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[Any, Definition]] = {}
        self._by_class: dict[type[Any], Definition] = {}

    def __iter__(self) -> Iterator[Definition]:
        return iter([definition for _, definition in self._by_name.values()])

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def get(self, name: str) -> Definition | None:
        found = self._by_name.get(name)
        return found[1] if found else None

    def __getitem__(self, name: str) -> Definition:
        """Give the task of that name. Raises UnknownTask, with the names that come near."""
        found = self.get(name)
        if found is None:
            near = sorted(known for known in self._by_name if name and name in known)[:3]
            from difflib import get_close_matches  # noqa: PLC0415  only mistakes need it

            near = near or get_close_matches(name[:80], self._by_name, n=1)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UnknownTask(f"no task is called {name[:80]!r} here{hint}")
        return found

    def of_class(self, payload: type[Any]) -> Definition:
        """Give the task that a job class was declared as. Raises UnknownTask."""
        found = self._by_class.get(payload)
        if found is None:
            raise UnknownTask(f"{payload.__qualname__} was not declared with @app.job here")
        return found

    def add_function(self, function: Callable[..., Any], name: str | None, rules: Declared) -> Definition:
        """Declare a function or coroutine function."""
        if not callable(function) or isinstance(function, type):
            raise InvalidOption("@app.task is for functions; a job class is declared with @app.job")
        chosen = task_name(function, name)
        kind: Kind = "coroutine" if inspect.iscoroutinefunction(function) else "function"
        return self._add(function, _definition(chosen, kind, FunctionSignature(function, chosen), rules))

    def add_class(self, payload: Any, name: str | None, rules: Declared) -> Definition:
        """Declare a job class."""
        if not (isinstance(payload, type) and issubclass(payload, Payload)):
            raise InvalidOption("@app.job is for classes derived from liteq.Payload")
        handle = getattr(payload, "handle", None)
        if handle is None:
            raise InvalidOption(f"{payload.__qualname__} has no handle() method to do the work")
        chosen = task_name(payload, name)
        kind: Kind = "coroutine" if inspect.iscoroutinefunction(handle) else "function"
        definition = _definition(chosen, kind, PayloadSignature(payload, chosen), rules)
        self._by_class[payload] = self._add(payload, definition)
        return definition

    def guards(self) -> dict[str, Guard | None]:
        """Give what guards each task, None for nothing."""
        return {definition.name: definition.guard for definition in self}

    def declared_limits(self) -> dict[str, Limit]:
        """Give the limits that are declared beside the tasks, by name; tasks without one are there too."""
        return {definition.name: definition.limit for definition in self}

    def add(self, definition: Definition) -> Definition:
        """Take in a task that liteq itself declares."""
        return self._add(definition.signature, definition)

    def _add(self, declared: object, definition: Definition) -> Definition:
        known = self._by_name.get(definition.name)
        if known is not None and not _same(known[0], declared):
            raise InvalidName(f"two tasks would be called {definition.name!r}; give one of them name=")
        self._by_name[definition.name] = (declared, definition)
        return definition


def _same(one: object, other: object) -> bool:
    """Tell whether two declarations are of one thing: the same object, or the same code loaded again."""
    if one is other:
        return True
    first, second = cast("Any", getattr(one, "__code__", None)), cast("Any", getattr(other, "__code__", None))
    if first is None or second is None:
        return False
    return bool(first.co_filename == second.co_filename and first.co_firstlineno == second.co_firstlineno)


def _definition(name: str, kind: Kind, signature: Signature, rules: Declared) -> Definition:
    return Definition(
        name=name, kind=kind, signature=signature, options=rules.options, limit=rules.limit, guard=rules.guard
    )
