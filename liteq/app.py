"""Liteq: the face that applications hold."""

import os
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from liteq.batching import Batching
from liteq.clock import Clock, SystemClock
from liteq.command import COMMAND, command_call
from liteq.declaring import Declaring
from liteq.enqueueing import Enqueueing
from liteq.errors import InvalidOption, StorageError, WrongState
from liteq.flow import Chain, Group
from liteq.handling import Handling
from liteq.importing import refuse_while_importing
from liteq.job import Job, running
from liteq.lock import Locks
from liteq.locking import Locking
from liteq.model.instants import to_ms
from liteq.model.job import Enqueued
from liteq.model.names import check_names
from liteq.model.payload import MAX_PAYLOAD
from liteq.model.retry import DEFAULT_RETRY, Retry
from liteq.ops.stats import Stats, collect_stats
from liteq.options import Settings
from liteq.registry import Registry
from liteq.scheduler import FireResult, Scheduler
from liteq.schedules import Schedules
from liteq.signature import PayloadSignature
from liteq.store.engine import Engine
from liteq.task import Call, Payload
from liteq.transacting import Transacting
from liteq.worker.settings import WorkResult, WorkSettings, check_lease

if TYPE_CHECKING:
    # Who only enqueues runs no jobs: the rest of the room is loaded where it is needed.
    from liteq.worker.claims import Claims
    from liteq.worker.leash import Leash
    from liteq.worker.worker import Worker

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type[Payload])
D = TypeVar("D")

MAX_PAYLOAD_LIMIT = 64 * 1024 * 1024
Durability = Literal["full", "normal"]


