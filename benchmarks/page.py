"""Puts fresh tables where older ones of the same title stand in a page: ``python -m benchmarks --page PATH``."""

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Table


def renew(page: Path, tables: Sequence[Table]) -> list[str]:
    """Replace the tables in the page, each up to the next empty line or fence; give the titles that are not in it."""
    text, missing = page.read_text(encoding="utf-8"), list[str]()
    for table in tables:
        old = re.compile(rf"^{re.escape(table.title)}  \[.*?(?=^$|^```$)", re.MULTILINE | re.DOTALL)
        fresh = f"{table.text()}\n".replace("\\", r"\\")
        text, times = old.subn(fresh, text, count=1)
        if not times:
            missing.append(table.title)
    page.write_text(text, encoding="utf-8")
    return missing
