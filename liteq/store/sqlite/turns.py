"""Jobs with a concurrency key take turns.

Of each key those that run and those that are ready, the next ones, are in their turn; all others are blocked, and no
claim ever looks at them. A keyed job becomes ready here only: every verb that would make it so blocks it and then
settles its key, and so does every verb by which one leaves its turn, in the same transaction. The rows are counted;
there is no number beside them that could drift, and a report that is refused has settled nothing.
"""

from collections.abc import Iterable, Sequence

import msgspec

from liteq.model.job import Claim
from liteq.model.rate import stored_rate
from liteq.store.sqlite.binding import id_list, name_list
from liteq.store.sqlite.connection import Connection

PASSED_OVER = 50
"""How many jobs of paused queues are passed over for one behind them that can start."""


class _Next(msgspec.Struct, frozen=True):
    """A blocked job near the head of its key's line."""

    job_id: int
    priority: int
    run_at: int
    max_running: int
    rate: str | None
    queue: str

    @property
    def place(self) -> tuple[int, int, int]:
        return (-self.priority, self.run_at, self.job_id)


class _InTurn(msgspec.Struct, frozen=True):
    """Those of a key that run or are next. Each job bears a number of its own: the smallest one holds."""

    jobs: int
    ready: int
    paced: int
    """How many of the ready ones will take a token."""
    most: int | None


def settle_jobs(connection: Connection, job_ids: Iterable[int], *, now: int) -> None:
    """Settle the keys of jobs that have left their turn, or want one."""
    settle_keys(connection, (row[0] for row in connection.rows("keys_of", {"job_ids": id_list(job_ids)})), now=now)


def settle_keys(connection: Connection, keys: Iterable[str | None], *, now: int) -> None:
    """Let in, key by key, those whose turn it is. None stands for a job without a key."""
    wanted = [key for key in dict.fromkeys(keys) if key is not None]
    paused = {row[0] for row in connection.rows("paused_queues")} if wanted else set[str]()
    for key in wanted:
        while _advance(connection, key, paused, now):
            pass


def wake_keys(connection: Connection, keys: Sequence[str], *, now: int) -> None:
    """Settle keys that have a token again."""
    connection.rows("wake", {"keys": name_list(keys)})
    settle_keys(connection, keys, now=now)


def spend_tokens(connection: Connection, claims: Sequence[Claim], *, now: int) -> None:
    """Take a token for each of the claims, whose keys have a rate; who is next waits for the next token."""
    for claim in claims:
        _move_token(connection, claim, now, tokens=1)
    connection.rows("sweep_tokens", {"now": now})
    settle_keys(connection, (claim.concurrency_key for claim in claims), now=now)


def return_tokens(connection: Connection, claims: Sequence[Claim], *, now: int) -> None:
    """Take back the tokens of claims that did not start."""
    for claim in claims:
        _move_token(connection, claim, now, tokens=-1)


def _move_token(connection: Connection, claim: Claim, now: int, *, tokens: int) -> None:
    if claim.key_rate is None:
        return
    rate, key = stored_rate(claim.key_rate), claim.concurrency_key
    next_us = rate.spend(_next_us(connection, key), now, tokens=tokens)
    connection.rows("keep_token", {"key": key, "next_us": next_us, "full_at": rate.full_at(next_us)})


def _next_us(connection: Connection, key: str | None) -> int | None:
    found = connection.rows("next_token", {"key": key})
    return found[0][0] if found else None


def _advance(connection: Connection, key: str, paused: set[str], now: int) -> bool:
    """Do the next step for a key, and tell whether there may be more: one that is let in may change who is next."""
    line = _line(connection, key, 1, paused)
    if not line:
        return False
    turn = _InTurn(*connection.rows("in_turn", {"key": key})[0])
    free = line[0].max_running - turn.jobs
    if free > 1:
        line = _line(connection, key, free, paused)
    chosen = _who_may(connection, key, line, turn, now)
    if chosen:
        connection.rows("take_turn", {"job_ids": id_list(chosen)})
        return True
    return line[0].queue not in paused and _swap(connection, key, line[0], turn, now)


def _line(connection: Connection, key: str, limit: int, paused: set[str]) -> list[_Next]:
    """Give who is next; jobs of paused queues only where none that can start is near."""
    values = {"key": key, "limit": limit + (PASSED_OVER if paused else 0)}
    return sorted((_Next(*row) for row in connection.rows("line", values)), key=lambda one: one.queue in paused)[:limit]


def _who_may(connection: Connection, key: str, line: Sequence[_Next], turn: _InTurn, now: int) -> list[int]:
    chosen: list[int] = []
    most = turn.most or line[0].max_running
    paced = turn.paced
    for job in line:
        most = min(most, job.max_running)
        if turn.jobs + len(chosen) >= most:
            break
        if job.rate is not None and not _has_token(connection, key, job.rate, paced, now):
            break
        paced += job.rate is not None
        chosen.append(job.job_id)
    return chosen


def _has_token(connection: Connection, key: str, rate_text: str, paced: int, now: int) -> bool:
    """Tell whether the key has a token more than its ready jobs will take; else have it looked at when it has."""
    rate, next_us = stored_rate(rate_text), _next_us(connection, key)
    if rate.tokens(next_us, now) > paced:
        return True
    if paced == 0:
        connection.rows("wake_later", {"key": key, "wake_at": rate.next_at(next_us, now)})
    # Whoever claims one of those spends its token, and has the key settled then.
    return False


def _swap(connection: Connection, key: str, first: _Next, turn: _InTurn, now: int) -> bool:
    """Give the turn of the last that no worker has taken yet to the first in the line, if that comes before it."""
    if turn.ready == 0 or turn.jobs > first.max_running:
        return False
    job_id, priority, run_at, rate = connection.rows("last_in_turn", {"key": key})[0]
    if first.place >= (-priority, run_at, job_id):
        return False
    # One token passes from the one to the other; where none does, the newcomer wants its own.
    if rate is None and first.rate is not None and not _has_token(connection, key, first.rate, turn.paced, now):
        return False
    connection.rows("block", {"job_id": job_id})
    connection.rows("take_turn", {"job_ids": id_list([first.job_id])})
    return True
