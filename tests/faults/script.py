"""A day in the life of a file: many verbs one after the other, the same for the same seed, each told when done."""

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from liteq.errors import StorageError
from liteq.model.job import Change, Claim, Completion
from liteq.model.transitions import Outcome
from liteq.store.engine import Slate
from liteq.store.sqlite.engine import SqliteEngine
from tests.engine.steps import NOW, bury, claim_some, new_job, register, remark, retry, snooze, told

OpenEngine = Callable[[], SqliteEngine]


class Told(NamedTuple):
    """A verb has returned, having done something to these jobs."""

    verb: str
    job_ids: tuple[int, ...]
    engine: SqliteEngine

    def outlives_power(self, *, full: bool) -> bool:
        """Tell whether the file is promised to be no older than this after a power cut."""
        return self.verb in {"open", "settle"} or (full and self.verb in _SYNCED and bool(self.job_ids))


class Script:
    """One run of the script. Reopens the file half way, and leaves it open at the end."""

    def __init__(self, open_engine: OpenEngine, *, seed: int, length: int) -> None:
        self._open_engine = open_engine
        self._rng = random.Random(seed)  # noqa: S311  no secret
        self._length = length
        self._held: list[Claim] = []
        self._known: list[int] = []
        self._slate: Slate | None = None
        self.errors: list[StorageError] = []

    def play(self) -> Iterator[Told]:
        """Give each verb when it has returned; the first is ``open``."""
        for half in range(2):
            engine = self._open_engine()
            yield Told("open", (), engine)
            self._slate = register(engine)
            yield Told("register", (), engine)
            for name in self._rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=self._length // 2):
                yield self._try(name, engine)
            if half == 0:
                engine.close()

    def _try(self, name: str, engine: SqliteEngine) -> Told:
        verb: Callable[[SqliteEngine], list[int]] = getattr(self, f"_{name}")
        try:
            return Told(name, tuple(verb(engine)), engine)
        except StorageError as error:
            self.errors.append(error)
            return Told("failed", (), engine)

    def _some(self, number: int) -> list[int]:
        return self._rng.sample(self._known, min(number, len(self._known)))

    def _take(self) -> Claim | None:
        return self._held.pop(self._rng.randrange(len(self._held))) if self._held else None

    def _enqueue(self, engine: SqliteEngine) -> list[int]:
        jobs = [
            new_job(
                args=b'["%s"]' % (b"x" * self._rng.choice((10, 400, 3_000, 9_000))),
                priority=self._rng.randint(0, 2),
                run_at=NOW + self._rng.choice((0, 0, 0, 5)),
                tags=("tagged",) if self._rng.random() < 0.3 else (),
            )
            for _ in range(self._rng.randint(1, 3))
        ]
        job_ids = [answer.job_id for answer in engine.enqueue(jobs, now=NOW)]
        self._known += job_ids
        return job_ids

    def _claim(self, engine: SqliteEngine) -> list[int]:
        assert self._slate is not None
        now, limit = NOW + self._rng.choice((0, 10)), self._rng.randint(1, 4)
        claims = claim_some(engine, worker_id=self._slate.worker_id, limit=limit, now=now)
        self._held += claims
        for claim in claims[:1]:
            self._slate.start(0, claim.job_id, claim.attempt, now)
        return [claim.job_id for claim in claims]

    def _complete(self, engine: SqliteEngine) -> list[int]:
        claims = [claim for claim in (self._take() for _ in range(self._rng.randint(1, 3))) if claim is not None]
        done = [
            Completion(claim=claim, report=told(Outcome.COMPLETED), result=b"[%d]" % claim.job_id) for claim in claims
        ]
        return [claim.job_id for claim in claims] if done and not engine.complete_many(done, now=NOW) else []

    def _report(self, engine: SqliteEngine) -> list[int]:
        claim = self._take()
        if claim is None:
            return []
        if claim.last_chance:
            bury(engine, claim)
        else:
            self._rng.choice((retry, snooze, bury))(engine, claim)
        return [claim.job_id]

    def _keep(self, engine: SqliteEngine) -> list[int]:
        claim = self._rng.choice(self._held) if self._held else None
        if claim is None:
            return []
        value = b'"%s"' % (b"x" * self._rng.choice((10, 3_000)))
        if self._rng.random() < 0.5:
            engine.save_checkpoint(claim, value=value, now=NOW)
        else:
            engine.finish_step(claim, name=f"step {self._rng.randint(1, 3)}", result=value, now=NOW)
        return [claim.job_id]

    def _note(self, engine: SqliteEngine) -> list[int]:
        said = [remark(claim, b"1", b"2", done=self._rng.randint(0, 9)) for claim in self._held]
        return [] if engine.note(said, now=NOW) else [one.claim.job_id for one in said]

    def _release(self, engine: SqliteEngine) -> list[int]:
        claim = self._take()
        return [] if claim is None or engine.release([claim], reason="made room", now=NOW) else [claim.job_id]

    def _cancel(self, engine: SqliteEngine) -> list[int]:
        return engine.cancel(self._some(2), reason="unwanted", now=NOW)

    def _requeue(self, engine: SqliteEngine) -> list[int]:
        return engine.requeue(self._some(2), now=NOW)

    def _reschedule(self, engine: SqliteEngine) -> list[int]:
        return engine.reschedule(self._some(3), Change(run_at=NOW, priority=self._rng.randint(0, 9)), now=NOW)

    def _delete(self, engine: SqliteEngine) -> list[int]:
        gone = engine.delete(self._some(1), now=NOW)
        self._known = [job_id for job_id in self._known if job_id not in gone]
        return gone

    def _prune(self, engine: SqliteEngine) -> list[int]:
        engine.prune(finished_before=NOW + 1, limit=2)
        return []

    def _tend(self, engine: SqliteEngine) -> list[int]:
        engine.tend()
        return []

    def _settle(self, engine: SqliteEngine) -> list[int]:
        engine.settle()
        return []


_WEIGHTS = {
    "enqueue": 30,
    "claim": 20,
    "complete": 18,
    "report": 8,
    "keep": 6,
    "note": 4,
    "release": 4,
    "cancel": 2,
    "requeue": 3,
    "reschedule": 3,
    "delete": 2,
    "prune": 2,
    "tend": 5,
    "settle": 3,
}
_SYNCED = {"enqueue", "complete", "report", "keep", "cancel", "requeue", "reschedule", "delete"}
