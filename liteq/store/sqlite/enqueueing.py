"""Jobs come in: plain ones many at a time, those with a unique key one by one past its holder, bound ones to wait."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from liteq.errors import BatchNotFound, DependencyError, LiteqError, QueueFull, UniqueKeyTaken, WrongState
from liteq.model.batch import NewBatch
from liteq.model.job import POLICY_CODES, Debounce, Enqueued, NewJob, Unique
from liteq.model.transitions import AT_REST, FINISHED, State
from liteq.store.sqlite.aftermath import count_ends, finish_if_empty
from liteq.store.sqlite.binding import enqueue_row, id_list
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.inserting import insert_bound, state_at_rest
from liteq.store.sqlite.keeping import forget_kept
from liteq.store.sqlite.pending import Unbounded, admit
from liteq.store.sqlite.turns import settle_keys


class Enqueueing:
    """The verb by which jobs come into the file."""

    file: JobFile
    unbounded: Unbounded

    def enqueue(self, jobs: Sequence[NewJob], *, now: int) -> list[Enqueued]:
        file = self.file
        file.refuse_when_nearly_full()
        if all(map(_is_only_a_row, jobs)):
            return file.shared_commit.run(partial(self._insert_rows, jobs, now))
        if file.writer.holds() and any(_may_fail(job) for job in jobs):
            with file.all_or_none():
                return self._enqueue(jobs, now)
        return file.shared_commit.run(partial(self._enqueue, jobs, now))

    def enqueue_batch(self, batch: NewBatch, jobs: Sequence[NewJob], *, now: int) -> tuple[int, list[Enqueued]]:
        self.file.refuse_when_nearly_full()
        with self.file.all_or_none():
            connection = self.file.writer.connection
            connection.rows("insert_batch", msgspec.structs.asdict(batch) | {"now": now})
            batch_id = connection.raw.last_insert_rowid()
            answers = self._enqueue([msgspec.structs.replace(job, batch_id=batch_id) for job in jobs], now)
            finish_if_empty(connection, batch_id, now=now)
        return batch_id, answers

    def _enqueue(self, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
        stopped: list[NewJob] = []
        if all(map(_is_plain, jobs)):
            answers = self._enqueue_plain(jobs, now)
        else:
            answers = self._enqueue_mixed(jobs, stopped, now)
        if any(job.batch_id is not None for job in jobs):
            self._join(jobs, answers, stopped, now)
        return answers

    def _enqueue_mixed(self, jobs: Sequence[NewJob], stopped: list[NewJob], now: int) -> list[Enqueued]:
        answers: list[Enqueued] = []
        plain: list[NewJob] = []
        for job in jobs:
            if _is_plain(job):
                plain.append(job)
                continue
            answers += self._enqueue_plain(plain, now)
            plain = []
            answers.append(self._enqueue_one(job, answers, stopped, now))
        answers += self._enqueue_plain(plain, now)
        settle_keys(self.file.writer.connection, (job.concurrency_key for job in jobs), now=now)
        return answers

    def _enqueue_plain(self, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
        try:
            return self._insert(jobs, now)
        except QueueFull:
            if not any(job.when_full == "skip" for job in jobs):
                raise
        return [self._insert_or_skip(job, (), [], now) for job in jobs]

    def _insert_or_skip(self, job: NewJob, earlier: Sequence[Enqueued], stopped: list[NewJob], now: int) -> Enqueued:
        try:
            if _has_parents(job):
                return self._insert_child(job, earlier, stopped, now)
            return self._insert([job], now)[0] if job.concurrency_key is None else self._insert_keyed(job, now)
        except QueueFull:
            if job.when_full == "raise":
                raise
            return Enqueued(0, "full")

    def _enqueue_one(self, job: NewJob, earlier: Sequence[Enqueued], stopped: list[NewJob], now: int) -> Enqueued:
        if job.unique is not None:
            held = self._held(job, job.unique, earlier, now)
            if held is not None:
                return held
        return self._insert_or_skip(job, earlier, stopped, now)

    def _join(self, jobs: Sequence[NewJob], answers: Sequence[Enqueued], stopped: Sequence[NewJob], now: int) -> None:
        """Count the new jobs into their batches, and those that were cancelled at birth as ended."""
        connection = self.file.writer.connection
        new = [job for job, answer in zip(jobs, answers, strict=True) if answer.answer == "new"]
        for batch_id, members in Counter(_batches(new)).items():
            if not connection.rows("join_batch", {"batch_id": batch_id, "jobs": members}):
                raise self._no_joining(batch_id)
        count_ends(connection, _batches(stopped), failed="cancelled", now=now)

    def _no_joining(self, batch_id: int) -> LiteqError:
        found = self.file.writer.connection.rows("batch_state", {"batch_id": batch_id})
        if not found:
            return BatchNotFound(f"there is no batch {batch_id}")
        how = "was cancelled" if found[0][0] else "has finished"
        return WrongState(f"batch {batch_id} {how}; no job can join it any more")

    def _insert(self, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
        answers = self._insert_rows(jobs, now)
        self._tag(jobs, answers)
        return answers

    def _insert_rows(self, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
        if not jobs:
            return []
        connection = self.file.writer.connection
        admit(connection, jobs, self.unbounded)
        if len(jobs) == 1:
            connection.rows("enqueue", enqueue_row(jobs[0], now))
            return [Enqueued(connection.raw.last_insert_rowid())]
        connection.many("enqueue", [enqueue_row(job, now) for job in jobs])
        # AUTOINCREMENT under the write lock numbers one statement's rows without a gap.
        last: int = connection.raw.last_insert_rowid()
        return list(map(Enqueued, range(last - len(jobs) + 1, last + 1)))

    def _insert_keyed(self, job: NewJob, now: int) -> Enqueued:
        connection = self.file.writer.connection
        admit(connection, [job], self.unbounded)
        return Enqueued(insert_bound(connection, job, state_at_rest(job, now), batch_id=job.batch_id, now=now))

    def _insert_child(self, job: NewJob, earlier: Sequence[Enqueued], stopped: list[NewJob], now: int) -> Enqueued:
        """Store a job that waits for others. Their states are read under the lock: none can end unnoticed."""
        parents = _parents_of(job, earlier)
        connection = self.file.writer.connection
        states: dict[int, int] = dict(connection.rows("states_of", {"job_ids": id_list(parents)}))
        missing = [parent for parent in parents if parent not in states]
        if missing:
            raise DependencyError(f"there is no job {missing[0]} to wait for")
        left = [parent for parent in parents if State(states[parent]) not in FINISHED]
        failed = [parent for parent in parents if states[parent] in {State.DEAD, State.CANCELLED}]
        cancelled = bool(failed) and job.on_parent_failure == "cancel"
        if cancelled:
            stopped.append(job)
        state = State.CANCELLED if cancelled else State.WAITING if left else state_at_rest(job, now)
        reason = f"its parent, job {failed[0]}, was {State(states[failed[0]]).word}" if cancelled else None
        if not cancelled:
            admit(connection, [job], self.unbounded)
        answer = Enqueued(
            insert_bound(connection, job, state, batch_id=job.batch_id, parents_left=len(left), reason=reason, now=now)
        )
        policy = POLICY_CODES[job.on_parent_failure]
        links = [
            {
                "parent_id": parent,
                "child_id": answer.job_id,
                "policy": policy,
                "place": place,
                "told": int(parent not in left),
            }
            for place, parent in enumerate(parents)
        ]
        connection.many("link", links)
        if left and not cancelled:
            connection.rows("note_children", {"job_ids": id_list(left)})
        return answer

    def _tag(self, jobs: Sequence[NewJob], answers: Sequence[Enqueued]) -> None:
        if any(job.tags for job in jobs):
            pairs = zip(answers, jobs, strict=True)
            tags = [{"tag": tag, "job_id": answer.job_id} for answer, job in pairs for tag in job.tags]
            self.file.writer.connection.many("tag", tags)

    def _held(self, job: NewJob, unique: Unique, earlier: Sequence[Enqueued], now: int) -> Enqueued | None:
        """Give the answer where the key is held; None when the job may have it, which is free from here on."""
        connection = self.file.writer.connection
        held = connection.rows("holder", {"unique_key": unique.key, "now": now})
        if held:
            job_id, state, lapsed = held[0]
            if not lapsed:
                if unique.debounce or unique.on_conflict == "replace":
                    self._refuse_too_soon(job_id, State(state), _parents_of(job, earlier))
                return self._answer_conflict(job, unique, job_id, State(state), now)
            connection.rows("free_key", {"job_id": job_id})
        return None

    def _refuse_too_soon(self, holder: int, state: State, wanted: Sequence[int]) -> None:
        """Refuse a newcomer whose arguments the holder would run with before those have ended that it waits for."""
        if not wanted or state not in AT_REST:
            return
        connection = self.file.writer.connection
        known = {row[0] for row in connection.rows("parents", {"job_id": holder})}
        states = connection.rows("states_of", {"job_ids": id_list(one for one in wanted if one not in known)})
        live = [parent for parent, parents_state in states if State(parents_state) not in FINISHED]
        if live:
            raise UniqueKeyTaken(
                f"the unique key is held by job {holder}, which does not wait for job {live[0]} as this one is to",
                job_id=holder,
            )

    def _answer_conflict(self, job: NewJob, unique: Unique, job_id: int, state: State, now: int) -> Enqueued:
        if unique.debounce and self._debounce(job, unique.debounce, job_id, now):
            return Enqueued(job_id, "debounced")
        if unique.on_conflict == "return":
            return Enqueued(job_id, "returned")
        if unique.on_conflict == "skip":
            return Enqueued(job_id, "skipped")
        if unique.on_conflict == "replace" and self._renew("replace", _newest(job, job_id, now)):
            return Enqueued(job_id, "replaced")
        raise UniqueKeyTaken(
            f"the unique key {unique.key[:60]!r} is held by job {job_id}, which is {state.word}",
            job_id=job_id,
        )

    def _debounce(self, job: NewJob, debounce: Debounce, job_id: int, now: int) -> bool:
        """Have the holder take the newcomer's arguments and wait anew; false when it has started already."""
        values = _newest(job, job_id, now) | {"max_wait_ms": debounce.max_wait_ms}
        return self._renew("debounce", values)

    def _renew(self, statement: str, values: dict[str, Any]) -> bool:
        """Give the holder of a key the newcomer's arguments, and tell whether it could take them."""
        connection = self.file.writer.connection
        left = connection.rows("keys_of", {"job_ids": id_list([values["job_id"]])})
        renewed = connection.rows(statement, values)
        for job_id, attempt, key in renewed:
            if attempt:
                # What an attempt has kept belongs to the arguments that are gone.
                forget_kept(connection, [job_id])
            settle_keys(connection, [key, *(row[0] for row in left)], now=values["now"])
        return bool(renewed)


