"""The turnstile: one at a time, and whoever holds it or stands in line may be killed, stopped or interrupted."""

import os
import signal
import threading
import time
from pathlib import Path

from liteq.store.sqlite.sidecar import Sidecar
from tests.store.sidecar.conftest import MakePeer, becomes_true

HOLD_TURNSTILE = """
say(sidecar.turnstile.enter(0))
hear()
sidecar.turnstile.leave()
say("left")
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

COUNT_IN_TURN = """
counter = Path(sys.argv[2])
for _ in range(100):
    assert sidecar.turnstile.enter(60_000)
    counter.write_text(str(int(counter.read_text()) + 1))
    sidecar.turnstile.leave()
say("fine")
"""


def is_taken(sidecar: Sidecar) -> bool:
    if sidecar.turnstile.enter(0):
        sidecar.turnstile.leave()
        return False
    return True


def line_threads() -> int:
    return sum(thread.name == "liteq-turnstile" for thread in threading.enumerate())


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
