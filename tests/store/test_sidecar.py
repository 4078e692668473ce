"""The folder beside the database: presence, the turnstile, life locks, the proof of death."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from liteq.errors import Busy, FileMoved, ReadOnly, StorageError, UnsafePath
from liteq.model.fleet import StartedJob
from liteq.store.sqlite.sidecar import Sidecar
from liteq.store.sqlite.slate import WorkerIdentity

PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
import msgspec
from liteq.store.sqlite.sidecar import Sidecar
def say(*words):
    # One write, so that the lines of a parent and its child never mix.
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def hear():
    return sys.stdin.readline().strip()
sidecar = Sidecar(Path(sys.argv[1]))
sidecar.open()
"""

HOLD_LIFE = """
life = sidecar.hold_life(7)
life.start(0, 41, 3, 1_000, 9_000)
say(msgspec.json.encode(life.identity()).decode())
hear()
"""

HOLD_TURNSTILE = """
say(sidecar.turnstile.enter(0))
hear()
sidecar.turnstile.leave()
say("left")
hear()
"""

FORK_THEN_SLEEP = """
life = sidecar.hold_life(7)
turnstile = sidecar.turnstile
turnstile.enter(0)
child = os.fork()
if child == 0:
    # What an heir might call must not touch what the parent holds.
    turnstile.leave()
    life.release(remove=True)
    sidecar.close()
    say("child", os.getpid())
    time.sleep(60)
say(msgspec.json.encode(life.identity()).decode())
hear()
"""

FORK_WHILE_IN_LINE = """
import threading
def stand():
    sidecar.turnstile.enter(60_000)
thread = threading.Thread(target=stand, daemon=True)
thread.start()
while not any(t.name == "liteq-turnstile" for t in threading.enumerate()):
    time.sleep(0.001)
time.sleep(0.2)
if os.fork() == 0:
    say("child", os.getpid())
    time.sleep(60)
hear()
"""

INTERRUPTED_IN_LINE = """
import threading
say("ready")
try:
    sidecar.turnstile.enter(60_000)
except KeyboardInterrupt:
    say("interrupted")
hear()
while any(thread.name == "liteq-turnstile" for thread in threading.enumerate()):
    time.sleep(0.001)
say("settled")
hear()
say(sidecar.turnstile.enter(0))
hear()
"""

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

COUNT_IN_TURN = """
counter = Path(sys.argv[2])
for _ in range(100):
    assert sidecar.turnstile.enter(60_000)
    counter.write_text(str(int(counter.read_text()) + 1))
    sidecar.turnstile.leave()
say("fine")
"""

NOBODY = 65_534


