"""What follows from the end of a job, in the same transaction: its children run, or are cancelled in their turn, and
the next of its concurrency key may start.

A fan-out is worked off some hundred children at a time. What is left over lies in the file as a row, and every claim
works on it: no transaction holds the write lock for long, however many children there are.
"""

from collections.abc import Iterable, Sequence

from liteq.model.job import POLICY_CODES
from liteq.store.sqlite import metering
from liteq.store.sqlite.binding import CHILDREN, KEYED, id_list
from liteq.store.sqlite.connection import Connection
from liteq.store.sqlite.turns import settle_jobs, settle_keys

AT_ONCE = 500


def after_end(connection: Connection, ended: Iterable[Sequence[int]], *, failed: str | None, now: int) -> None:
    """Do what follows from the end of jobs, given as (id, aftermath); ``failed`` says how, None for completed ones."""
    marked = [row for row in ended if row[1]]
    if marked:
        parents = [job_id for job_id, aftermath in marked if aftermath & CHILDREN]
        if parents:
            _begin(connection, parents, failed)
            work_off(connection, now=now)
        after_leaving(connection, marked, now=now)


def after_leaving(connection: Connection, left: Iterable[Sequence[int]], *, now: int) -> None:
    """Do what follows when jobs, given as (id, aftermath), are no longer in their turn, be they at their end or not."""
    keyed = [job_id for job_id, aftermath in left if aftermath & KEYED]
    if keyed:
        settle_jobs(connection, keyed, now=now)


def work_off(connection: Connection, *, now: int) -> bool:
    """Tell some hundred children what became of their parents; true while there are more to tell."""
    left = AT_ONCE
    while found := connection.rows("fanout"):
        if left <= 0:
            return True
        parent_id, failed, after_child = found[0]
        values = {"parent_id": parent_id, "after_child": after_child, "limit": left}
        children = connection.rows("children_to_tell", values)
        _tell(connection, parent_id, failed, children, now)
        if len(children) < left:
            connection.rows("end_fanout", {"parent_id": parent_id})
            connection.rows("unlink_children", {"parent_id": parent_id})
        else:
            connection.rows("advance_fanout", {"parent_id": parent_id, "after_child": children[-1][0]})
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
        grandparents = [row[0] for row in gone if row[1] & CHILDREN]
        if grandparents:
            _begin(connection, grandparents, "cancelled")
