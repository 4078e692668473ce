"""Jobs come in: plain ones many at a time, those with a unique key one by one past its holder, bound ones to wait."""

from collections.abc import Sequence

from liteq.errors import DependencyError, UniqueKeyTaken
from liteq.model.job import POLICY_CODES, Enqueued, NewJob, Unique
from liteq.model.transitions import FINISHED, State
from liteq.store.sqlite.binding import id_list, job_bindings, key_bindings
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.turns import settle_keys


class Enqueueing:
    """The verb by which jobs come into the file."""

    file: JobFile

    def enqueue(self, jobs: Sequence[NewJob], *, now: int) -> list[Enqueued]:
        self.file.refuse_when_nearly_full()
        if self.file.writer.holds() and not all(_is_plain(job) for job in jobs):
            with self.file.all_or_none():
                return self._enqueue(jobs, now)
        return self.file.shared_commit.run(lambda: self._enqueue(jobs, now))

    def _enqueue(self, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
        answers: list[Enqueued] = []
        plain: list[NewJob] = []
        for job in jobs:
            if _is_plain(job):
                plain.append(job)
                continue
            answers += self._insert(plain, now)
            plain = []
            answers.append(self._enqueue_one(job, answers, now))
        keys = [job.concurrency_key for job in jobs if job.concurrency_key is not None]
        if keys:
            settle_keys(self.file.writer.connection, keys, now=now)
        return answers + self._insert(plain, now)

    def _enqueue_one(self, job: NewJob, earlier: Sequence[Enqueued], now: int) -> Enqueued:
        if job.unique is not None:
            held = self._held(job, job.unique, now)
            if held is not None:
                return held
        if _has_parents(job):
            return self._insert_child(job, earlier, now)
        if job.concurrency_key is not None:
            return self._insert_bound(job, _at_rest(job, now), now)
        return self._insert([job], now)[0]

    def _insert(self, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
        if not jobs:
            return []
        connection = self.file.writer.connection
        connection.many("enqueue", [job_bindings(job, now) for job in jobs])
        # AUTOINCREMENT under the write lock numbers one statement's rows without a gap.
        first = connection.raw.last_insert_rowid() - len(jobs) + 1
        answers = [Enqueued(first + n) for n in range(len(jobs))]
        self._tag(jobs, answers)
        return answers

    def _insert_child(self, job: NewJob, earlier: Sequence[Enqueued], now: int) -> Enqueued:
        """Store a job that waits for others. Their states are read under the lock: none can end unnoticed."""
        parents = list(dict.fromkeys((*job.parents, *(_sibling(place, earlier) for place in job.siblings))))
        connection = self.file.writer.connection
        states: dict[int, int] = dict(connection.rows("states_of", {"job_ids": id_list(parents)}))
        missing = [parent for parent in parents if parent not in states]
        if missing:
            raise DependencyError(f"there is no job {missing[0]} to wait for")
        left = [parent for parent in parents if State(states[parent]) not in FINISHED]
        failed = [parent for parent in parents if states[parent] in {State.DEAD, State.CANCELLED}]
        stopped = bool(failed) and job.on_parent_failure == "cancel"
        state = State.CANCELLED if stopped else State.WAITING if left else _at_rest(job, now)
        reason = f"its parent, job {failed[0]}, was {State(states[failed[0]]).word}" if stopped else None
        answer = self._insert_bound(job, state, now, parents_left=len(left), reason=reason)
        policy = POLICY_CODES[job.on_parent_failure]
        links = [
            {"parent_id": parent, "child_id": answer.job_id, "policy": policy, "place": place}
            for place, parent in enumerate(parents)
        ]
        connection.many("link", links)
        if left and not stopped:
            connection.rows("note_children", {"job_ids": id_list(left)})
        return answer

    def _insert_bound(
        self, job: NewJob, state: State, now: int, *, parents_left: int = 0, reason: str | None = None
    ) -> Enqueued:
        """Store a job that waits for others: for its parents, or for its turn among those of its key."""
        values = {"state": int(state), "parents_left": parents_left, "reason": reason}
        connection = self.file.writer.connection
        connection.rows("enqueue_bound", job_bindings(job, now) | key_bindings(job) | values)
        answer = Enqueued(connection.raw.last_insert_rowid())
        self._tag([job], [answer])
        return answer

    def _tag(self, jobs: Sequence[NewJob], answers: Sequence[Enqueued]) -> None:
        tags = [
            {"tag": tag, "job_id": answer.job_id} for answer, job in zip(answers, jobs, strict=True) for tag in job.tags
        ]
        if tags:
            self.file.writer.connection.many("tag", tags)

    def _held(self, job: NewJob, unique: Unique, now: int) -> Enqueued | None:
        """Give the answer where the key is held; None when the job may have it, which is free from here on."""
        connection = self.file.writer.connection
        held = connection.rows("holder", {"unique_key": unique.key, "now": now})
        if held:
            job_id, state, lapsed = held[0]
            if not lapsed:
                return self._answer_conflict(job, unique, job_id, State(state), now)
            connection.rows("free_key", {"job_id": job_id})
        return None

    def _answer_conflict(self, job: NewJob, unique: Unique, job_id: int, state: State, now: int) -> Enqueued:
        if unique.on_conflict == "return":
            return Enqueued(job_id, "returned")
        if unique.on_conflict == "skip":
            return Enqueued(job_id, "skipped")
        if unique.on_conflict == "replace":
            values = {
                "job_id": job_id,
                "run_at": job.run_at,
                "priority": job.priority,
                "args": job.args,
                "args_crc": job.args_crc,
                "now": now,
            }
            if replaced := self.file.writer.connection.rows("replace", values):
                settle_keys(self.file.writer.connection, [replaced[0][0]], now=now)
                return Enqueued(job_id, "replaced")
        raise UniqueKeyTaken(
            f"the unique key {unique.key[:60]!r} is held by job {job_id}, which is {state.word}",
            job_id=job_id,
        )


def _is_plain(job: NewJob) -> bool:
    return job.unique is None and job.concurrency_key is None and not _has_parents(job)


def _has_parents(job: NewJob) -> bool:
    return bool(job.parents or job.siblings)


def _sibling(place: int, earlier: Sequence[Enqueued]) -> int:
    if not 0 <= place < len(earlier):
        raise DependencyError("a job can wait only for jobs that come before it: else they would form a circle")
    return earlier[place].job_id


def _at_rest(job: NewJob, now: int) -> State:
    if job.run_at > now:
        return State.SCHEDULED
    return State.READY if job.concurrency_key is None else State.BLOCKED
