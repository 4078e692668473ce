"""While a database is open here, no second SQLite library and no plain open touches it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from liteq.errors import FileMissing, SecondLibrary
from liteq.store.sqlite.guards import create_private
from liteq.store.sqlite.one_library import claim_inode, release_inode

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
def claimed(database: Path) -> Iterator[Path]:
    claim_inode(database)
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("CREATE TABLE t(x)")
    yield database
    connection.close()
    release_inode(database)


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
