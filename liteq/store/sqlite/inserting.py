"""The row of a job that may have to wait for others: for its parents, or for its turn among those of its key."""

from liteq.model.job import NewJob
from liteq.model.transitions import State
from liteq.store.sqlite.binding import job_bindings, key_bindings
from liteq.store.sqlite.connection import Connection


def insert_bound(
    connection: Connection,
    job: NewJob,
    state: State,
    *,
    batch_id: int | None,
    parents_left: int = 0,
    reason: str | None = None,
    now: int,
) -> int:
    """Insert it, with its tags, and give its id. Whoever inserts a blocked one settles its key afterwards."""
    values = {"state": int(state), "parents_left": parents_left, "reason": reason, "batch_id": batch_id}
    # Parts of one row: the bits of what follows from its end come from both.
    plain, keyed = job_bindings(job, now), key_bindings(job)
    values["aftermath"] = plain["aftermath"] | keyed["aftermath"]
    connection.rows("enqueue_bound", plain | keyed | values)
    job_id = connection.raw.last_insert_rowid()
    if job.tags:
        connection.many("tag", [{"tag": tag, "job_id": job_id} for tag in job.tags])
    return job_id


def state_at_rest(job: NewJob, now: int) -> State:
    """Give the state of a job that has no parent to wait for. With a key it is blocked, until its turn comes."""
    if job.run_at > now:
        return State.SCHEDULED
    return State.READY if job.concurrency_key is None else State.BLOCKED
