"""Which jobs are meant: a user's filters, and the ids that match them in steps."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from liteq.errors import InvalidOption
from liteq.model.instants import instant_ms
from liteq.model.job import JobFilter
from liteq.model.transitions import State
from liteq.store.engine import Engine

AT_ONCE = 500


def matching_ids(engine: Engine, wanted: JobFilter) -> Iterator[list[int]]:
    """Give the ids of the matching jobs, newest first, some hundred at a time."""
    before = None
    while records := engine.list_jobs(wanted, limit=AT_ONCE, before_id=before):
        before = records[-1].id
        yield [record.id for record in records]


def job_filter(
    *,
    state: State | str | Iterable[State | str] | None = None,
    queue: str | None = None,
    task: str | None = None,
    tag: str | None = None,
    batch: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> JobFilter:
    """Give the filter that a user's words mean. Raises InvalidOption for a state that does not exist."""
    wanted = [state] if isinstance(state, (str, State)) else list(state or ())
    return JobFilter(
        states=tuple(_state(one) for one in wanted),
        queue=queue,
        task=task,
        tag=tag,
        batch_id=batch,
        since=None if since is None else instant_ms(since, what="since"),
        until=None if until is None else instant_ms(until, what="until"),
    )


def _state(word: State | str) -> State:
    if isinstance(word, State):
        return word
    try:
        return State[word.upper()]
    except KeyError:
        known = ", ".join(state.word for state in State)
        raise InvalidOption(f"there is no state {word[:40]!r}; known are {known}") from None
