"""Finds the application object that ``module:attribute`` names. No file of jobs is opened here."""

import importlib
import importlib.util
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from liteq.app import Liteq
from liteq.errors import LiteqError
from liteq.importing import importing
from liteq.model.names import shown
from liteq_cli.exits import Refused

DEFAULT_ATTRIBUTE = "app"


def load_app(named: str, *, folders: list[Path]) -> Liteq:
    """Import the module with ``folders`` on the path and give its app.

    ``module``, ``module:attribute`` and ``script.py:attribute`` name it. A script is loaded under its stem, so that
    its tasks are called as they are when it is run directly. Raises Refused for whatever stands in the way, and
    InvalidOption when the module enqueues while it is imported.
    """
    place, _, attribute = named.partition(":")
    if not place:
        raise Refused(f"{shown(named)} names no module", hint="--app module:attribute or --app script.py:attribute")
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    token = importing.set(named)
    try:
        module = _script(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except LiteqError:
        raise
    except (Exception, SystemExit) as error:
        text = f"cannot import {shown(place)}: {type(error).__name__}: {str(error)[:200]}"
        raise Refused(text, hint="--debug shows where; modules are looked for in the current folder") from error
    finally:
        importing.reset(token)
    return _app_of(module, attribute or DEFAULT_ATTRIBUTE)


def _script(path: Path) -> ModuleType:
    whole = path.resolve()
    if not whole.is_file():
        raise Refused(f"there is no file {str(whole)!r}", hint="--app script.py:attribute")
    name = whole.stem
    if str(whole.parent) not in sys.path:
        sys.path.insert(0, str(whole.parent))
    spec = importlib.util.spec_from_file_location(name, whole)
    if spec is None or spec.loader is None:
        raise Refused(f"{str(whole)!r} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        with suppress(KeyError):
            del sys.modules[name]
        raise
    return module


def _app_of(module: ModuleType, attribute: str) -> Liteq:
    found: object = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Liteq):
        return found
    apps = [name for name, value in vars(module).items() if isinstance(value, Liteq)]
    hint = f"it has {', '.join(f'{module.__name__}:{name}' for name in apps)}" if apps else "app = Liteq(…) makes one"
    raise Refused(f"{module.__name__} has no Liteq object called {shown(attribute)}", hint=hint)
