"""What is checked before a database is opened: its path, its file, its filesystem."""

import os
import socket
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from liteq.errors import FileMissing, InvalidOption, LiteqError, ReadOnly, UnsafePath, UnsupportedFilesystem
from liteq.store.sqlite import guards
from liteq.store.sqlite.guards import NotDurableWarning, check_path, create_private

NOBODY = 65_534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to somebody else")


def test_a_good_path_comes_back_canonical_and_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)

    new = check_path("folder/../new.db", create=True)
    (tmp_path / "old.db").touch()
    old = check_path(Path("old.db"), create=False)

    assert new == tmp_path.resolve() / "new.db"
    assert not new.exists()
    assert old == tmp_path.resolve() / "old.db"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("", UnsafePath),
        ("a\0b", UnsafePath),
        ("a\udc80b", UnsafePath),
        ("x" * 5_000, UnsafePath),
        ("x/" * 2_100, UnsafePath),
        ("ü" * 128, UnsafePath),
        ("x" * 248, UnsafePath),
        ("x" * 256 + "/jobs.db", UnsafePath),
        (":memory:", InvalidOption),
        ("file:jobs.db?mode=memory", InvalidOption),
        ("/", UnsafePath),
        ("/dev/null", UnsafePath),
        ("/proc/self/status", UnsafePath),
        ("/proc/self/fd/0", UnsafePath),
        ("/dev/../proc/jobs.db", UnsafePath),
    ],
)
def test_a_path_that_cannot_be_one_is_refused_in_few_words(path: str, error: type[LiteqError]) -> None:
    with pytest.raises(error) as refusal:
        check_path(path, create=True)

    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("path", [b"jobs.db", 3, None])
def test_a_path_that_is_no_text_is_a_type_error(path: str) -> None:
    with pytest.raises(TypeError):
        check_path(path, create=True)


def test_the_longest_name_that_sqlite_can_serve_is_taken(tmp_path: Path) -> None:
    path = check_path(tmp_path / ("x" * 247), create=True)
    claim_of_suffix = path.with_name(path.name + "-journal")

    claim_of_suffix.touch()

    assert claim_of_suffix.exists()


def test_a_folder_a_fifo_and_a_socket_are_refused_without_a_hang(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))

        for name, word in [("folder", "folder"), ("fifo", "FIFO"), ("socket", "socket")]:
            with pytest.raises(UnsafePath, match=word):
                check_path(tmp_path / name, create=True)


def test_a_file_with_a_second_name_is_refused(database: Path) -> None:
    os.link(database, database.with_name("second"))

    with pytest.raises(UnsafePath, match="2 names"):
        check_path(database, create=True)


def test_a_missing_file_or_folder_is_named_in_full(tmp_path: Path) -> None:
    with pytest.raises(FileMissing) as file_refusal:
        check_path(tmp_path / "none.db", create=False)
    with pytest.raises(FileMissing) as folder_refusal:
        check_path(tmp_path / "none" / "jobs.db", create=True)

    assert str(tmp_path / "none.db") in str(file_refusal.value)
    assert f"no folder '{tmp_path / 'none'}'" in str(folder_refusal.value)


def test_a_file_in_the_place_of_a_folder_is_refused(database: Path) -> None:
    with pytest.raises(UnsafePath):
        check_path(database / "jobs.db", create=True)


def test_a_symlink_in_a_folder_of_ours_is_followed(tmp_path: Path, database: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(f"../{database.name}")
    (tmp_path / "way").symlink_to(tmp_path / "folder")
    (tmp_path / "dangling").symlink_to("later.db")

    assert check_path(tmp_path / "way" / "link", create=False) == database.resolve()
    assert check_path(tmp_path / "way" / ".." / database.name, create=False) == database.resolve()
    assert check_path(tmp_path / "dangling", create=True) == tmp_path.resolve() / "later.db"


def test_symlinks_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(UnsafePath, match="too many"):
        check_path(tmp_path / "a", create=True)


def test_a_symlink_in_a_folder_that_others_can_write_is_refused(tmp_path: Path, database: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "link").symlink_to(database)
    (folder / "way").symlink_to(tmp_path)
    folder.chmod(0o777)

    with pytest.raises(UnsafePath, match="link"):
        check_path(folder / "link", create=False)
    with pytest.raises(UnsafePath, match="way"):
        check_path(folder / "way" / database.name, create=False)


@only_root
def test_in_a_sticky_folder_only_our_own_symlink_is_followed(tmp_path: Path, database: Path) -> None:
    folder = tmp_path / "sticky"
    folder.mkdir()
    folder.chmod(0o1777)
    (folder / "ours").symlink_to(database)
    (folder / "theirs").symlink_to(database)
    os.chown(folder / "theirs", NOBODY, NOBODY, follow_symlinks=False)

    ours = check_path(folder / "ours", create=False)

    assert ours == database.resolve()
    with pytest.raises(UnsafePath, match="theirs"):
        check_path(folder / "theirs", create=False)


def test_a_new_file_is_empty_and_private_and_an_old_one_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"

    first = create_private(path)
    mode, size = stat.S_IMODE(path.stat().st_mode), path.stat().st_size
    path.write_text("content")
    second = create_private(path)

    assert (first, second) == (True, False)
    assert (mode, size) == (0o600, 0)
    assert path.read_text() == "content"


def test_creating_never_follows_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")

    made = create_private(tmp_path / "link")

    assert not made
    assert not (tmp_path / "target").exists()


def test_creating_where_there_is_no_folder_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        create_private(tmp_path / "none" / "jobs.db")


@only_root
def test_creating_in_a_folder_without_permission_is_read_only(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from liteq.errors import ReadOnly\n"
        "from liteq.store.sqlite.guards import create_private\n"
        f"os.setuid({NOBODY})\n"
        "try:\n"
        "    create_private(Path('/jobs-of-nobody.db'))\n"
        "except ReadOnly as error:\n"
        "    print(type(error).__name__)\n"
    )

    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout

    assert answer.strip() == ReadOnly.__name__


@pytest.mark.parametrize(
    "kind",
    "nfs nfs4 cifs smb3 smbfs 9p virtiofs vboxsf fuse fuse.sshfs ceph glusterfs lustre afs".split(),  # noqa: SIM905
)
def test_a_network_filesystem_is_refused_unless_it_is_allowed(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UnsupportedFilesystem, match="allow_network_filesystem=True"):
        guards.check_filesystem_kind(kind, path=tmp_path, allow_network=False)

    guards.check_filesystem_kind(kind, path=tmp_path, allow_network=True)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "fuseblk", "apfs", None])
def test_a_filesystem_of_this_machine_passes(tmp_path: Path, kind: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        guards.check_filesystem_kind(kind, path=tmp_path, allow_network=False)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/shm")
def test_a_filesystem_in_memory_is_warned_about_and_the_warning_can_be_silenced() -> None:
    with pytest.warns(NotDurableWarning, match="not durable"):
        guards.check_filesystem(Path("/dev/shm/jobs.db"), allow_network=False)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", NotDurableWarning)
        guards.check_filesystem(Path("/dev/shm/jobs.db"), allow_network=False)