def _newest(job: NewJob, job_id: int, now: int) -> dict[str, Any]:
    return {
        "job_id": job_id,
        # Another task could not read them.
        "task": job.task,
        "run_at": job.run_at,
        "priority": job.priority,
        "metadata": job.metadata,
        "args": job.args,
        "args_crc": job.args_crc,
        "now": now,
        "concurrency_key": job.concurrency_key,
        "key_max_running": job.key_max_running if job.concurrency_key is not None else None,
        "key_rate": job.key_rate if job.concurrency_key is not None else None,
    }


def _is_plain(job: NewJob) -> bool:
    return not (job.unique or job.concurrency_key is not None or job.parents or job.siblings)


def _is_only_a_row(job: NewJob) -> bool:
    """Tell whether the job's row is all that there is to store of it, as of most jobs."""
    return job.batch_id is None and not job.tags and job.when_full == "raise" and _is_plain(job)


def _may_fail(job: NewJob) -> bool:
    """Tell whether the job may be refused after others of its call were stored."""
    return job.batch_id is not None or job.when_full == "skip" or not _is_plain(job)


def _batches(jobs: Iterable[NewJob]) -> list[int]:
    return [job.batch_id for job in jobs if job.batch_id is not None]


def _has_parents(job: NewJob) -> bool:
    return bool(job.parents or job.siblings)


def _parents_of(job: NewJob, earlier: Sequence[Enqueued]) -> list[int]:
    return list(dict.fromkeys((*job.parents, *(_sibling(place, earlier) for place in job.siblings))))


def _sibling(place: int, earlier: Sequence[Enqueued]) -> int:
    if not 0 <= place < len(earlier):
        raise DependencyError("a job can wait only for jobs that come before it: else they would form a circle")
    if earlier[place].answer == "full":
        raise DependencyError("the job that it is to wait for was left out, because its queue is full")
    return earlier[place].job_id
