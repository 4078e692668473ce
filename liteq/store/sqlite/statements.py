"""Reads the named statements of ``sql/``. The one place where the text of SQL comes from."""

import re
from functools import cache
from pathlib import Path

from liteq.model.transitions import State

_ROOM = Path(__file__).parent
_STATE = re.compile("@(" + "|".join(state.word for state in State) + r")\b")


def with_state_codes(sql: str) -> str:
    """Write the stored code wherever ``@state`` stands: partial indexes are matched by literals only."""
    return _STATE.sub(lambda found: str(int(State[found[1].upper()])), sql)


def _bare(sql: str) -> str:
    """Leave comments and indentation out: a statement is found by its text, at every call."""
    lines = (line.strip() for line in sql.splitlines())
    return " ".join(line for line in lines if line and not line.startswith("--")).rstrip(";")


@cache
def statements() -> dict[str, str]:
    """Give every named statement by its name."""
    found: dict[str, str] = {}
    for path in sorted((_ROOM / "sql").glob("*.sql")):
        for block in path.read_text(encoding="utf-8").split("-- name: ")[1:]:
            name, _, body = block.partition("\n")
            if name in found:
                raise ValueError(f"two statements are called {name}")
            found[name.strip()] = _bare(with_state_codes(body))
    return found


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Give the numbered migrations, oldest first."""
    files = sorted((_ROOM / "migrations").glob("*.sql"))
    return tuple((int(path.stem), path.read_text(encoding="utf-8")) for path in files)