class Liteq(Enqueueing, Declaring, Handling, Batching, Locking, Transacting):
    """A queue in the file at ``path``, opened at the first use and created if ``create`` allows it.

    ``durability``: with "full", what ``enqueue`` returned and every outcome is on the disk; with "normal" the last
    moments before a power cut may be lost, never the file, and a killed process loses nothing. The environment variable
    LITEQ_DURABILITY is the default. ``shared`` allows a file that has other tables. ``retention`` is how long completed
    and cancelled jobs are kept, None for ever. An object may be used by any thread, and not after a fork.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability | None = None,
        shared: bool = False,
        max_payload: int = MAX_PAYLOAD,
        default_retry: Retry = DEFAULT_RETRY,
        retention: timedelta | float | None = timedelta(days=7),
        allow_network_filesystem: bool = False,
        create: bool = True,
        lease: timedelta | float | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.path = path
        self.durability = _checked_durability(durability or os.environ.get("LITEQ_DURABILITY", "full"))
        if not 1 <= max_payload <= MAX_PAYLOAD_LIMIT:
            raise InvalidOption(f"max_payload must be from 1 to {MAX_PAYLOAD_LIMIT} bytes, not {max_payload}")
        self.max_payload = max_payload
        self.default_retry = default_retry
        self.retention_ms = None if retention is None else to_ms(retention, what="retention")
        self.lease_ms = None if lease is None else check_lease(to_ms(lease, what="lease"))
        self.opening: dict[str, str | bool] = {
            "durability": self.durability,
            "shared": shared,
            "allow_network_filesystem": allow_network_filesystem,
        }
        """The options by which another process opens the same file."""
        self.clock: Clock = clock or SystemClock()
        self.tasks = Registry()
        self.tasks.add(COMMAND)
        self._create = create
        self._engine: Engine | None = None
        self._scheduler: Scheduler | None = None
        self.schedules = Schedules(
            lambda: self.engine,
            self.clock,
            lambda call: call.template(default_retry=self.default_retry),
            self.get_job,
        )
        self._opening = threading.Lock()
        self.locks = Locks(lambda: self.engine, self.clock, running.get)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Liteq {os.fspath(self.path)!r}>"

    @property
    def engine(self) -> Engine:
        """What keeps the jobs; opens the file at first use."""
        engine = self._engine
        if engine is None:
            with self._opening:
                if self._engine is None:
                    self._engine = self._open()
                engine = self._engine
        return engine

    def _open(self) -> Engine:
        # A quarter of what importing liteq took, and who only declares tasks opens no file.
        from liteq.store.sqlite.engine import SqliteEngine  # noqa: PLC0415

        return SqliteEngine(
            self.path,
            full=self.durability == "full",
            shared=bool(self.opening["shared"]),
            allow_network=bool(self.opening["allow_network_filesystem"]),
            create=self._create,
        )

    def close(self) -> None:
        """Close the file, once other threads' transactions have ended. Used again, the app opens it anew.

        Raises WrongState in a transaction of the calling thread.
        """
        engine = self._engine
        if engine is not None and engine.in_transaction():
            raise WrongState("a transaction of this thread is open; end it before the app is closed")
        try:
            # Before it is let go: what runs in another thread's transaction finds it until that has ended.
            if engine is not None:
                engine.close()
        finally:
            with self._opening:
                if self._engine is engine:
                    self._engine = None
                    self._scheduler = None
                    self._forget_stored()

    def _forget_stored(self) -> None:
        self.schedules.forget_stored()

    # Schedules

    def trigger(self, name: str) -> Job[Any]:
        """Make a job of a schedule now; its next tick stays where it is. Raises ScheduleNotFound."""
        return self.schedules.trigger(name)

    def fire_due(self) -> list[FireResult]:
        """Fire what is due, and give what was fired. For tests, and for hosts that call it every minute or so."""
        self.schedules.store_declared()
        engine = self.engine
        with self._opening:
            if self._engine is not engine:
                raise StorageError("this app was closed")
            if self._scheduler is None:
                self._scheduler = Scheduler(engine, self.clock)
            scheduler = self._scheduler
        return scheduler.fire_due()

    # Into the queue

    def call(self, wanted: Call[Any] | Payload | str, /, *args: Any, **kwargs: Any) -> Call[Any]:
        """Give a job not yet enqueued, of a filled job class or of the task with that name."""
        if isinstance(wanted, Call):
            return wanted
        if isinstance(wanted, str):
            definition = self.tasks[wanted]
            data = definition.signature.pack(args, kwargs, max_bytes=self.max_payload)
        else:
            definition = self.tasks.of_class(type(wanted))
            data = cast("PayloadSignature", definition.signature).pack_value(wanted, max_bytes=self.max_payload)
        return Call(definition, data, definition.options)

    def command(
        self, argv: Sequence[str] | str, *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> Call[None]:
        """Give a job that runs a program: a list as it stands, one text through the shell. Not retried unless asked."""
        return command_call(argv, cwd=cwd, env=env, max_bytes=self.max_payload)

    @overload
    def enqueue(self, wanted: Call[R], /, **settings: Unpack[Settings]) -> Job[R]: ...
    @overload
    def enqueue(self, wanted: Payload, /, **settings: Unpack[Settings]) -> Job[Any]: ...
    @overload
    def enqueue(self, wanted: Chain | Group, /) -> list[Job[Any]]: ...
    def enqueue(self, wanted: Any, /, **settings: Unpack[Settings]) -> Any:
        """Store one job and give its handle; when it returns, the job is on the disk.

        A chain or group is stored in one commit; then the handles of its jobs come back, in the order of writing.
        """
        if isinstance(wanted, (Chain, Group)):
            if settings:
                raise InvalidOption("give options to the jobs of a chain or group, not to the whole")
            return self._enqueue_flow(wanted)
        call = self.call(wanted)
        return self._send(call.using(**settings) if settings else call)

    def _send(self, call: Call[Any]) -> Job[Any]:
        refuse_while_importing()
        return self._handle(call, self._store((call,))[0])

    def _handle(self, call: Call[Any], answer: Enqueued) -> Job[Any]:
        result_type = call.definition.signature.result_type
        # By their places: names would cost as much as the handle itself, and one comes with each enqueue.
        return Job(answer.job_id, self.engine, self.clock, result_type, answer.answer)

    # Totals

    def stats(self) -> Stats:
        """Give sizes by queue, state and priority, oldest ages and rates, workers and the file."""
        return collect_stats(self.engine, now=self.clock.now_ms())

    # Running

    def work(
        self,
        *,
        queues: Sequence[str] | None = None,
        threads: int = 1,
        coroutines: int = 100,
        burst: bool = False,
        max_jobs: int | None = None,
        scheduler: bool = True,
    ) -> WorkResult:
        """Run jobs in this thread until stopped, or with ``burst`` until nothing is left. Gives what was done."""
        settings = self._settings(
            queues, threads=threads, coroutines=coroutines, burst=burst, max_jobs=max_jobs, scheduler=scheduler
        )
        return self.new_worker(settings).run()

    def _settings(self, queues: Sequence[str] | None, **how: Any) -> WorkSettings:
        names = check_names(queues, what="queue")
        return WorkSettings(queues=names, retention_ms=self.retention_ms, lease_ms=self.lease_ms, **how)

    def new_worker(self, settings: WorkSettings, leash: "Leash | None" = None) -> "Worker":
        """Give a worker that is not running yet; what the program declares, rules and schedules, is stored."""
        from liteq.worker.worker import Worker  # noqa: PLC0415  see above

        self._refuse_in_transaction()
        self._declare_tasks()
        if settings.scheduler:
            self.schedules.store_declared()
        return Worker(
            self.engine,
            self.tasks,
            self.clock,
            settings,
            default_retry=self.default_retry,
            max_payload=self.max_payload,
            leash=leash,
            locks=self.locks,
        )

    def _refuse_in_transaction(self) -> None:
        if self.engine.in_transaction():
            raise InvalidOption("jobs cannot be run inside a transaction: others could neither claim nor report")

    def _declare_tasks(self) -> None:
        """Have the file know what is declared beside the tasks: whoever claims their jobs is to keep to it."""
        self.engine.put_guards(self.tasks.guards())
        self.engine.declare_limits(self.tasks.declared_limits())

    @contextmanager
    def worker(
        self,
        *,
        queues: Sequence[str] | None = None,
        threads: int = 1,
        coroutines: int = 100,
        scheduler: bool = True,
    ) -> "Generator[Worker]":
        """Run jobs beside the block, in threads of this process; at its end running jobs are finished."""
        worker = self.new_worker(self._settings(queues, threads=threads, coroutines=coroutines, scheduler=scheduler))
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()
            worker.join()

    def claims(
        self,
        *,
        queues: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        limit: int = 1,
        wait: bool = True,
    ) -> "Claims":
        """Iterate over claims, consumer style; each is reported by its own methods. ``wait=False`` ends when empty."""
        from liteq.worker.claims import Claims  # noqa: PLC0415  see above

        self._refuse_in_transaction()
        self._declare_tasks()
        named, places = check_names(tasks, what="task"), check_names(queues, what="queue")
        names = tuple(definition.name for definition in self.tasks) if named is None else named
        return Claims(
            self.engine, self.clock, queues=places, tasks=names, limit=limit, wait=wait, lease_ms=self.lease_ms
        )


def _checked_durability(value: str) -> Durability:
    if value not in {"full", "normal"}:
        raise InvalidOption(f"durability must be 'full' or 'normal', not {value[:40]!r}")
    return cast("Durability", value)
