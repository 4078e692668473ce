"""Lives of jobs in which everything meets: keys with rates, batches, parents, fallbacks, full and paused queues,
debounce, breakers, limits, deaths. Nothing is predicted here; what must hold after every step is read off the rows.

The lives are drawn by seeds, not by hypothesis: what is looked for comes out of long lives with many jobs in them.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest
from msgspec.structs import replace

from liteq.errors import LiteqError
from liteq.model.batch import NewBatch
from liteq.model.guard import BreakerRule, Guard
from liteq.model.job import Change, Claim, Debounce, Enqueued, JobFilter, JobRecord, NewJob, Unique
from liteq.model.limits import Limit
from liteq.model.rate import Rate
from liteq.model.template import Template
from liteq.model.transitions import AT_REST, FINISHED, State
from liteq.store.engine import Engine, Slate
from tests.engine.conftest import OpenFresh
from tests.engine.steps import NOW, abort, bury, complete, die, new_job, register, retry, snooze

LIVES = 40
STEPS = 120
TASKS = ("plain", "guarded", "paced")
QUEUES = ("wide", "narrow")
NUMBERS: dict[str, list[tuple[int, str | None]]] = {
    "alone": [(1, None)],
    "pair": [(2, None)],
    "slow": [(2, "1/20ms")],
    "mixed": [(1, None), (2, "1/20ms"), (3, None), (3, "1/10ms burst 2")],
}
"""Concurrency keys, and the numbers that their jobs come with."""
MADE = b"{}"
"""The metadata of jobs that the file made by itself: they belong to a batch without being its members."""
HOURS = 3_600_000


class Life:
    """Two workers on two engines of one file, and what is done to it."""

    def __init__(self, engines: tuple[Engine, Engine], seed: int) -> None:
        self.draw = Random(seed)  # noqa: S311  no secret
        self.engines = engines
        self.engine = engines[0]
        self.now = NOW
        self.workers: list[Slate] = [register(engine) for engine in engines]
        self.claims: list[Claim] = []
        self.batches: list[int] = []
        self.jobs = 0
        self.slots = 0
        self.pauses = 0
        breaker = BreakerRule(failure_rate=0.5, window_ms=1_000, min_calls=2, open_ms=25)
        self.engine.put_guards({"guarded": Guard(breaker=breaker, budget=Rate(count=2, per_ms=50))})
        self.engine.put_limit("task", "paced", Limit(rate=Rate.parse("1/3ms"), max_running=3))
        self.engine.limit_pending("narrow", 6)

    def step(self) -> None:
        """Do something; much of it is refused, which must change nothing."""
        odds: list[tuple[Callable[[], None], float]] = [
            (self.enqueue, 6),
            (self.claim, 10),
            (self.report, 14),
            (self.handle, 6),
            (self.pass_time, 5),
            (self.expire, 1.5),
            (self.pause, 1),
            (self.kill, 0.6),
            (self.limit_pending, 0.5),
            (self.cancel_batch, 0.4),
            (self.prune, 0.4),
        ]
        (act,) = self.draw.choices([act for act, _ in odds], [weight for _, weight in odds])
        with suppress(LiteqError):
            act()

    def _likely(self, chance: float) -> bool:
        return self.draw.random() < chance

    def _job(self, place: int) -> NewJob:
        draw, queue, key = self.draw, self.draw.choice(QUEUES), self.draw.choice((None, None, *NUMBERS))
        most, rate = draw.choice(NUMBERS[key]) if key else (1, None)
        fallback = new_job(task="plain", queue=queue, key="alone" if key else None, metadata=MADE)
        job = new_job(
            task=draw.choice(TASKS),
            queue=queue,
            run_at=self.now + draw.choice((0, 0, 0, 5, 20)),
            priority=draw.randint(-1, 1),
            max_failures=3,
            max_crashes=2,
            unique=self._unique() if self._likely(0.5) else None,
            key=key,
            key_max=most,
            key_rate=rate,
            parents=tuple({draw.randint(1, self.jobs) for _ in range(draw.choice((0, 0, 1, 2)))} if self.jobs else ()),
        )
        return replace(
            job,
            siblings=(draw.randrange(place),) if place and self._likely(0.5) else (),
            on_parent_failure=draw.choice(("cancel", "run")),
            on_dead=Template(job=fallback).encode() if self._likely(0.3) else None,
            when_full=draw.choice(("raise", "skip")),
        )

    def _unique(self) -> Unique:
        key, scope = self.draw.choice(("one", "two")), self.draw.choice(("started", "finished", "period"))
        if scope == "period":
            return Unique(key=key, scope="period", held_until=self.now + 15)
        if scope == "started":
            return Unique(key=key, scope="started", debounce=Debounce(max_wait_ms=50))
        return Unique(key=key, on_conflict=self.draw.choice(("return", "replace", "skip")))

    def enqueue(self) -> None:
        jobs = [self._job(place) for place in range(self.draw.randint(1, 3))]
        how = self.draw.choice(("alone", "batch", "join"))
        if how == "batch":
            self._note(self._enqueue_batch(jobs))
            return
        if how == "join" and self.batches:
            jobs = [replace(job, batch_id=self.draw.choice(self.batches)) for job in jobs]
        self._note(self.engine.enqueue(jobs, now=self.now))

    def _enqueue_batch(self, jobs: list[NewJob]) -> list[Enqueued]:
        then = Template(job=new_job(task="plain", queue="narrow", key="pair", key_max=2, metadata=MADE)).encode()
        batch = NewBatch(name="batch", on_success=then, on_failure=then, on_complete=then)
        batch_id, answers = self.engine.enqueue_batch(batch, jobs, now=self.now)
        self.batches.append(batch_id)
        return answers

    def _note(self, answers: list[Enqueued]) -> None:
        self.jobs = max([self.jobs, *(answer.job_id for answer in answers)])

    def claim(self) -> None:
        which = self.draw.randint(0, 1)
        slate, tasks = self.workers[which], self.draw.choice((TASKS, TASKS, TASKS[:1]))
        limit = self.draw.randint(1, 4)
        took = self.engines[which].claim(worker_id=slate.worker_id, queues=None, tasks=tasks, limit=limit, now=self.now)
        for claim in took if self._likely(0.5) else ():
            self.slots += 1
            slate.start(self.slots, claim.job_id, claim.attempt, self.now)
        self.claims += took
        paused = {queue.name for queue in self.engine.queues() if queue.paused_at is not None}
        assert not paused & {claim.queue for claim in took}

    def report(self) -> None:
        """Report about one of the newest claims: some are late."""
        claim, now = self.draw.choice(self.claims[-7:] or [None]), self.now
        if claim is None:
            return
        engine, later = self.draw.choice(self.engines), now + self.draw.randint(0, 10)
        reports: list[Callable[[], object]] = [
            lambda: complete(engine, claim, now=now),
            lambda: retry(engine, claim, run_at=later, now=now),
            lambda: bury(engine, claim, now=now),
            lambda: snooze(engine, claim, run_at=later, now=now),
            lambda: abort(engine, claim, now=now),
            lambda: engine.release([claim], reason="made room", now=now),
            lambda: engine.release([claim], reason="made room", now=now, unstarted=True),
        ]
        self.draw.choices(reports, (2, 1, 1, 1, 1, 1, 1))[0]()

    def handle(self) -> None:
        """Do something by hand to any job ever made, pruned ones too."""
        ids, draw, now = [self.draw.randint(1, self.jobs + 1)], self.draw, self.now
        change = Change(run_at=now + draw.randint(0, 10), priority=draw.randint(-1, 1))
        verbs: list[Callable[[], object]] = [
            lambda: self.engine.cancel(ids, reason="unwanted", now=now),
            lambda: self.engine.requeue(ids, now=now),
            lambda: self.engine.reschedule(ids, change, now=now),
            lambda: self.engine.reschedule(ids, Change(queue=draw.choice(QUEUES)), now=now),
            lambda: self.engine.delete(ids, now=now),
        ]
        draw.choices(verbs, (1, 2, 1, 1, 1))[0]()

    def cancel_batch(self) -> None:
        if self.batches:
            batch_id = self.draw.choice(self.batches)
            self.engine.cancel_batch(batch_id, now=self.now)
            ids = [job.id for job in self.rows() if job.batch_id == batch_id]
            self.engine.cancel(ids, reason="all of it", now=self.now)

    def pause(self) -> None:
        self.pauses += 1
        queue = self.draw.choice(QUEUES)
        if self._likely(0.4):
            self.engine.pause_queue(queue, reason=None, now=self.now)
        else:
            self.engine.resume_queue(queue)

    def limit_pending(self) -> None:
        self.engine.limit_pending("narrow", self.draw.choice((None, 2, 6, 20)))

    def kill(self) -> None:
        which = self.draw.randint(0, 1)
        die(self.workers[which])
        self.workers[which] = register(self.engines[which])

    def expire(self) -> None:
        self.draw.choice(self.engines).expire(now=self.now)

    def pass_time(self) -> None:
        self.now += self.draw.randint(1, 30)

    def prune(self) -> None:
        self.engine.prune(finished_before=self.now - self.draw.randint(0, 20), limit=1_000)

    # ---- what must hold

    def rows(self) -> list[JobRecord]:
        return self.engine.list_jobs(JobFilter(), limit=1_000)

    def check(self) -> None:
        rows = self.rows()
        self._check_counts(rows)
        for job in rows:
            if job.state is State.WAITING:
                assert any(parent.state not in FINISHED for parent in self.engine.parents(job.id)), "waits for nobody"
        for key in NUMBERS:
            self._check_turns(key, [job for job in rows if job.concurrency_key == key])
        for batch_id in self.batches:
            self._check_batch(batch_id, rows)

    def _check_counts(self, rows: list[JobRecord]) -> None:
        waiting = Counter(job.queue for job in rows if job.state in AT_REST)
        for queue in self.engine.queues():
            assert queue.pending in {None, waiting[queue.name]}

    def _check_turns(self, key: str, jobs: list[JobRecord]) -> None:
        in_turn = [job for job in jobs if job.state in {State.READY, State.RUNNING}]
        numbers = [job.key_max_running or 0 for job in in_turn]
        assert len(in_turn) <= max(numbers, default=0), "more run than may"
        line = [job for job in jobs if job.state is State.BLOCKED]
        # Where the numbers differ a pause alters who is next, and that is seen when the next one of the key ends.
        if not line or (key == "mixed" and self.pauses):
            return
        paused = {queue.name for queue in self.engine.queues() if queue.paused_at is not None}
        first = min(line, key=lambda job: (job.queue in paused, -job.priority, job.run_at, job.id))
        if len(in_turn) < min([*numbers, first.key_max_running or 0]):
            assert first.key_rate is not None, "blocked beside a free turn"
            will_pay = any(job.state is State.READY and job.key_rate is not None for job in in_turn)
            assert will_pay or self.engine.next_due(now=self.now) is not None, "nobody will look for its token"

    def _check_batch(self, batch_id: int, rows: list[JobRecord]) -> None:
        batch = self.engine.get_batch(batch_id)
        if batch is None:
            return
        members = [job for job in rows if job.batch_id == batch_id and job.metadata != MADE]
        live = [job for job in members if job.state not in FINISHED]
        assert batch.jobs - batch.completed - batch.dead - batch.cancelled == len(live)
        assert min(batch.completed, batch.dead, batch.cancelled) >= 0
        assert (batch.finished_at is None) == bool(live)
        if batch.finished_at is not None:
            assert batch.complete_job is not None
            assert (batch.success_job or batch.failure_job) is not None

    def run_all(self) -> None:
        """Let everything run to its end: nothing may be left that waits for ever."""
        for queue in QUEUES:
            self.engine.resume_queue(queue)
        for slate in self.workers:
            die(slate)
        self.now += HOURS
        self.engine.expire(now=self.now)
        worker_id = register(self.engine).worker_id
        due: int | None = self.now
        while due is not None:
            self.now = max(self.now, due)
            took = self.engine.claim(worker_id=worker_id, queues=None, tasks=TASKS, limit=10, now=self.now)
            for claim in took:
                complete(self.engine, claim, now=self.now)
            due = self.now if took else self.engine.next_due(now=self.now)
        assert [job for job in self.rows() if job.state not in FINISHED] == []


@pytest.mark.parametrize("seed", range(LIVES))
def test_whatever_meets_nothing_waits_for_ever_and_all_counts_are_true(open_fresh: OpenFresh, seed: int) -> None:
    life = Life((open_fresh("life"), open_fresh("life")), seed)

    for _ in range(STEPS):
        life.step()
        life.check()

    life.run_all()
    life.check()
