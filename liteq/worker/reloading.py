"""Hears when source files change, for ``--reload``. Needs watchfiles, an optional extra."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from liteq.errors import InvalidOption

WAIT_MS = 10


class SourceWatch:
    """A watch on the Python files below a folder."""

    def __init__(self, folder: Path) -> None:
        """Begin to watch. Raises InvalidOption without watchfiles."""
        try:
            from watchfiles import PythonFilter, watch  # noqa: PLC0415  an optional extra
        except ImportError:
            raise InvalidOption("reloading needs watchfiles: pip install 'liteq-jobs[reload]'") from None
        self._changes: Iterator[set[tuple[Any, str]]] = watch(
            folder,
            watch_filter=PythonFilter(),
            debounce=50,
            step=WAIT_MS,
            rust_timeout=WAIT_MS,
            yield_on_timeout=True,
        )
        # The first look begins the watch.
        self.changed()

    def changed(self) -> list[str]:
        """Give the files that changed since the last look, which takes some 10 ms."""
        nothing: set[tuple[Any, str]] = set()
        return sorted({path for _, path in next(self._changes, nothing)})
