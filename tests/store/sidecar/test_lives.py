"""Life locks, and the proof of a worker's death."""

import os
import signal
import threading
from pathlib import Path

import msgspec
import pytest

from liteq.errors import Busy, FileMoved, UnsafePath
from liteq.model.fleet import StartedJob
from liteq.store.sqlite.sidecar import Sidecar
from liteq.store.sqlite.slate import WorkerIdentity
from tests.store.sidecar.conftest import MakePeer, Peer, becomes_true

HOLD_LIFE = """
life = sidecar.hold_life(7)
life.start(0, 41, 3, 1_000, 9_000)
say(msgspec.json.encode(life.identity()).decode())
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


def identity_of(peer: Peer) -> WorkerIdentity:
    return msgspec.json.decode(peer.line(), type=WorkerIdentity)


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
