"""The Python of the README and of the pages runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


BLOCKS = blocks(ROOT / "README.md")
OF_PAGES = {
    f"{page.name}:{number}": block
    for page in sorted((ROOT / "docs").glob("*.md"))
    for number, block in enumerate(blocks(page))
}

SAID = {
    "large-work.md:0": "3500 4 1 3500\n",
    "large-work.md:1": "20\n",
    "large-work.md:2": "25000\n",
    "locks.md:1": "a.html 1\nb.html 1\n",
    "running.md:0": "1 {'parcel': 0}\n2 {'parcel': 1}\n3 {'parcel': 2}\nreceipt 42 1.0 {'customer': 7}\n",
    "transactions.md:0": "UNIQUE constraint failed: orders.id\n[(3,)]\n",
}
"""What a block prints, where its page says so."""


def test_the_first_screen_has_two_commands_and_then_ten_lines() -> None:
    first = README[: README.index("## ")]

    assert re.findall(r"^make (\w+)", first, flags=re.MULTILINE) == ["demo", "test"]
    assert len(BLOCKS[0].strip().splitlines()) <= 14


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_of_python_runs_when_pasted(number: int, tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text(BLOCKS[number])

    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    if number == 0:
        assert done.stdout == "hello world\n"


@pytest.mark.parametrize("name", OF_PAGES)
def test_a_block_of_a_page_runs_when_pasted(name: str, tmp_path: Path) -> None:
    script = tmp_path / "hello.py"
    script.write_text(OF_PAGES[name])

    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout == SAID.get(name, done.stdout)
