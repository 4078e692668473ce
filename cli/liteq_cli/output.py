"""The one place that renders: a JSON document, a rich table on a terminal, plain columns off one."""

import json
import logging
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import msgspec

NARROWEST = 8
GAP = 2
_EMPTY = frozenset({"", "0", "-", "·"})
_STYLES = {
    "completed": "green",
    "running": "cyan",
    "ready": "blue",
    "scheduled": "magenta",
    "dead": "bold red",
    "cancelled": "yellow",
    "failed": "red",
    "crashed": "red",
    "timed out": "red",
    "paused": "bold yellow",
    "gone": "red",
    "alive": "green",
}


class Column(msgspec.Struct, frozen=True):
    """One column: its title; whether it holds numbers, gives way on a narrow screen, is left out if empty there."""

    title: str
    right: bool = False
    yields: bool = False
    spare: bool = False


def clean(value: object, *, limit: int | None = None) -> str:
    """Give a value as one line that is safe to print: control characters escaped, at most ``limit`` characters."""
    text = value if isinstance(value, str) else str(value)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def lines(text: str) -> list[str]:
    """Give a stored text line by line, each safe to print."""
    return [clean(line.expandtabs(4)) for line in text.splitlines()]


def is_rich(stream: TextIO | None) -> bool:
    """Tell whether tables with lines and colour go to the stream: a terminal, or FORCE_COLOR."""
    if stream is None:
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def say(text: str = "") -> None:
    """Print data."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print what is not data."""
    sys.stderr.write(text + "\n")


def document(value: object) -> None:
    """Print one JSON document, escaped to ASCII where the terminal's encoding knows no better."""
    plain = msgspec.to_builtins(value, str_keys=True)
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    say(json.dumps(plain, indent=2, ensure_ascii=not unicode))


def json_line(value: object) -> None:
    """Print one JSON document in a line, for a reader that follows."""
    say(json.dumps(msgspec.to_builtins(value, str_keys=True)))
    sys.stdout.flush()


def log_to_stderr(level: str) -> None:
    """Have what is logged from this level on written to stderr."""
    layout = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format=layout, datefmt="%H:%M:%S")


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Print rows of text that was cleaned already."""
    body = [list(row) for row in rows]
    if is_rich(sys.stdout):
        console().print(rich_table(columns, body, title=title))
        return
    if title:
        say(title)
    widths = [max([_cells(column.title), *(_cells(row[at]) for row in body)]) for at, column in enumerate(columns)]
    for row in ([column.title.upper() for column in columns], *body):
        cells = [
            _padded(cell, wide, right=column.right) for cell, wide, column in zip(row, widths, columns, strict=True)
        ]
        say("  ".join(cells).rstrip())


def _padded(cell: str, wide: int, *, right: bool) -> str:
    gap = " " * (wide - _cells(cell))
    return gap + cell if right else cell + gap


def pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Print names with their values, one a line."""
    body = list(rows)
    width = max((len(name) for name, _ in body), default=0)
    if is_rich(sys.stdout):
        from rich.table import Table  # noqa: PLC0415  rich is loaded only where something is drawn
        from rich.text import Text  # noqa: PLC0415

        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in body:
            grid.add_row(name, Text(value, style=_STYLES.get(value, "")))
        console().print(grid)
        return
    for name, value in body:
        say(f"{name.ljust(width)}  {value}".rstrip())


def rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, title: str | None = None) -> Any:
    """Give the rows as rich draws them, fitted to the screen."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = [at for at, column in enumerate(columns) if not column.spare or {row[at] for row in rows} - _EMPTY]
    drawn = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        border_style="dim",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    widths = _fitted([columns[at] for at in shown], [[row[at] for at in shown] for row in rows])
    for at, fitted in zip(shown, widths, strict=True):
        column = columns[at]
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=fitted,
        )
    for row in rows:
        drawn.add_row(*(Text(row[at], style=_STYLES.get(row[at], "")) for at in shown))
    return drawn


def _fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    """Give each column's width; those that yield give way, the widest first, until all fit on the screen."""
    widths = [max([_cells(column.title), *(_cells(row[at]) for row in rows)]) for at, column in enumerate(columns)]
    excess = sum(widths) + GAP * (len(columns) - 1) - width()
    yielding = [at for at, column in enumerate(columns) if column.yields]
    while excess > 0 and yielding:
        widest = max(yielding, key=lambda at: widths[at])
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _cells(text: str) -> int:
    """Give how many columns of the screen a text takes; wide characters take two."""
    return len(text) + sum(unicodedata.east_asian_width(one) in "WF" for one in text if not one.isascii())


def console(*, to_stderr: bool = False) -> Any:
    """Give the rich console of a stream; NO_COLOR and FORCE_COLOR are honoured by rich itself."""
    from rich.console import Console  # noqa: PLC0415

    return Console(file=sys.stderr if to_stderr else sys.stdout, highlight=False, soft_wrap=False)


def width() -> int:
    """Give the columns of the screen; 80 when nobody knows."""
    return shutil.get_terminal_size((80, 24)).columns
