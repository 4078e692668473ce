"""The part of the engine's wall behind which lies what running jobs say and keep.

Every write is fenced: only the attempt that has the job now may speak for it.
"""

from collections.abc import Sequence
from typing import Protocol

from liteq.model.job import Claim
from liteq.model.keeping import PartRecord, ProgressRecord, Remark, StepRecord, StreamRecord


class Keeping(Protocol):
    """Progress, checkpoints, steps and streams. All of it goes with its job."""

    def note(self, remarks: Sequence[Remark], *, now: int) -> list[Claim]:
        """Write down what attempts have said, in order; give the claims that were lost, of which nothing is written.

        Alone, the commit is not durable. Where a job's stream holds more than it may, parts of earlier attempts are
        dropped, the oldest first, and counted; those of the present attempt never are.
        """
        ...

    def save_checkpoint(self, claim: Claim, *, value: bytes, now: int) -> None:
        """Replace what the job keeps for its next attempt. LeaseLost when late."""
        ...

    def finish_step(self, claim: Claim, *, name: str, result: bytes, now: int) -> None:
        """Note that the step is done, with its result. LeaseLost when late."""
        ...

    def checkpoint(self, job_id: int) -> bytes | None:
        """Give what an attempt saved last, None without."""
        ...

    def step_result(self, job_id: int, name: str) -> bytes | None:
        """Give the result of a step that is done, None when it is not."""
        ...

    def steps(self, job_id: int) -> list[StepRecord]:
        """Give the job's steps that are done, in the order in which they ended."""
        ...

    def progress(self, job_ids: Sequence[int]) -> dict[int, ProgressRecord]:
        """Give, by job id, the last that each of the jobs has said about how far it is, if anything."""
        ...

    def parts(self, job_id: int, *, after: int, limit: int) -> list[PartRecord]:
        """Give the parts of the job's stream behind ``after``, in order, at most ``limit``."""
        ...

    def stream(self, job_id: int) -> StreamRecord | None:
        """Give how much of the job's stream is kept, None when nothing was ever published."""
        ...

    def metadata(self, job_id: int) -> bytes | None:
        """Give what was stored beside the job for people and programs, as JSON; None without."""
        ...
