"""The benchmarks run: that their figures are good is for people to read, not for a test."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_quick_run_prints_each_table_and_writes_the_same_figures_as_json(tmp_path: Path) -> None:
    figures = tmp_path / "build" / "figures.json"

    ended = run("enqueue", "drain", "--quick", "--rounds", "1", "--folder", str(tmp_path), "--json", str(figures))

    assert ended.returncode == 0, ended.stderr
    assert "measuring drain (2 of 2)" in ended.stderr
    tables = json.loads(figures.read_bytes())["tables"]
    assert [table["title"] for table in tables] == [
        "enqueue",
        "enqueue, judged",
        "drain, jobs that do nothing, one worker",
        "drain, judged",
    ]
    for table in tables:
        for row in table["rows"]:
            assert row["what"] in ended.stdout
    rates = [row["jobs/s"] for table in tables for row in table["rows"] if "jobs/s" in row]
    assert len(rates) > 20
    assert min(rates) > 0
    assert list(tmp_path.iterdir()) == [figures.parent]


def test_a_question_that_nobody_knows_is_refused_with_those_that_there_are() -> None:
    ended = run("drane")

    assert ended.returncode == 2
    assert "no such question: drane" in ended.stderr
    assert "drain" in ended.stderr
