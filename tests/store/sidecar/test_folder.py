"""The folder itself: private, there as long as somebody is present, refused where it is not ours."""

import os
import stat
from pathlib import Path

import pytest

from liteq.errors import ReadOnly, StorageError, UnsafePath
from liteq.store.sqlite.sidecar import Sidecar
from tests.store.sidecar.conftest import MakePeer

OPEN_AND_CLOSE = """
for _ in range(150):
    assert (sidecar.folder / "presence").exists()
    life = sidecar.hold_life(os.getpid())
    assert life.intact() and sidecar.turnstile_intact()
    life.release(remove=True)
    sidecar.close()
    sidecar.open()
sidecar.close()
say("fine")
"""

OPEN_ACROSS_A_LAST_CLOSE = """
import fcntl
def pause_before_lock(event, arguments):
    if paused and event == "fcntl.flock" and arguments[1] & fcntl.LOCK_SH:
        paused.pop()
        say("opened, not locked")
        hear()
paused = []
sidecar.close()
sys.addaudithook(pause_before_lock)
paused.append(True)
sidecar.open()
say((sidecar.folder / "presence").exists(), sidecar.turnstile_intact())
hear()
"""

NOBODY = 65_534


def test_the_folder_and_its_files_are_private(sidecar: Sidecar, database: Path) -> None:
    life = sidecar.hold_life(1)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sidecar.folder.iterdir()}
    life.release(remove=True)

    assert sidecar.folder == database.parent / "jobs.db-liteq"
    assert stat.S_IMODE(sidecar.folder.stat().st_mode) == 0o700
    assert modes == {"presence": 0o600, "turnstile": 0o600, "worker-1": 0o600}


def test_the_last_one_to_close_removes_the_folder(sidecar: Sidecar, database: Path) -> None:
    other = Sidecar(database)
    other.open()
    sidecar.hold_life(1).release(remove=False)

    sidecar.close()
    after_first = sidecar.folder.exists()
    other.close()
    other.close()

    assert after_first
    assert not sidecar.folder.exists()


def test_another_process_keeps_the_folder_until_it_dies(sidecar: Sidecar, peer: MakePeer) -> None:
    other = peer("say('here'); hear()")
    assert other.line() == "here"

    sidecar.close()
    while_it_lives = sidecar.folder.exists()
    other.kill()
    sidecar.open()
    sidecar.close()

    assert while_it_lives
    assert not sidecar.folder.exists()


def test_opening_and_the_last_close_may_race(database: Path, peer: MakePeer) -> None:
    racers = [peer(OPEN_AND_CLOSE) for _ in range(4)]

    answers = [racer.line() for racer in racers]

    assert answers == ["fine"] * 4
    assert not (database.parent / "jobs.db-liteq").exists()


@pytest.mark.parametrize("strangers", [[], ["a folder that keeps the folder alive"]])
def test_who_opened_a_folder_just_as_the_last_one_left_starts_over(
    sidecar: Sidecar, peer: MakePeer, strangers: list[str]
) -> None:
    for name in strangers:
        (sidecar.folder / name).mkdir()
    late = peer(OPEN_ACROSS_A_LAST_CLOSE)
    assert late.line() == "opened, not locked"

    sidecar.close()
    removed = not (sidecar.folder / "presence").exists()
    late.go_on()

    assert removed
    assert late.line() == "True True"


def test_opening_twice_in_turn_works_after_a_close(sidecar: Sidecar) -> None:
    sidecar.close()

    sidecar.open()

    assert sidecar.turnstile_intact()


def test_a_closed_folder_serves_nobody(sidecar: Sidecar) -> None:
    sidecar.close()

    with pytest.raises(StorageError, match="not open"):
        sidecar.turnstile.enter(0)
    with pytest.raises(StorageError, match="not open"):
        sidecar.hold_life(1)
    assert not sidecar.turnstile_intact()


def test_a_planted_symlink_for_the_folder_is_refused(tmp_path: Path, database: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    (tmp_path / "jobs.db-liteq").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnsafePath):
        Sidecar(database).open()

    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path, database: Path) -> None:
    (tmp_path / "jobs.db-liteq").write_text("mine")

    with pytest.raises(UnsafePath):
        Sidecar(database).open()

    assert (tmp_path / "jobs.db-liteq").read_text() == "mine"


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path, database: Path) -> None:
    (tmp_path / "jobs.db-liteq").mkdir()
    (tmp_path / "jobs.db-liteq").chmod(0o777)

    with pytest.raises(UnsafePath, match="private"):
        Sidecar(database).open()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, database: Path) -> None:
    (tmp_path / "jobs.db-liteq").mkdir(0o700)
    os.chown(tmp_path / "jobs.db-liteq", NOBODY, NOBODY)

    with pytest.raises(UnsafePath, match="private"):
        Sidecar(database).open()


@pytest.mark.parametrize("name", ["presence", "turnstile"])
def test_a_planted_symlink_for_a_lock_is_refused(tmp_path: Path, database: Path, name: str) -> None:
    (tmp_path / "jobs.db-liteq").mkdir(0o700)
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "jobs.db-liteq" / name).symlink_to(tmp_path / "victim")

    with pytest.raises(UnsafePath):
        Sidecar(database).open()

    assert (tmp_path / "victim").read_text() == "precious"


def test_a_fifo_for_a_lock_is_refused_without_a_hang(tmp_path: Path, database: Path) -> None:
    (tmp_path / "jobs.db-liteq").mkdir(0o700)
    os.mkfifo(tmp_path / "jobs.db-liteq" / "presence")

    with pytest.raises(UnsafePath):
        Sidecar(database).open()


def test_a_folder_that_cannot_be_made_is_read_only(tmp_path: Path) -> None:
    # Not even root may create anything in the kernel's own tree.
    with pytest.raises((ReadOnly, StorageError)) as refusal:
        Sidecar(Path("/proc/jobs.db")).open()

    assert "/proc/jobs.db-liteq" in str(refusal.value)
