"""The one place that renders: a JSON document, a rich table on a terminal, plain columns off one."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import msgspec

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
    """One column: its title, whether it holds numbers, and whether it may give way when the screen is narrow."""

    title: str
    right: bool = False
    yields: bool = False


def clean(value: object, *, limit: int | None = None) -> str:
    """Give a value as one line that is safe to print: control characters escaped, at most ``limit`` characters."""
    text = value if isinstance(value, str) else str(value)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def lines(text: str) -> list[str]:
    """Give a stored text line by line, each safe to print."""
    return [clean(line.expandtabs(4)) for line in text.splitlines()]


def is_rich(stream: TextIO) -> bool:
    """Tell whether tables with lines and colour go to the stream: a terminal, or FORCE_COLOR."""
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


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Print rows of text that was cleaned already."""
    body = [list(row) for row in rows]
    if is_rich(sys.stdout):
        console().print(rich_table(columns, body, title=title))
        return
    if title:
        say(title)
    widths = [max(len(column.title), *(len(row[at]) for row in body), 0) for at, column in enumerate(columns)]
    for row in ([column.title.upper() for column in columns], *body):
        cells = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        say("  ".join(cells).rstrip())


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
    """Give the rows as rich draws them."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(
        box=box.ROUNDED,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        border_style="dim",
    )
    for column in columns:
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if column.yields else max(len(column.title), *(len(r[columns.index(column)]) for r in rows)),
        )
    for row in rows:
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return drawn


def console(*, to_stderr: bool = False) -> Any:
    """Give the rich console of a stream; NO_COLOR and FORCE_COLOR are honoured by rich itself."""
    from rich.console import Console  # noqa: PLC0415

    return Console(file=sys.stderr if to_stderr else sys.stdout, highlight=False, soft_wrap=False)


def width() -> int:
    """Give the columns of the screen; 80 when nobody knows."""
    return shutil.get_terminal_size((80, 24)).columns
