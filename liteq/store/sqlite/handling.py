"""What applications and people do to jobs by hand."""

from collections.abc import Sequence

from liteq.errors import UniqueKeyTaken
from liteq.model.job import Change
from liteq.model.transitions import AT_REST, State
from liteq.store.sqlite import metering, pending
from liteq.store.sqlite.aftermath import after_deletion, after_end
from liteq.store.sqlite.binding import CHILDREN, id_list
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.keeping import begin_anew, forget_all, in_small_commits
from liteq.store.sqlite.turns import settle_keys


class Handling:
    """The verbs of applications and people, on jobs by id and on whole queues."""

    file: JobFile

    def cancel(self, job_ids: Sequence[int], *, reason: str, now: int, hard: bool = False) -> list[int]:
        values = {"job_ids": id_list(job_ids), "reason": reason, "now": now}
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            gone = connection.rows("cancel", values)
            for _, _, queue, task in gone:
                metering.add(connection, queue, task, now=now, cancelled=1)
            pending.left(connection, [row[2] for row in gone])
            after_end(connection, [row[:2] for row in gone], failed="cancelled", now=now)
            asked = connection.rows("ask_cancel", values | {"hard": int(hard)})
        return sorted(row[0] for row in gone + asked)

    def cancels_asked(self, *, worker_id: int) -> dict[int, bool]:
        return {row[0]: bool(row[1]) for row in self.file.read("cancels_asked", {"worker_id": worker_id})}

    def requeue(self, job_ids: Sequence[int], *, now: int) -> list[int]:
        with self.file.all_or_none():
            begin_anew(self.file.writer.connection, job_ids)
            return [job_id for job_id in dict.fromkeys(job_ids) if self._requeue(job_id, now)]

    def _requeue(self, job_id: int, now: int) -> bool:
        connection = self.file.writer.connection
        rival = connection.rows("rival", {"job_id": job_id, "now": now})
        if rival:
            holder, key, lapsed = rival[0]
            if not lapsed:
                raise UniqueKeyTaken(
                    f"job {job_id} cannot run again while job {holder} holds its unique key {key[:60]!r}",
                    job_id=holder,
                )
            connection.rows("free_key", {"job_id": holder})
        connection.rows("reopen_batch", {"job_id": job_id})
        moved = connection.rows("requeue", {"job_id": job_id, "now": now})
        pending.came(connection, (queue for _, queue in moved))
        settle_keys(connection, (key for key, _ in moved), now=now)
        return bool(moved)

    def reschedule(self, job_ids: Sequence[int], change: Change, *, now: int) -> list[int]:
        values = {
            "job_ids": id_list(job_ids),
            "run_at": change.run_at,
            "priority": change.priority,
            "queue": change.queue,
            "now": now,
        }
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            if change.queue is not None:
                pending.left(connection, [row[0] for row in connection.rows("queues_of", values)])
            moved = connection.rows("reschedule", values)
            if change.queue is not None:
                pending.came(connection, [row[2] for row in moved])
            settle_keys(connection, (row[1] for row in moved), now=now)
        return sorted(row[0] for row in moved)

    def delete(self, job_ids: Sequence[int], *, now: int) -> list[int]:
        gone: list[int] = []
        for few in in_small_commits(self.file, job_ids):
            with self.file.writer.transaction():
                gone += delete_jobs(self.file, few, now=now)
        return sorted(gone)

    def pause_queue(self, queue: str, *, reason: str | None, now: int) -> None:
        with self.file.writer.transaction():
            self.file.writer.connection.rows("pause_queue", {"queue": queue, "reason": reason, "now": now})

    def resume_queue(self, queue: str) -> bool:
        with self.file.writer.transaction():
            resumed = bool(self.file.writer.connection.rows("resume_queue", {"queue": queue}))
            self.file.writer.connection.rows("forget_queue", {"queue": queue})
        return resumed

    def limit_pending(self, queue: str, most: int | None) -> bool:
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            before = connection.rows("count_pending", {"queue": queue, "jobs": 0})
            # Counted once, under the lock; from here on every verb keeps the count.
            waiting = 0 if most is None else pending.counted(connection, queue)
            connection.rows("limit_pending", {"queue": queue, "max_pending": most, "pending": waiting})
            self.file.writer.epoch += 1
            connection.rows("forget_queue", {"queue": queue})
        return bool(before)


def delete_jobs(file: JobFile, job_ids: Sequence[int], *, now: int) -> list[int]:
    """Remove jobs that do not run, with all that hangs on them; give the ids removed. Wants an open transaction."""
    connection = file.writer.connection
    rows = connection.rows("delete", {"job_ids": id_list(job_ids)})
    gone = sorted(row[0] for row in rows)
    if gone:
        pending.left(connection, [queue for *_, queue, state in rows if State(state) in AT_REST])
        for statement in ("forget_attempts", "untag", "unlink"):
            connection.rows(statement, {"job_ids": id_list(gone)})
        forget_all(connection, gone)
        without = [{"parent_id": job_id} for job_id, aftermath, *_ in rows if not aftermath & CHILDREN]
        connection.many("unlink_children", without)
        after_deletion(connection, [row[:4] for row in rows], now=now)
    return gone
