"""Random lives of named locks, held against a plain Python model: engines die, releases come late, time passes."""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from liteq.model.lock import LockWish
from liteq.store.engine import Engine
from tests.engine.conftest import OpenEngine, OpenFresh
from tests.engine.steps import NOW

ENGINES = st.integers(0, 2)
NAMES = st.sampled_from(("a", "b"))
PICKS = st.integers(0, 30)
LONG_MS = 1_000_000


@dataclass
class Lock:
    """What is expected of one name."""

    token: int = 0
    holder: Engine | None = None
    freed_at: int | None = None
    """When its holder or a person freed it; None where that was never, or a death did at an unknown moment."""
    line: list[tuple[Engine, int]] = field(default_factory=list)


class LifeOfLocks(RuleBasedStateMachine):
    """Three engines that take, wait, let go and die."""

    open_engine: OpenEngine

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.engines = [self.open_engine() for _ in range(3)]
        self.locks = {"a": Lock(), "b": Lock()}
        self.taken: list[tuple[Engine, str, int]] = []

    def living(self, engine: Engine | None) -> bool:
        return engine is not None and engine in self.engines

    def is_free(self, name: str) -> bool:
        return not self.living(self.locks[name].holder)

    @rule(name=NAMES, at=ENGINES)
    def join(self, name: str, at: int) -> None:
        engine = self.engines[at]
        self.locks[name].line.append((engine, engine.join_line(LockWish(name=name, what="a test"), now=self.now)))

    @rule(name=NAMES, at=ENGINES, waited=st.booleans())
    def take(self, name: str, at: int, waited: bool) -> None:
        engine, lock = self.engines[at], self.locks[name]
        places = [place for one, place in lock.line if one is engine] if waited else []
        place = places[0] if places else None
        ahead = [one for one, other in lock.line if (place is None or other < place) and self.living(one)]

        token = engine.take_lock(LockWish(name=name, what="a test"), place=place, now=self.now).token

        if token is None:
            assert not self.is_free(name) or ahead
            if self.is_free(name) and lock.holder is not None:
                lock.holder, lock.freed_at = None, None
            return
        assert self.is_free(name)
        assert token == lock.token + 1
        assert not ahead or lock.freed_at != self.now, "somebody was overtaken"
        lock.token, lock.holder, lock.freed_at = token, engine, None
        lock.line = [entry for entry in lock.line if place is None or entry[1] != place]
        self.taken.append((engine, name, token))

    @precondition(lambda self: self.taken)
    @rule(pick=PICKS, by=ENGINES)
    def release(self, pick: int, by: int) -> None:
        holder, name, token = self.taken[pick % len(self.taken)]
        lock = self.locks[name]
        engine = holder if self.living(holder) else self.engines[by]
        if lock.holder is not None and not self.living(lock.holder):
            return

        released = engine.release_lock(name, token=token, now=self.now)

        assert released is (lock.holder is not None and lock.token == token)
        if released:
            lock.holder, lock.freed_at = None, self.now

    @rule(name=NAMES, by=ENGINES)
    def break_it(self, name: str, by: int) -> None:
        lock = self.locks[name]
        was_held = not self.is_free(name)
        broken = self.engines[by].break_lock(name, now=self.now)
        assert broken or not was_held
        if broken:
            lock.holder, lock.freed_at = None, self.now if was_held else None

    @precondition(lambda self: any(lock.line for lock in self.locks.values()))
    @rule(name=NAMES, pick=PICKS)
    def leave(self, name: str, pick: int) -> None:
        line = self.locks[name].line
        own = [entry for entry in line if self.living(entry[0])]
        if own:
            engine, place = own[pick % len(own)]
            engine.leave_line(place)
            line.remove((engine, place))

    @rule(at=ENGINES)
    def die(self, at: int) -> None:
        self.engines[at].close()
        self.engines[at] = self.open_engine()

    @rule(passed=st.integers(0, 700))
    def tick(self, passed: int) -> None:
        self.now += passed

    @invariant()
    def the_holder_and_nobody_else_holds(self) -> None:
        for name, lock in self.locks.items():
            holders = [one for one in self.engines if lock.token and one.holds_lock(name, token=lock.token)]
            assert holders == ([lock.holder] if self.living(lock.holder) else [])
            record = self.engines[0].get_lock(name)
            assert (record is not None and record.alive) is self.living(lock.holder)

    def teardown(self) -> None:
        for name, lock in self.locks.items():
            if self.is_free(name):
                # However many wait, stopped or dead: a free lock comes to whoever asks for long enough. The first look
                # may be what finds a holder dead, and sets its turns going.
                tokens: list[int | None] = []
                for _ in range(2):
                    self.now += LONG_MS
                    tokens.append(self.engines[0].take_lock(LockWish(name=name, what="a test"), now=self.now).token)
                assert lock.token + 1 in tokens
        for engine in self.engines:
            engine.close()


def test_random_lives_of_locks_go_as_the_model_says(open_fresh: OpenFresh) -> None:
    count = 0

    def init(machine: LifeOfLocks) -> None:
        nonlocal count
        count += 1
        name = f"locks{count}"
        machine.open_engine = lambda: open_fresh(name)
        LifeOfLocks.__init__(machine)

    machine = type("LifeOfLocksHere", (LifeOfLocks,), {"__init__": init})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
