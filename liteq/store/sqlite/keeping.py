"""What running jobs say and keep: progress, checkpoints, steps, streams. Each write carries the fence in itself."""

from collections.abc import Iterator, Sequence
from typing import Any

from liteq.errors import LeaseLost
from liteq.model.job import Claim
from liteq.model.keeping import (
    MAX_PARTS,
    MAX_STREAM_BYTES,
    NewPart,
    PartRecord,
    ProgressRecord,
    Remark,
    StepRecord,
    StreamRecord,
)
from liteq.store.sqlite.asking import structs
from liteq.store.sqlite.binding import id_list
from liteq.store.sqlite.connection import Connection
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.reporting import fence

SHED_AT_ONCE = 100
FORGOTTEN_AT_ONCE = 10_000
"""How many parts go in one commit with their jobs: some ten milliseconds of the write lock."""


class Keeping:
    """The verbs of attempts that still run, and the questions about what they left."""

    file: JobFile

    def note(self, remarks: Sequence[Remark], *, now: int) -> list[Claim]:
        with self.file.writer.transaction(durable=False):
            connection = self.file.writer.connection
            return [remark.claim for remark in remarks if not _note(connection, remark, now)]

    def save_checkpoint(self, claim: Claim, *, value: bytes, now: int) -> None:
        self._keep("save_checkpoint", claim, {"value": value, "now": now})

    def finish_step(self, claim: Claim, *, name: str, result: bytes, now: int) -> None:
        self._keep("finish_step", claim, {"name": name, "result": result, "now": now})

    def _keep(self, verb: str, claim: Claim, values: dict[str, Any]) -> None:
        def write() -> None:
            if not self.file.writer.connection.rows(verb, fence(claim) | values):
                raise LeaseLost(
                    f"job {claim.job_id} is no longer this worker's (attempt {claim.attempt}); nothing was kept"
                )

        # Coroutines keep many things at once: they share the wait for the disk.
        self.file.shared_commit.run(write)

    def checkpoint(self, job_id: int) -> bytes | None:
        return _only(self.file.read("checkpoint", {"job_id": job_id}))

    def step_result(self, job_id: int, name: str) -> bytes | None:
        return _only(self.file.read("step_result", {"job_id": job_id, "name": name}))

    def steps(self, job_id: int) -> list[StepRecord]:
        return structs(StepRecord, self.file.read("steps", {"job_id": job_id}))

    def progress(self, job_ids: Sequence[int]) -> dict[int, ProgressRecord]:
        rows = self.file.read("progress", {"job_ids": id_list(job_ids)})
        return {record.job_id: record for record in structs(ProgressRecord, rows)}

    def parts(self, job_id: int, *, after: int, limit: int) -> list[PartRecord]:
        return structs(PartRecord, self.file.read("parts", {"job_id": job_id, "after": after, "limit": limit}))

    def stream(self, job_id: int) -> StreamRecord | None:
        found = structs(StreamRecord, self.file.read("streams", {"job_ids": id_list([job_id])}))
        return found[0] if found else None

    def metadata(self, job_id: int) -> bytes | None:
        return _only(self.file.read("metadata", {"job_id": job_id}))


def begin_anew(connection: Connection, job_ids: Sequence[int]) -> None:
    """Forget what completed jobs kept: run again by hand they begin from the start, the others go on."""
    completed = [row[0] for row in connection.rows("completed_of", {"job_ids": id_list(job_ids)})]
    if completed:
        forget_kept(connection, completed)


def forget_kept(connection: Connection, job_ids: Sequence[int]) -> None:
    """Let the next attempts of the jobs begin from the start."""
    for statement in ("forget_progress", "forget_checkpoints", "forget_steps"):
        connection.rows(statement, {"job_ids": id_list(job_ids)})


def forget_all(connection: Connection, job_ids: Sequence[int]) -> None:
    """Remove all that jobs said and kept, with them."""
    forget_kept(connection, job_ids)
    for statement in ("forget_streams", "forget_parts"):
        connection.rows(statement, {"job_ids": id_list(job_ids)})


def in_small_commits(file: JobFile, job_ids: Sequence[int]) -> Iterator[list[int]]:
    """Give the jobs, few enough at a time that their parts can be removed without holding the lock for long."""
    parts = {row[0]: row[2] for row in file.read("streams", {"job_ids": id_list(job_ids)})}
    if sum(parts.values()) <= FORGOTTEN_AT_ONCE:
        yield list(job_ids)
        return
    batch: list[int] = []
    size = 0
    for job_id in job_ids:
        size += parts.get(job_id, 0)
        if batch and size > FORGOTTEN_AT_ONCE:
            yield batch
            batch, size = [], parts.get(job_id, 0)
        batch.append(job_id)
    yield batch


def _note(connection: Connection, remark: Remark, now: int) -> bool:
    """Write one attempt's words down; false when they come too late."""
    fenced = fence(remark.claim)
    told = remark.progress
    if told is not None:
        values = {"done": told.done, "total": told.total, "note": told.note, "now": now}
        if not connection.rows("note_progress", fenced | values):
            return False
    return not remark.parts or _publish(connection, remark.claim, remark.parts)


def _publish(connection: Connection, claim: Claim, parts: Sequence[NewPart]) -> bool:
    size = sum(len(part.value) for part in parts)
    found = connection.rows("extend_stream", fence(claim) | {"parts": len(parts), "bytes": size})
    if not found:
        return False
    last_seq, kept, kept_bytes = found[0]
    rows = [
        {
            "job_id": claim.job_id,
            "seq": seq,
            "attempt": claim.attempt,
            "published_at": part.published_at,
            "value": part.value,
        }
        for seq, part in enumerate(parts, last_seq - len(parts) + 1)
    ]
    connection.many("add_part", rows)
    _shed(connection, claim, kept, kept_bytes)
    return True


def _shed(connection: Connection, claim: Claim, kept: int, kept_bytes: int) -> None:
    fenced = {"job_id": claim.job_id, "attempt": claim.attempt}
    while kept > MAX_PARTS or kept_bytes > MAX_STREAM_BYTES:
        limit = min(SHED_AT_ONCE, max(1, kept - MAX_PARTS))
        gone = connection.rows("shed_parts", fenced | {"limit": limit})
        if not gone:
            return
        freed = sum(row[0] for row in gone)
        connection.rows("note_shed", {"job_id": claim.job_id, "parts": len(gone), "bytes": freed})
        kept, kept_bytes = kept - len(gone), kept_bytes - freed


def _only(rows: Sequence[tuple[Any, ...]]) -> bytes | None:
    return rows[0][0] if rows else None
