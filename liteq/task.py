"""What a user declares: functions and classes as tasks, their options, and jobs not yet enqueued.

A task is handed the function that it sends with, never the object that owns it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

import msgspec

from liteq.errors import InvalidName, InvalidOption, UnknownTask
from liteq.job import Job, JobContext
from liteq.model.instants import instant_ms, to_ms
from liteq.model.job import OnConflict, Scope
from liteq.model.names import UNIQUE_KEY_MAX_BYTES, check_name
from liteq.model.priority import check_priority
from liteq.model.retry import DEFAULT_MAX_CRASHES, Retry

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

MAX_CRASHES_LIMIT = 1000
UniqueUntil = str | timedelta


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a job is to be queued and run. Durations are in milliseconds; None for ``retry`` is the app's default."""

    queue: str = "default"
    priority: int = 0
    delay_ms: int = 0
    run_at: int | None = None
    unique_key: str | None = None
    unique_scope: Scope = "finished"
    unique_ms: int | None = None
    on_conflict: OnConflict = "return"
    tags: tuple[str, ...] = ()
    retry: Retry | None = None
    timeout_ms: int | None = None
    max_crashes: int = DEFAULT_MAX_CRASHES
