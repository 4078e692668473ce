"""Jobs come in: plain ones many at a time, those with a unique key one by one past its holder."""

from collections.abc import Sequence
from typing import Any

import msgspec

from liteq.errors import UniqueKeyTaken
from liteq.model.job import SCOPE_CODES, Enqueued, NewJob, Unique
from liteq.model.transitions import State
from liteq.store.sqlite.file import JobFile


class Enqueueing:
    """The verb by which jobs come into the file."""

    file: JobFile

    def enqueue(self, jobs: Sequence[NewJob], *, now: int) -> list[Enqueued]:
        self.file.refuse_when_nearly_full()
        if self.file.writer.holds() and any(job.unique is not None for job in jobs):
            with self.file.all_or_none():
                return self._enqueue(jobs, now)
        return self.file.shared_commit.run(lambda: self._enqueue(jobs, now))

    def _enqueue(self, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
        answers: list[Enqueued] = []
        plain: list[NewJob] = []
        for job in jobs:
            if job.unique is None:
                plain.append(job)
                continue
            answers += self._insert(plain, now)
            plain = []
            answers.append(self._enqueue_unique(job, job.unique, now))
        return answers + self._insert(plain, now)

    def _insert(self, jobs: Sequence[NewJob], now: int) -> list[Enqueued]:
        if not jobs:
            return []
        connection = self.file.writer.connection
        connection.many("enqueue", [_bindings(job, now) for job in jobs])
        # AUTOINCREMENT under the write lock numbers one statement's rows without a gap.
        first = connection.raw.last_insert_rowid() - len(jobs) + 1
        answers = [Enqueued(first + n) for n in range(len(jobs))]
        tags = [
            {"tag": tag, "job_id": answer.job_id} for answer, job in zip(answers, jobs, strict=True) for tag in job.tags
        ]
        if tags:
            connection.many("tag", tags)
        return answers

    def _enqueue_unique(self, job: NewJob, unique: Unique, now: int) -> Enqueued:
        connection = self.file.writer.connection
        held = connection.rows("holder", {"unique_key": unique.key, "now": now})
        if held:
            job_id, state, lapsed = held[0]
            if not lapsed:
                return self._answer_conflict(job, unique, job_id, State(state), now)
            connection.rows("free_key", {"job_id": job_id})
        return self._insert([job], now)[0]

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
            if self.file.writer.connection.rows("replace", values):
                return Enqueued(job_id, "replaced")
        raise UniqueKeyTaken(
            f"the unique key {unique.key[:60]!r} is held by job {job_id}, which is {state.word}",
            job_id=job_id,
        )


def _bindings(job: NewJob, now: int) -> dict[str, Any]:
    unique = job.unique
    return {
        "now": now,
        "run_at": job.run_at,
        "priority": job.priority,
        "max_failures": job.max_failures,
        "max_crashes": job.max_crashes,
        "timeout_ms": job.timeout_ms,
        "unique_scope": None if unique is None else SCOPE_CODES[unique.scope],
        "held_until": None if unique is None else unique.held_until,
        "schedule_id": job.schedule_id,
        "fire_at": job.fire_at,
        "args_crc": job.args_crc,
        "queue": job.queue,
        "task": job.task,
        "unique_key": None if unique is None else unique.key,
        "backoff": job.backoff,
        "args": job.args,
    }


def id_list(job_ids: Sequence[int]) -> str:
    """Give ids as the one JSON parameter that a statement reads with json_each."""
    return msgspec.json.encode(list(job_ids)).decode()
