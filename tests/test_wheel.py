"""What is shipped: the wheel holds the SQL and both packages, and installs nothing called ``cli``."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_sql_and_the_marker_of_types(wheel: Path) -> None:
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "liteq").rglob("*.sql")} | {"liteq/py.typed"}

    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert len(shipped) > 5
    assert shipped <= names
    assert {name.split("/")[0] for name in names if not name.startswith("liteq_jobs-")} == {"liteq", "liteq_cli"}


def test_an_installed_wheel_answers_for_its_help_and_installs_no_cli(wheel: Path, tmp_path: Path) -> None:
    words = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(tmp_path), str(wheel)]
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True)

    run = subprocess.run(
        [str(tmp_path / "bin" / "liteq"), "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert "enqueue" in run.stdout
    assert {path.name for path in tmp_path.iterdir() if path.name[0] not in "._"} >= {"liteq", "liteq_cli"}
    assert not (tmp_path / "cli").exists()
