"""The part of an app by which programs declare: tasks and job classes, and schedules beside them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, Unpack, cast, overload

from liteq.declared import TaskSettings, declared
from liteq.importing import importing
from liteq.job import Job, JobContext
from liteq.model.schedule import AnySchedule
from liteq.model.schedule_options import ScheduleOptions
from liteq.model.schedules import cron_later, every
from liteq.model.stored import StoredJobs
from liteq.registry import Registry
from liteq.schedules import Schedules, StoredSchedule
from liteq.task import Call, Payload, Task, TaskDecorator

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo  # 2 ms to load

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type[Payload])
D = TypeVar("D")

Schedulable = Call[Any] | Payload | Task[..., Any] | Callable[..., Any] | str


class Declaring(ABC):
    """The part of ``Liteq`` that takes in what a program declares. Nothing is written by declaring alone."""

    tasks: Registry
    schedules: Schedules
    max_payload: int

    @abstractmethod
    def call(self, wanted: Call[Any] | Payload | str, /, *args: Any, **kwargs: Any) -> Call[Any]:
        """Give a job not yet enqueued."""

    @abstractmethod
    def _send(self, call: Call[Any]) -> Job[Any]: ...

    @abstractmethod
    def _send_many(self, wanted: Iterable[Call[Any]], chunk: int) -> StoredJobs: ...

    @overload
    def task(self, function: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[Concatenate[JobContext, P], R], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, /, *, name: str | None = None, **settings: Unpack[TaskSettings]) -> TaskDecorator: ...
    def task(self, function: Any = None, /, *, name: str | None = None, **settings: Unpack[TaskSettings]) -> Any:
        """Declare a function or coroutine function as a task; the options are the defaults of its jobs.

        ``max_running``, ``rate``, ``breaker`` and ``retry_budget`` hold for all of its jobs together, over all workers.
        """
        rules = declared(settings)

        def declare(wanted: Callable[..., Any]) -> Task[..., Any]:
            definition = self.tasks.add_function(wanted, name, rules)
            options = rules.options
            return Task(wanted, definition, self._send, self._send_many, self.max_payload, options)

        return declare if function is None else declare(function)

    @overload
    def job(self, payload: C, /) -> C: ...
    @overload
    def job(self, /, *, name: str | None = None, **settings: Unpack[TaskSettings]) -> Callable[[C], C]: ...
    def job(self, payload: Any = None, /, *, name: str | None = None, **settings: Unpack[TaskSettings]) -> Any:
        """Declare a job class: a ``Payload`` whose fields are the arguments and whose ``handle`` does the work."""
        rules = declared(settings)

        def declare(wanted: C) -> C:
            self.tasks.add_class(wanted, name, rules)
            return wanted

        return declare if payload is None else declare(payload)

    # Schedules

    def schedule(self, name: str, schedule: AnySchedule, call: Schedulable, /) -> StoredSchedule | None:
        """Store a schedule that makes the job at each tick; the same declaration again changes nothing.

        A function that is no task becomes one: a dispatcher, which enqueues what it likes. While a command only
        imports the application nothing is stored; then None comes back.
        """
        ready = self._schedulable(call, name)
        if importing.get() is not None:
            self.schedules.note(name, schedule, lambda: ready, replace=True)
            return None
        return self.schedules.declare(name, schedule, ready)

    def cron(
        self,
        expr: str,
        /,
        *,
        timezone: "str | ZoneInfo" = "UTC",
        name: str | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Callable[[D], D]:
        """Declare beside a task, a function or a job class that it runs by a cron expression, which is read later.

        The schedule has the task's name unless it is given one. A worker stores it when it starts.
        """
        return self._beside(cron_later(expr, timezone=timezone, **options), name)

    def every(
        self,
        period: timedelta | float | None = None,
        /,
        *,
        name: str | None = None,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        **options: Unpack[ScheduleOptions],
    ) -> Callable[[D], D]:
        """Declare beside a task, a function or a job class that it runs each time the period has passed."""
        units = {"weeks": weeks, "days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
        return self._beside(every(period, **units, **options), name)

    def _beside(self, schedule: AnySchedule, name: str | None) -> Callable[[D], D]:
        def declare(wanted: D) -> D:
            given: Any = wanted
            # Read later, like the expression: what its annotations name may not be defined yet.
            if isinstance(given, type):
                task, make = self.tasks.of_class(given).name, lambda: self.call(given())
            else:
                task = self._task_of(given, name).name
                # By its name, where @app.task stands above and says more than is known yet.
                make = given.call if isinstance(given, Task) else lambda: self.call(task)
            self.schedules.note(name or task, schedule, make)
            return wanted

        return declare

    def _schedulable(self, wanted: Any, name: str) -> Call[Any]:
        if isinstance(wanted, (Call, Payload, str)):
            return self.call(wanted)  # pyright: ignore[reportUnknownArgumentType]  any call will do
        return self._task_of(wanted, name).call()

    def _task_of(self, wanted: Any, name: str | None) -> Task[..., Any]:
        """Give the task that the function is, or becomes here."""
        if isinstance(wanted, Task):
            return cast("Task[..., Any]", wanted)
        # A function made inside another has no name of its own that would stay the same.
        is_local = "<" in getattr(wanted, "__qualname__", "")
        return self.task(name=name if is_local else None)(wanted)
