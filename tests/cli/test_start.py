"""What a command loads before it does anything: every one of them pays for it."""

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import clean_environment

HEAVY = {"pydantic", "rich", "asyncio", "ssl", "hashlib", "psutil", "croniter", "importlib.metadata"}


def test_a_command_loads_only_what_it_needs(folder: Path) -> None:
    code = (
        "import sys; from liteq_cli.main import answer\n"
        "for words in ('enqueue tasks.greet name=you', 'status', 'work --burst', 'job list'):\n"
        "    assert answer(['--app', 'tasks:app', *words.split()]) == 0, words\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=clean_environment(), check=True, capture_output=True, text=True
    )

    assert printed.stdout.splitlines()[-1] == "[]"
