"""Batches as a whole: asked for, listed, cancelled. Their members are enqueued and counted where all jobs are."""

from liteq.model.batch import BatchRecord
from liteq.store.sqlite.asking import structs
from liteq.store.sqlite.file import JobFile

_NO_ID_IS_HIGHER = 2**63 - 1


class Batching:
    """The verbs and questions about batches."""

    file: JobFile

    def cancel_batch(self, batch_id: int, *, now: int) -> bool:
        with self.file.writer.transaction():
            return bool(self.file.writer.connection.rows("cancel_batch", {"batch_id": batch_id, "now": now}))

    def get_batch(self, batch_id: int) -> BatchRecord | None:
        found = structs(BatchRecord, self.file.read("get_batch", {"batch_id": batch_id}))
        return found[0] if found else None

    def list_batches(self, *, limit: int, live: bool = False, before_id: int | None = None) -> list[BatchRecord]:
        values = {"limit": limit, "live": live, "before_id": before_id or _NO_ID_IS_HIGHER}
        return structs(BatchRecord, self.file.read("list_batches", values))

    def batch_links(self, batch_id: int) -> list[tuple[int, int]]:
        return self.file.read("batch_links", {"batch_id": batch_id})
