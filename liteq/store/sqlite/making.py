"""Jobs that the file makes by itself, from templates kept in it: when a job dies, when a batch has finished."""

from typing import Any

from liteq.errors import Undecodable
from liteq.model.job import POLICY_CODES
from liteq.model.template import decode_template
from liteq.store.sqlite import pending
from liteq.store.sqlite.connection import Connection
from liteq.store.sqlite.inserting import insert_bound, state_at_rest
from liteq.store.sqlite.turns import settle_keys

_CALLBACKS = ("complete_job", "success_job", "failure_job")


def make_job(connection: Connection, template: bytes, *, batch_id: int | None = None, now: int) -> int:
    """Insert the job of a template and give its id; it belongs to the batch, without being counted in it.

    Raises Undecodable for a template that cannot be read.
    """
    job = decode_template(template).job_at(now)
    job_id = insert_bound(connection, job, state_at_rest(job, now), batch_id=batch_id, now=now)
    # Never refused by a full queue: it was promised when its template was stored.
    pending.came(connection, [job.queue])
    settle_keys(connection, [job.concurrency_key], now=now)
    return job_id


def make_fallback(connection: Connection, dead: int, *, now: int) -> None:
    """Make the job that was to follow if this one died; the dead one is its parent, so that it can ask about it."""
    (template, batch_id) = connection.rows("fallback_of", {"job_id": dead})[0]
    try:
        made = make_job(connection, template, batch_id=batch_id, now=now)
    except Undecodable as error:
        connection.rows("append_reason", {"job_id": dead, "reason": f"; its on_dead was not made: {error}"})
        return
    link = {"parent_id": dead, "child_id": made, "policy": POLICY_CODES["run"], "place": 0, "told": 1}
    connection.rows("link", link)


def make_callbacks(connection: Connection, batch_id: int, *, succeeded: bool, now: int) -> None:
    """Make the jobs that follow a batch that has finished, each once, however often it finishes."""
    row = connection.rows("callbacks", {"batch_id": batch_id})[0]
    templates = dict(zip(_CALLBACKS, row[:3], strict=True))
    made: dict[str, Any] = dict(zip(_CALLBACKS, row[3:], strict=True)) | {"error": None}
    for callback in ("complete_job", "success_job" if succeeded else "failure_job"):
        template = templates[callback]
        if template is None or made[callback] is not None:
            continue
        try:
            made[callback] = make_job(connection, template, batch_id=batch_id, now=now)
        except Undecodable as error:
            made["error"] = f"{callback}: {error}"
    connection.rows("note_callbacks", made | {"batch_id": batch_id})
