from pathlib import Path

import msgspec

from benchmarks.harness import Plan
from benchmarks.peers import comparing, huey


def test_a_peer_that_is_not_installed_has_a_line_that_says_so(tmp_path: Path) -> None:
    absent = msgspec.structs.replace(huey.PEER, modules=("no_such_module",))
    without_program = msgspec.structs.replace(huey.PEER, name="other", modules=("sqlite3",), program="no-such-program")

    tables = comparing.measure(Plan(tmp_path, rounds=1, quick=True), [absent, without_program])

    assert [row for table in tables for row in table.rows] == [
        {"what": "huey", "why": "not installed: uv sync --group peers"},
        {"what": "other", "why": "the program no-such-program is not installed"},
    ]
