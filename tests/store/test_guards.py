"""What is checked before a database is opened, and what is refused while it is."""

import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from liteq.errors import (
    FileMissing,
    InvalidOption,
    LiteqError,
    ReadOnly,
    SecondLibrary,
    UnsafePath,
    UnsupportedFilesystem,
)
from liteq.store.sqlite import guards
from liteq.store.sqlite.guards import NotDurableWarning, check_path, create_private
from liteq.store.sqlite.one_library import claim_inode, release_inode

NOBODY = 65_534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to somebody else")

IN_A_FORKED_CHILD = """
import os, sys
from pathlib import Path
import apsw
from liteq.errors import ForkedClient
from liteq.store.sqlite.one_library import claim_inode, lineage
path = Path(sys.argv[1])
claim_inode(path)
connection = apsw.Connection(str(path))
connection.execute("PRAGMA journal_mode = WAL").fetchall()
if sys.argv[2] == "closed":
    connection.close()
before = lineage.forks
child = os.fork()
if child == 0:
    try:
        claim_inode(path)
        answer = "claimed"
    except ForkedClient:
        answer = "refused"
    print(answer, lineage.forks - before, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", lineage.forks - before, flush=True)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "jobs%25 ü#.db"
    create_private(path)
    return path


@pytest.fixture
def claimed(database: Path) -> Iterator[Path]:
    claim_inode(database)
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("CREATE TABLE t(x)")
    yield database
    connection.close()
    release_inode(database)


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


def test_a_file_that_this_process_has_open_already_is_not_claimed(database: Path) -> None:
    other = sqlite3.connect(database)
    other.execute("CREATE TABLE t(x)")

    with pytest.raises(SecondLibrary, match="already open"):
        claim_inode(database)
    other.close()
    claim_inode(database)
    release_inode(database)


def test_a_missing_file_is_not_claimed(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        claim_inode(tmp_path / "none.db")


def test_several_engines_may_claim_one_file_and_the_last_release_frees_it(claimed: Path) -> None:
    claim_inode(claimed)
    release_inode(claimed)

    with pytest.raises(SecondLibrary):
        sqlite3.connect(claimed)


def test_a_released_file_is_free_again(database: Path) -> None:
    claim_inode(database)
    claim_inode(database)
    release_inode(database)
    release_inode(database)
    release_inode(database)

    sqlite3.connect(database).close()

    assert database.read_bytes() == b""


def test_a_file_that_was_moved_meanwhile_can_be_released(database: Path) -> None:
    claim_inode(database)
    moved = database.rename(database.with_name("moved.db"))

    with pytest.raises(SecondLibrary):
        moved.read_bytes()
    release_inode(database)

    assert moved.read_bytes() == b""


def test_sqlite3_is_refused_by_every_way_of_naming_the_file(claimed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(claimed.parent)
    (claimed.parent / "alias").symlink_to(claimed)

    for name in (str(claimed), claimed, os.fsencode(claimed), claimed.name, "alias"):
        with pytest.raises(SecondLibrary, match=r"app\.transaction"):
            sqlite3.connect(name)
    uri = claimed.as_uri()
    for address in (
        uri,
        uri + "?mode=ro",
        uri + "#fragment",
        uri.replace("file://", "file:"),
        uri.replace("file://", "file://localhost"),
        "file:" + uri.rpartition("/")[2],
        "file:%61lias",
    ):
        with pytest.raises(SecondLibrary):
            sqlite3.connect(address, uri=True)


def test_plain_opens_of_the_three_files_are_refused(claimed: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path = claimed.with_name(claimed.name + suffix)
        assert path.exists()
        with pytest.raises(SecondLibrary, match="liteq backup"):
            path.read_bytes()
        with pytest.raises(SecondLibrary):
            os.open(os.fsencode(path), os.O_RDONLY)
        with pytest.raises(SecondLibrary):
            shutil.copyfile(path, claimed.with_name("copy"))


def test_what_has_nothing_to_do_with_the_file_passes(claimed: Path) -> None:
    other = claimed.with_name("other.db")

    sqlite3.connect(":memory:").close()
    sqlite3.connect("").close()
    sqlite3.connect("file::memory:?cache=shared", uri=True).close()
    sqlite3.connect(other).close()
    other.write_bytes(b"x")
    reading, writing = os.pipe()
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123  a descriptor, not a path
        content = pipe.read()

    assert other.read_bytes() == b"x"
    assert content == b""


def test_strange_paths_raise_what_they_always_raise(claimed: Path) -> None:
    with pytest.raises(ValueError, match="null"):
        open("a\0b")  # noqa: PTH123, SIM115
    with pytest.raises(FileNotFoundError):
        open("\udc80/none")  # noqa: PTH123, SIM115
    with pytest.raises(NotADirectoryError):
        open(str(claimed) + "/none-wal")  # noqa: PTH123, SIM115


def test_the_app_may_ask_for_a_new_file_while_another_has_it_open(claimed: Path) -> None:
    assert not create_private(claimed)


@pytest.mark.parametrize(("descriptor", "answer"), [("open", "refused"), ("closed", "claimed")])
def test_a_forked_child_claims_a_file_only_when_it_inherited_no_descriptor(
    database: Path, descriptor: str, answer: str
) -> None:
    command = [sys.executable, "-c", IN_A_FORKED_CHILD, str(database), descriptor]

    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert lines.splitlines() == [f"{answer} 1", "parent 0"]
