"""The platform file: who runs, where a file lies, when it was written."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liteq.errors import UnsupportedFilesystem
from liteq.store.sqlite import platform, processes
from liteq.store.sqlite.platform import FileWatch, FolderWatch, PacedWatch

PROMPT_S = 5.0

HOLD_WRITE_LOCK = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE t(x)")
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
print("free", flush=True)
sys.stdin.readline()
"""

WAIT_AND_BE_INTERRUPTED = """
import signal, sys, time
from pathlib import Path
from liteq.store.sqlite.platform import watch_file
signal.signal(signal.SIGUSR1, lambda *_: None)
watch = watch_file(Path(sys.argv[1]))
print("waiting", flush=True)
began = time.monotonic()
try:
    found = watch.wait(1_500)
    print(found, time.monotonic() - began >= 1.4, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture(params=[FolderWatch, PacedWatch])
def make_watch(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], FileWatch]]:
    made: list[FileWatch] = []

    def make(path: Path) -> FileWatch:
        made.append(request.param(path))
        return made[-1]

    yield make
    for watch in made:
        watch.close()


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def open_descriptors() -> set[int]:
    return {number for number in range(1_024) if is_open(number)}


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_windows_is_refused_by_name() -> None:
    platform.refuse_unsupported_platform("linux")
    platform.refuse_unsupported_platform("darwin")

    with pytest.raises(UnsupportedFilesystem, match="win32"):
        platform.refuse_unsupported_platform("win32")


def test_all_processes_of_one_boot_share_its_id() -> None:
    script = "from liteq.store.sqlite.platform import boot_id; print(boot_id())"

    there = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout

    assert there.strip() == platform.boot_id() != ""


def test_a_process_has_one_start_and_another_process_another() -> None:
    first = processes.process_start(os.getpid())
    child = start("input()")

    later = processes.process_start(child.pid)
    end(child)

    assert first == processes.process_start(os.getpid())
    assert first is not None
    assert later is not None
    assert later > first


def test_a_program_with_a_parenthesis_in_its_name_has_a_start(tmp_path: Path) -> None:
    odd = tmp_path / "a) S 1"
    odd.write_text("#!/bin/sh\necho ready\nread line\n")
    odd.chmod(0o700)
    usual = start("print('ready', flush=True); input()")
    child = subprocess.Popen([str(odd)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert (line_of(usual), line_of(child)) == ("ready", "ready")

    expected, found = processes.process_start(usual.pid), processes.process_start(child.pid)
    end(child)
    end(usual)

    assert expected is not None
    assert found is not None
    assert 0 <= found - expected < 60 * os.sysconf("SC_CLK_TCK")


def test_a_zombie_and_a_reaped_process_have_no_start() -> None:
    child = start("pass")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    as_zombie = processes.process_start(child.pid)
    child.communicate()

    assert as_zombie is None
    assert processes.process_start(child.pid) is None


def test_the_longest_mount_point_names_the_filesystem_and_a_later_mount_covers_an_earlier_one() -> None:
    table = (
        b"1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        b"2 1 0:2 / /data rw,noatime shared:1 - nfs4 server:/x rw\n"
        b"3 1 0:3 / /data rw - xfs /dev/sdb rw\n"
        b"4 1 0:4 / /my\\040disk rw - fuse.sshfs host: rw\n"
        b"a line of a kernel to come\n"
    )

    def kind(path: str) -> str | None:
        return platform.filesystem_in(table, Path(path))

    assert kind("/home/jobs.db") == "ext4"
    assert kind("/data/jobs.db") == "xfs"
    assert kind("/database/jobs.db") == "ext4"
    assert kind("/my disk/jobs.db") == "fuse.sshfs"
    assert platform.filesystem_in(b"", Path("/x")) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_a_file_of_the_kernel_is_on_the_filesystem_of_the_kernel() -> None:
    assert platform.filesystem_of(Path("/proc/self/status")) == "proc"


def test_descriptors_are_found_by_inode_until_they_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    status = path.stat()

    with path.open() as first, path.open() as second:
        found = platform.descriptors_of(status.st_dev, status.st_ino)
        expected = {first.fileno(), second.fileno()}

    assert set(found) == expected
    assert platform.descriptors_of(status.st_dev, status.st_ino) == []


def test_the_writer_is_named_while_it_holds_the_lock(tmp_path: Path) -> None:
    database = tmp_path / "some.db"
    shm = tmp_path / "some.db-shm"
    writer = start(HOLD_WRITE_LOCK, str(database))

    try:
        assert line_of(writer) == "held"
        while_held = processes.writer_pid(shm)
        tell(writer)
        assert line_of(writer) == "free"
        afterwards = processes.writer_pid(shm)
    finally:
        end(writer)

    assert while_held == writer.pid
    assert afterwards is None


def test_the_writer_of_no_file_is_unknown(tmp_path: Path) -> None:
    assert processes.writer_pid(tmp_path / "none-shm") is None


def test_a_write_ends_the_wait_once(tmp_path: Path, make_watch: Callable[[Path], FileWatch]) -> None:
    path = tmp_path / "jobs.db-wal"
    watch = make_watch(path)

    before = watch.wait(0)
    path.write_bytes(b"one")
    created = watch.wait(5_000)
    again = watch.wait(0)
    path.write_bytes(b"longer")
    written = watch.wait(5_000)

    assert (before, created, again, written) == (False, True, False, True)


def test_other_files_of_the_folder_do_not_end_the_wait(tmp_path: Path, make_watch: Callable[[Path], FileWatch]) -> None:
    watch = make_watch(tmp_path / "jobs.db-wal")

    (tmp_path / "jobs.db-wal2").write_bytes(b"x")
    (tmp_path / "jobs.db").write_bytes(b"x")

    assert not watch.wait(50)


def test_a_file_moved_to_the_name_ends_the_wait(tmp_path: Path, make_watch: Callable[[Path], FileWatch]) -> None:
    watch = make_watch(tmp_path / "jobs.db-wal")
    (tmp_path / "other").write_bytes(b"x")

    (tmp_path / "other").rename(tmp_path / "jobs.db-wal")

    assert watch.wait(5_000)


def test_a_timeout_is_waited_for(tmp_path: Path, make_watch: Callable[[Path], FileWatch]) -> None:
    watch = make_watch(tmp_path / "file")
    began = time.monotonic()

    found = watch.wait(100)

    assert not found
    assert time.monotonic() - began >= 0.09


def test_another_thread_can_end_the_wait(tmp_path: Path, make_watch: Callable[[Path], FileWatch]) -> None:
    watch = make_watch(tmp_path / "file")
    timer = threading.Timer(0.05, watch.wake)
    timer.start()
    began = time.monotonic()

    found = watch.wait(60_000)
    timer.join()

    assert found
    assert time.monotonic() - began < PROMPT_S
    assert not watch.wait(0)


def test_a_wake_before_the_wait_counts_and_many_wakes_are_one(
    tmp_path: Path, make_watch: Callable[[Path], FileWatch]
) -> None:
    watch = make_watch(tmp_path / "file")

    for _ in range(10_000):
        watch.wake()

    assert watch.wait(0)
    assert not watch.wait(0)


def test_a_closed_watch_gives_its_descriptors_back_and_ignores_a_late_wake(
    tmp_path: Path, make_watch: Callable[[Path], FileWatch]
) -> None:
    path = tmp_path / "file"
    before = open_descriptors()
    watch = make_watch(path)

    watch.close()
    watch.close()
    watch.wake()

    end = time.monotonic() + 20
    while open_descriptors() != before:
        assert time.monotonic() < end, "what the kernel is slow to let go is closed aside, but soon"
        time.sleep(0.001)
    assert not watch.wait(1)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_watches_that_are_closed_in_quick_succession_leave_others_enough(tmp_path: Path) -> None:
    still_closing = 0

    def watch_briefly() -> None:
        nonlocal still_closing
        for _ in range(50):
            platform.watch_file(tmp_path / "file").close()
            names = [thread.name for thread in threading.enumerate()]
            still_closing = max(still_closing, names.count("liteq-unwatch"))

    threads = [threading.Thread(target=watch_briefly) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # One that has closed its own and is about to end is counted, too.
    assert still_closing <= 16


def test_a_watch_in_a_missing_folder_waits_without_error(tmp_path: Path) -> None:
    watch = platform.watch_file(tmp_path / "none" / "file")

    found = watch.wait(5)
    watch.close()

    assert not found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has inotify")
def test_linux_gets_the_watch_that_costs_nothing_while_idle(tmp_path: Path) -> None:
    watch = platform.watch_file(tmp_path / "file")
    watch.close()

    assert isinstance(watch, FolderWatch)


def test_a_signal_does_not_shorten_the_wait(tmp_path: Path) -> None:
    waiter = start(WAIT_AND_BE_INTERRUPTED, str(tmp_path / "file"))
    assert line_of(waiter) == "waiting"

    for _ in range(5):
        waiter.send_signal(signal.SIGUSR1)
        time.sleep(0.05)
    answer = line_of(waiter)
    end(waiter)

    assert answer == "False True"


def test_a_keyboard_interrupt_ends_the_wait(tmp_path: Path) -> None:
    waiter = start(WAIT_AND_BE_INTERRUPTED.replace("1_500", "60_000"), str(tmp_path / "file"))
    assert line_of(waiter) == "waiting"

    # The interrupt must come within the wait, and nothing outside tells when that has begun.
    time.sleep(0.3)
    waiter.send_signal(signal.SIGINT)
    answer = line_of(waiter)
    end(waiter)

    assert answer == "interrupted"


def test_only_the_very_process_that_was_meant_is_ended() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as child:
        start = processes.process_start(child.pid) or 0
        for pid, began in ((child.pid, start + 1), (child.pid, 0), (0, start), (1, start), (-child.pid, start)):
            processes.end_process(pid, began)
            processes.end_group(pid, began)
        assert child.poll() is None
        processes.end_group(child.pid, start)
        assert child.wait(10) == -9
