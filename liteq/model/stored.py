"""What became of a stream of jobs, counted: handles of a million jobs would be a million objects."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from liteq.model.job import Enqueued


class StoredJobs(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of a stream were stored, and in how many commits.

    ``jobs`` counts new rows. ``found`` counts those whose unique key was held and left the holder as it was or replaced
    it, ``skipped`` those that said ``skip``. Ids rise from ``first_id`` to ``last_id``; other writers' may lie between.
    """

    jobs: int = 0
    found: int = 0
    skipped: int = 0
    chunks: int = 0
    first_id: int | None = None
    last_id: int | None = None

    def with_chunk(self, answers: Sequence[Enqueued]) -> "StoredJobs":
        """Give the counts with one more commit in them."""
        counts = Counter(answer.answer for answer in answers)
        new = [answer.job_id for answer in answers if answer.answer == "new"]
        return StoredJobs(
            jobs=self.jobs + len(new),
            found=self.found + counts["returned"] + counts["replaced"],
            skipped=self.skipped + counts["skipped"],
            chunks=self.chunks + 1,
            first_id=self.first_id if self.first_id is not None or not new else new[0],
            last_id=new[-1] if new else self.last_id,
        )
