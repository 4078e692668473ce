"""What follows from the end of a job, in the same transaction: its children run, or are cancelled in their turn, its
batch counts it, its fallback is made, and the next of its concurrency key may start.

A fan-out is worked off some hundred children at a time. What is left over lies in the file as a row, and every claim
works on it: no transaction holds the write lock for long, however many children there are.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from liteq.model.job import POLICY_CODES
from liteq.store.sqlite import metering, pending
from liteq.store.sqlite.binding import CHILDREN, IN_BATCH, KEYED, ON_DEAD, id_list
from liteq.store.sqlite.connection import Connection
from liteq.store.sqlite.making import make_callbacks, make_fallback
from liteq.store.sqlite.turns import settle_jobs, settle_keys

AT_ONCE = 500


def after_end(connection: Connection, ended: Sequence[Sequence[Any]], *, failed: str | None, now: int) -> None:
    """Do what follows from the end of jobs, given as (id, aftermath); ``failed`` says how, None for completed ones."""
    marked = [(job_id, aftermath) for job_id, aftermath in ended if aftermath]
    if marked:
        _follow(connection, marked, failed, now)
        work_off(connection, now=now)
        after_leaving(connection, marked, now=now)


def after_leaving(connection: Connection, left: Sequence[Sequence[Any]], *, now: int) -> None:
    """Do what follows when jobs, given as (id, aftermath), are no longer in their turn, be they at their end or not."""
    keyed = [job_id for job_id, aftermath in left if aftermath & KEYED]
    if keyed:
        settle_jobs(connection, keyed, now=now)


def after_deletion(connection: Connection, deleted: Sequence[Sequence[Any]], *, now: int) -> None:
    """Do what follows from the deletion of jobs, given as (id, aftermath, a live one's batch, a ready one's key)."""
    parents = [job_id for job_id, aftermath, *_ in deleted if aftermath & CHILDREN]
    if parents:
        _begin(connection, parents, "deleted")
    count_ends(connection, [row[2] for row in deleted if row[2] is not None], failed="deleted", now=now)
    if parents:
        work_off(connection, now=now)
    settle_keys(connection, (row[3] for row in deleted), now=now)


def _follow(connection: Connection, ended: Sequence[Sequence[Any]], failed: str | None, now: int) -> None:
    parents = [job_id for job_id, aftermath in ended if aftermath & CHILDREN]
    members = [job_id for job_id, aftermath in ended if aftermath & IN_BATCH]
    if parents:
        _begin(connection, parents, failed)
    if failed == "dead":
        for job_id in [job_id for job_id, aftermath in ended if aftermath & ON_DEAD]:
            make_fallback(connection, job_id, now=now)
    if members:
        batches = connection.rows("batches_of", {"job_ids": id_list(members)})
        count_ends(connection, [row[0] for row in batches], failed=failed, now=now)


def count_ends(connection: Connection, batch_ids: Iterable[int], *, failed: str | None, now: int) -> None:
    """Count one end in the batch for each time that it is given; a batch finishes with the last of its members."""
    column = "completed" if failed is None else "dead" if failed == "dead" else "cancelled"
    for batch_id, ends in Counter(batch_ids).items():
        _count(connection, batch_id, {column: ends}, now)


def finish_if_empty(connection: Connection, batch_id: int, *, now: int) -> None:
    """Finish a batch that was stored without a job that could."""
    _count(connection, batch_id, {}, now)


def _count(connection: Connection, batch_id: int, ends: dict[str, int], now: int) -> None:
    values = {"batch_id": batch_id, "completed": 0, "dead": 0, "cancelled": 0, "now": now}
    for finished, succeeded in connection.rows("count_ends", values | ends):
        if finished:
            make_callbacks(connection, batch_id, succeeded=bool(succeeded), now=now)


def work_off(connection: Connection, *, now: int) -> bool:
    """Tell some hundred children what became of their parents; true while there are more to tell."""
    left = AT_ONCE
    while found := connection.rows("fanout"):
        if left <= 0:
            return True
        parent_id, up_to_child, failed, after_child = found[0]
        which = {"parent_id": parent_id, "up_to_child": up_to_child}
        children = connection.rows("tell_children", which | {"after_child": after_child, "limit": left})
        _tell(connection, parent_id, failed, children, now)
        if len(children) < left:
            connection.rows("end_fanout", which)
            connection.rows("unlink_children", {"parent_id": parent_id})
        else:
            connection.rows("advance_fanout", which | {"after_child": max(child for child, _ in children)})
        left -= max(1, len(children))
    return False


def _begin(connection: Connection, parents: Sequence[int], failed: str | None) -> None:
    connection.many("begin_fanout", [{"parent_id": parent_id, "failed": failed} for parent_id in parents])
    connection.rows("have_told", {"job_ids": id_list(parents)})


def _tell(
    connection: Connection, parent_id: int, failed: str | None, children: Sequence[tuple[int, int]], now: int
) -> None:
    run = [child for child, policy in children if failed is None or policy == POLICY_CODES["run"]]
    stop = [child for child, policy in children if failed is not None and policy == POLICY_CODES["cancel"]]
    if run:
        moved = connection.rows("unblock", {"job_ids": id_list(run), "now": now})
        settle_keys(connection, (row[0] for row in moved), now=now)
    if stop:
        reason = f"its parent, job {parent_id}, was {failed}"
        gone = connection.rows("cancel_children", {"job_ids": id_list(stop), "reason": reason, "now": now})
        for _, _, queue, task in gone:
            metering.add(connection, queue, task, now=now, cancelled=1)
        pending.left(connection, [row[2] for row in gone])
        _follow(connection, [row[:2] for row in gone if row[1]], "cancelled", now)
