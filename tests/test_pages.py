"""The Python of these pages runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path(__file__).parent.parent / "docs"
SAID = {
    ("locks.md", 1): "a.html 1\nb.html 1\n",
    ("large-work.md", 0): "3500 4 1 3500\n",
    ("large-work.md", 1): "20\n",
    ("large-work.md", 2): "25000\n",
}


def blocks() -> list[tuple[str, int, str]]:
    return [
        (page, number, code)
        for page in ("locks.md", "large-work.md")
        for number, code in enumerate(
            re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), flags=re.DOTALL)
        )
    ]


@pytest.mark.parametrize(("page", "number", "code"), blocks())
def test_a_block_of_python_runs_when_pasted(page: str, number: int, code: str, tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text(code, encoding="utf-8")

    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    if (page, number) in SAID:
        assert done.stdout == SAID[page, number]
