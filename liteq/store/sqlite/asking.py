"""Questions: they change nothing and never wait for a writer."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw
import msgspec

from liteq.model.fleet import FileFacts, LaneCount, MetricRow, QueueRecord
from liteq.model.job import Attempt, JobFilter, JobRecord
from liteq.model.transitions import State
from liteq.store.sqlite.binding import id_list
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.platform import storage_error
from liteq.store.sqlite.schema import SCHEMA_VERSION

_INDEXED = frozenset({State.SCHEDULED, State.WAITING, State.BLOCKED, State.READY, State.RUNNING, State.DEAD})
_NO_ID_IS_HIGHER = 2**63 - 1


class Asking:
    """The questions about jobs, queues, totals and the file."""

    file: JobFile

    def get_job(self, job_id: int) -> JobRecord | None:
        found = self._jobs([job_id])
        return found[0] if found else None

    def list_jobs(self, wanted: JobFilter, *, limit: int, before_id: int | None = None) -> list[JobRecord]:
        values = _filter(wanted) | {"limit": limit, "before_id": before_id or _NO_ID_IS_HIGHER}
        return self._jobs([row[0] for row in self.file.read("ids_" + _way(wanted), values)])

    def count_jobs(self, wanted: JobFilter) -> int:
        return int(self.file.read("count_" + _way(wanted), _filter(wanted))[0][0])

    def parents(self, job_id: int) -> list[JobRecord]:
        ids = [row[0] for row in self.file.read("parents", {"job_id": job_id})]
        found = {record.id: record for record in self._jobs(ids)}
        return [found[parent_id] for parent_id in ids if parent_id in found]

    def children(self, job_id: int, *, limit: int, after: int = 0) -> list[JobRecord]:
        values = {"job_id": job_id, "limit": limit, "after": after}
        return self._jobs([row[0] for row in self.file.read("children", values)])[::-1]

    def attempts(self, job_id: int) -> list[Attempt]:
        return structs(Attempt, self.file.read("attempts", {"job_id": job_id}))

    def tags(self, job_id: int) -> tuple[str, ...]:
        return tuple(row[0] for row in self.file.read("tags_of", {"job_id": job_id}))

    def lane_counts(self) -> list[LaneCount]:
        rows = self.file.read("lane_counts")
        return [LaneCount(queue, task, State(state), *rest) for queue, task, state, *rest in rows]

    def queues(self) -> list[QueueRecord]:
        return structs(QueueRecord, self.file.read("queues"))

    def metrics(self, *, since_minute: int) -> list[MetricRow]:
        return structs(MetricRow, self.file.read("metrics", {"since_minute": since_minute}))

    def file_facts(self) -> FileFacts:
        (page_size,) = self.file.read_plain("PRAGMA page_size")[0]
        (free_pages,) = self.file.read_plain("PRAGMA freelist_count")[0]
        wal = self.file.path.with_name(self.file.path.name + "-wal")
        last = self.file.read("last_job_id")
        return FileFacts(
            path=str(self.file.path),
            bytes=_size(self.file.path),
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
            free_bytes=free_pages * page_size,
            schema=SCHEMA_VERSION,
            sqlite=apsw.sqlite_lib_version(),
            last_job_id=last[0][0] if last else 0,
        )

    def _jobs(self, job_ids: list[int]) -> list[JobRecord]:
        if not job_ids:
            return []
        return structs(JobRecord, self.file.read("get_jobs", {"job_ids": id_list(job_ids)}))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise storage_error(error, path) from error


def structs(struct: type[Any], rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Make structs of rows whose columns come in the order of the struct's fields."""
    fields = struct.__struct_fields__
    return [msgspec.convert(dict(zip(fields, row, strict=True)), struct) for row in rows]


def _way(wanted: JobFilter) -> str:
    """Choose the statement that reads least: by tag, by batch, by the indexes of the live and dead, or the table."""
    if wanted.tag is not None:
        return "by_tag"
    if wanted.batch_id is not None:
        return "by_batch"
    if wanted.states and set(wanted.states) <= _INDEXED:
        return "by_state"
    return "by_walk"


def _filter(wanted: JobFilter) -> dict[str, Any]:
    values: dict[str, Any] = {
        "queue": wanted.queue,
        "task": wanted.task,
        "since": wanted.since,
        "until": wanted.until,
        "states": id_list([int(state) for state in wanted.states]) if wanted.states else None,
        "tag": wanted.tag,
        "batch_id": wanted.batch_id,
    }
    return values | {state.word: state in wanted.states for state in _INDEXED}
