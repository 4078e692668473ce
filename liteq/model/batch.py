"""The values of batches: jobs that are counted together, and what is to follow when the last of them has ended."""

from enum import StrEnum

import msgspec


class NewBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that is wanted and not yet stored. The callbacks are templates, encoded.

    It fails if more than ``max_failed`` of its jobs end dead or cancelled.
    """

    name: str
    max_failed: int = 0
    on_success: bytes | None = None
    on_failure: bytes | None = None
    on_complete: bytes | None = None


class BatchState(StrEnum):
    """How far a batch is."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the batch table, as stored. Each callback's job is None until it was made.

    ``error`` says why a callback could not be made.
    """

    id: int
    name: str
    jobs: int
    completed: int
    dead: int
    cancelled: int
    max_failed: int
    created_at: int
    finished_at: int | None
    cancelled_at: int | None
    success_job: int | None
    failure_job: int | None
    complete_job: int | None
    error: str | None

    @property
    def failed(self) -> int:
        """How many of its jobs ended otherwise than completed."""
        return self.dead + self.cancelled

    @property
    def left(self) -> int:
        """How many of its jobs have not ended."""
        return self.jobs - self.completed - self.failed

    @property
    def state(self) -> BatchState:
        """How far it is; one that was cancelled is so at once, although some of its jobs may still run."""
        if self.cancelled_at is not None:
            return BatchState.CANCELLED
        if self.finished_at is None:
            return BatchState.RUNNING
        return BatchState.COMPLETED if self.failed <= self.max_failed else BatchState.FAILED