class Peer:
    """Another process with the same folder open."""

    def __init__(self, database: Path, script: str, *arguments: str) -> None:
        command = [sys.executable, "-c", PREAMBLE + script, str(database), *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


MakePeer = Callable[..., Peer]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def sidecar(database: Path) -> Iterator[Sidecar]:
    opened = Sidecar(database)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def peer(database: Path) -> Iterator[MakePeer]:
    made: list[Peer] = []

    def make(script: str, *arguments: str) -> Peer:
        made.append(Peer(database, script, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def identity_of(peer: Peer) -> WorkerIdentity:
    return msgspec.json.decode(peer.line(), type=WorkerIdentity)


def becomes_true(question: Callable[[], bool], within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if question():
            return True
        time.sleep(0.005)
    return False


def is_taken(sidecar: Sidecar) -> bool:
    if sidecar.turnstile.enter(0):
        sidecar.turnstile.leave()
        return False
    return True


def line_threads() -> int:
    return sum(thread.name == "liteq-turnstile" for thread in threading.enumerate())


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


def test_only_one_is_let_in_at_a_time(sidecar: Sidecar, database: Path) -> None:
    other = Sidecar(database)
    other.open()

    first, second = sidecar.turnstile.enter(0), other.turnstile.enter(0)
    sidecar.turnstile.leave()
    third = other.turnstile.enter(0)
    other.turnstile.leave()
    other.close()

    assert (first, second, third) == (True, False, True)


def test_who_waits_is_let_in_when_the_other_leaves(sidecar: Sidecar, peer: MakePeer) -> None:
    holder = peer(HOLD_TURNSTILE)
    assert holder.line() == "True"
    threading.Timer(0.1, holder.go_on).start()

    entered = sidecar.turnstile.enter(30_000)
    assert holder.line() == "left"

    assert entered
    probe = peer("say(sidecar.turnstile.enter(0))")
    assert probe.line() == "False"
    sidecar.turnstile.leave()
    assert peer("say(sidecar.turnstile.enter(0))").line() == "True"


def test_who_waits_is_let_in_when_the_holder_is_killed(sidecar: Sidecar, peer: MakePeer) -> None:
    holder = peer(HOLD_TURNSTILE)
    assert holder.line() == "True"
    threading.Timer(0.1, holder.process.kill).start()

    entered = sidecar.turnstile.enter(30_000)
    sidecar.turnstile.leave()

    assert entered


def test_a_timeout_leaves_nothing_locked_and_no_thread_behind(sidecar: Sidecar, peer: MakePeer) -> None:
    holder = peer(HOLD_TURNSTILE)
    assert holder.line() == "True"

    entered = sidecar.turnstile.enter(50)
    sidecar.turnstile.leave()
    while_held = line_threads()
    holder.go_on()
    assert holder.line() == "left"

    assert not entered
    assert while_held == 1
    assert becomes_true(lambda: line_threads() == 0)
    assert peer("say(sidecar.turnstile.enter(0))").line() == "True"


def test_after_a_timeout_a_stopped_holder_costs_no_wait(sidecar: Sidecar, peer: MakePeer) -> None:
    holder = peer(HOLD_TURNSTILE)
    assert holder.line() == "True"
    holder.process.send_signal(signal.SIGSTOP)
    sidecar.turnstile.enter(50)
    began = time.monotonic()

    entered = [sidecar.turnstile.enter(60_000) for _ in range(3)]
    took = time.monotonic() - began
    holder.kill()

    assert entered == [False] * 3
    assert took < 3
    assert becomes_true(lambda: sidecar.turnstile.enter(0))
    sidecar.turnstile.leave()


def test_a_holder_stopped_for_long_gathers_no_threads(sidecar: Sidecar, peer: MakePeer) -> None:
    holder = peer(HOLD_TURNSTILE)
    assert holder.line() == "True"
    sidecar.turnstile.enter(20)
    time.sleep(5.1)

    second = sidecar.turnstile.enter(20)
    threads = line_threads()
    time.sleep(5.1)
    threading.Timer(0.1, holder.go_on).start()
    third = sidecar.turnstile.enter(30_000)
    sidecar.turnstile.leave()

    assert (second, threads, third) == (False, 1, True)


def test_an_interrupt_while_waiting_leaves_nothing_locked(sidecar: Sidecar, peer: MakePeer) -> None:
    assert sidecar.turnstile.enter(0)
    waiter = peer(INTERRUPTED_IN_LINE)
    assert waiter.line() == "ready"

    # The interrupt must come within the wait, and nothing outside tells when that has begun.
    time.sleep(0.3)
    waiter.process.send_signal(signal.SIGINT)
    assert waiter.line() == "interrupted"
    sidecar.turnstile.leave()
    waiter.go_on()
    assert waiter.line() == "settled"

    assert sidecar.turnstile.enter(0)
    sidecar.turnstile.leave()
    waiter.go_on()
    assert waiter.line() == "True"


def test_processes_that_take_turns_lose_no_update(tmp_path: Path, database: Path, peer: MakePeer) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    writers = [peer(COUNT_IN_TURN, str(counter)) for _ in range(4)]

    answers = [writer.line() for writer in writers]

    assert answers == ["fine"] * 4
    assert counter.read_text() == "400"


def test_a_removed_or_replaced_turnstile_is_noticed(sidecar: Sidecar) -> None:
    turnstile = sidecar.folder / "turnstile"

    before = sidecar.turnstile_intact()
    turnstile.rename(sidecar.folder / "moved")
    missing = sidecar.turnstile_intact()
    turnstile.touch()
    replaced = sidecar.turnstile_intact()

    assert (before, missing, replaced) == (True, False, False)


def test_entering_goes_on_when_a_cleaner_took_the_file(sidecar: Sidecar) -> None:
    (sidecar.folder / "turnstile").unlink()

    entered = sidecar.turnstile.enter(100)
    sidecar.turnstile.leave()

    assert entered


def test_a_lock_that_this_process_holds_itself_is_a_life(sidecar: Sidecar) -> None:
    life = sidecar.hold_life(3)
    identity = life.identity()

    while_held = [sidecar.is_dead(identity) for _ in range(2)]
    life.release(remove=False)
    afterwards = [sidecar.is_dead(identity) for _ in range(2)]

    assert while_held == [False, False]
    assert afterwards == [True, True]


def test_a_killed_worker_is_dead_and_its_slate_says_what_it_had_started(sidecar: Sidecar, peer: MakePeer) -> None:
    worker = peer(HOLD_LIFE)
    identity = identity_of(worker)

    before = sidecar.is_dead(identity)
    worker.kill()
    after = sidecar.is_dead(identity)
    slate = sidecar.read_slate(7)

    assert (before, after) == (False, True)
    assert slate is not None
    assert slate.pid == worker.pid
    assert slate.started == (StartedJob(job_id=41, attempt=3, started_at=1_000, deadline=9_000),)


def test_a_stopped_worker_is_alive(sidecar: Sidecar, peer: MakePeer) -> None:
    worker = peer(HOLD_LIFE)
    identity = identity_of(worker)

    worker.process.send_signal(signal.SIGSTOP)

    assert not sidecar.is_dead(identity)


def test_two_who_look_at_a_dead_worker_at_once_both_see_it(sidecar: Sidecar, database: Path) -> None:
    other = Sidecar(database)
    other.open()
    life = sidecar.hold_life(3)
    identity = life.identity()
    life.release(remove=False)
    answers: list[bool] = []

    def look(where: Sidecar) -> None:
        answers.extend(where.is_dead(identity) for _ in range(500))

    threads = [threading.Thread(target=look, args=(where,)) for where in (sidecar, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()

    assert answers == [True] * 1_000


def test_another_boot_is_death_even_where_the_lock_is_held(sidecar: Sidecar) -> None:
    life = sidecar.hold_life(3)

    identity = msgspec.structs.replace(life.identity(), boot_id="the boot before")
    dead = sidecar.is_dead(identity)
    life.release(remove=True)

    assert dead


def test_a_cleaned_folder_is_no_proof_of_death(sidecar: Sidecar, peer: MakePeer) -> None:
    worker = peer(HOLD_LIFE)
    identity = identity_of(worker)

    (sidecar.folder / "worker-7").unlink()
    missing = sidecar.is_dead(identity)
    (sidecar.folder / "worker-7").touch()
    replaced = sidecar.is_dead(identity)
    worker.kill()

    assert (missing, replaced) == (False, False)
    assert sidecar.is_dead(identity)


def test_without_its_file_a_worker_of_another_pid_namespace_is_never_dead(sidecar: Sidecar, peer: MakePeer) -> None:
    worker = peer(HOLD_LIFE)
    here = identity_of(worker)
    worker.kill()
    (sidecar.folder / "worker-7").unlink()

    elsewhere = msgspec.structs.replace(here, pid_namespace=here.pid_namespace + 1)

    assert sidecar.is_dead(here)
    assert not sidecar.is_dead(elsewhere)


def test_without_its_file_a_pid_that_was_given_again_is_dead(sidecar: Sidecar) -> None:
    life = sidecar.hold_life(3)
    living = life.identity()
    life.release(remove=True)

    earlier = msgspec.structs.replace(living, pid_start=living.pid_start - 1)
    unknown = msgspec.structs.replace(living, pid_start=0)

    assert not sidecar.is_dead(living)
    assert sidecar.is_dead(earlier)
    assert not sidecar.is_dead(unknown)


def test_a_killed_parent_is_dead_although_its_forked_child_lives(sidecar: Sidecar, peer: MakePeer) -> None:
    parent = peer(FORK_THEN_SLEEP)
    lines = [parent.line(), parent.line()]
    child = next(int(line.split()[1]) for line in lines if line.startswith("child"))
    identity = msgspec.json.decode(next(line for line in lines if line[0] == "{"), type=WorkerIdentity)

    try:
        before = sidecar.is_dead(identity), sidecar.turnstile.enter(0)
        parent.kill()
        dead = becomes_true(lambda: sidecar.is_dead(identity), within_s=1)
        entered = becomes_true(lambda: sidecar.turnstile.enter(0), within_s=1)
        sidecar.turnstile.leave()
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)

    assert before == (False, False)
    assert (dead, entered) == (True, True)


def test_a_child_forked_while_its_parent_stood_in_line_holds_nothing(sidecar: Sidecar, peer: MakePeer) -> None:
    assert sidecar.turnstile.enter(0)
    parent = peer(FORK_WHILE_IN_LINE)
    child = int(parent.line().split()[1])

    try:
        sidecar.turnstile.leave()
        in_turn = becomes_true(lambda: is_taken(sidecar))
        parent.kill()
        entered = becomes_true(lambda: sidecar.turnstile.enter(0), within_s=1)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
    sidecar.turnstile.leave()

    assert in_turn
    assert entered


def test_a_living_workers_id_is_not_given_twice_but_a_dead_ones_is(sidecar: Sidecar, peer: MakePeer) -> None:
    worker = peer(HOLD_LIFE)
    old = identity_of(worker)

    with pytest.raises(Busy, match="living worker"):
        sidecar.hold_life(7)
    worker.kill()
    life = sidecar.hold_life(7)
    intact = life.intact()
    slate = sidecar.read_slate(7)
    life.release(remove=True)

    assert intact
    assert slate is not None
    assert slate.started == ()
    assert sidecar.is_dead(old)


def test_a_planted_symlink_for_a_life_lock_is_refused(tmp_path: Path, sidecar: Sidecar) -> None:
    (tmp_path / "victim").write_text("precious")
    (sidecar.folder / "worker-1").symlink_to(tmp_path / "victim")

    with pytest.raises(UnsafePath):
        sidecar.hold_life(1)

    assert sidecar.read_slate(1) is None
    assert (tmp_path / "victim").read_text() == "precious"


def test_no_life_begins_in_a_folder_that_is_gone(sidecar: Sidecar) -> None:
    for path in sidecar.folder.iterdir():
        path.unlink()
    sidecar.folder.rmdir()

    with pytest.raises(FileMoved):
        sidecar.hold_life(1)


def test_a_life_lock_notices_that_its_file_was_removed_and_spares_the_new_one(sidecar: Sidecar) -> None:
    life = sidecar.hold_life(1)
    path = sidecar.folder / "worker-1"

    before = life.intact()
    path.rename(sidecar.folder / "moved")
    missing = life.intact()
    path.write_text("another's")
    life.release(remove=True)
    life.release(remove=True)

    assert (before, missing) == (True, False)
    assert path.read_text() == "another's"


def test_a_dead_workers_file_is_forgotten_and_a_missing_one_is_fine(sidecar: Sidecar) -> None:
    sidecar.hold_life(1).release(remove=False)

    sidecar.forget(1)
    sidecar.forget(1)

    assert not (sidecar.folder / "worker-1").exists()
