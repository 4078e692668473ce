"""Sets figures beside what is wanted of them."""

from benchmarks.harness import Row, Table
from benchmarks.jobs import Durability


def below(what: str, figure: float, limit: float) -> Row:
    """Give the row of a figure that is to be smaller than the limit."""
    return _judged(what, figure, f"< {limit:g}", ok=figure < limit)


def at_most(what: str, figure: float, limit: float) -> Row:
    """Give the row of a figure that is not to exceed the limit."""
    return _judged(what, figure, f"<= {limit:g}", ok=figure <= limit)


def at_least(what: str, figure: float, limit: float) -> Row:
    """Give the row of a figure that is not to fall short of the limit."""
    return _judged(what, figure, f">= {limit:g}", ok=figure >= limit)


def figure(table: Table, what: str, durability: Durability, column: str) -> float:
    """Give the figure of that column in the row of the table."""
    (row,) = (row for row in table.rows if (row["what"], row["durability"]) == (what, durability))
    found = row[column]
    assert isinstance(found, (int, float))
    return found


def met(row: Row) -> bool:
    """Tell whether the figure is as wanted."""
    return row["verdict"] == "ok"


def _judged(what: str, figure: float, wanted: str, *, ok: bool) -> Row:
    return {"what": what, "figure": figure, "wanted": wanted, "verdict": "ok" if ok else "MISSED"}
