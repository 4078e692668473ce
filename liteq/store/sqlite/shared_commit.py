"""Lets concurrent threads share a commit, and so an fsync."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from liteq.errors import LiteqError, StorageError
from liteq.store.sqlite.writer import Inside, Writer

T = TypeVar("T")


class _Ticket(Generic[T]):
    """One thread's verb on its way through a shared commit."""

    __slots__ = ("_error", "_value", "leads", "served", "turn", "verb")

    def __init__(self, verb: Callable[[], T]) -> None:
        self.verb = verb
        self.served = False
        self.leads = False
        self.turn = threading.Lock()
        self.turn.acquire()
        self._error: BaseException | None = None
        self._value: T | None = None

    def run(self) -> None:
        self._value = self.verb()

    def fail(self, error: BaseException) -> None:
        self._error = error

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # set by run, which precedes every outcome


class SharedCommit:
    """Lets the writes of concurrent threads share a commit, and so an fsync.

    The first comer leads: it runs everybody's verb in its own transaction, each under a savepoint, and
    commits once. Who comes meanwhile waits, and one of those leads the next, as in LevelDB's write queue.
    """

    def __init__(self, writer: Writer, inside: Inside) -> None:
        self._writer = writer
        self._inside = inside
        self._mutex = threading.Lock()
        self._waiting: deque[_Ticket[object]] = deque()
        self._led = False

    def run(self, verb: Callable[[], T]) -> T:
        """Run the verb in a commit of this thread's or another's; return when that is on the disk."""
        if self._writer.holds():
            return verb()
        # Asked before the queue: in a forked child its leader may be a thread that does not exist.
        self._writer.refuse_fork()
        ticket = _Ticket(verb)
        with self._inside:
            with self._mutex:
                self._waiting.append(ticket)  # type: ignore[arg-type]  # its value goes back to this thread alone
                ticket.leads = not self._led
                self._led = True
            try:
                if not ticket.leads:
                    ticket.turn.acquire()
                if not ticket.served:
                    self._lead()
            except BaseException:
                # Interrupted while waiting: nobody may be left to wait for a thread that has gone.
                self._leave(ticket)
                raise
        return ticket.outcome()

    def _lead(self) -> None:
        with self._mutex:
            party = list(self._waiting)
            self._waiting.clear()
        try:
            with self._writer.transaction():
                self._run_all(party)
        except LiteqError as error:
            for ticket in party:
                ticket.fail(error)
        except BaseException as error:
            # Ctrl-C hit the leader. It is the leader's alone; what became of the commit, the others cannot know.
            for ticket in party:
                ticket.fail(_interrupted(error))
            raise
        finally:
            for ticket in party:
                ticket.served = True
                ticket.turn.release()
            self._hand_on()

    def _hand_on(self) -> None:
        """Let one of those who came meanwhile lead the next commit."""
        with self._mutex:
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].turn.release()
            else:
                self._led = False

    def _leave(self, ticket: _Ticket[T]) -> None:
        with self._mutex:
            waits = ticket in self._waiting
            if waits:
                self._waiting.remove(ticket)  # type: ignore[arg-type]  # the one that this thread put there
        if waits and ticket.leads:
            self._hand_on()

    def _run_all(self, party: list[_Ticket[object]]) -> None:
        if len(party) == 1:
            party[0].run()
            return
        plain = self._writer.connection.plain
        for ticket in party:
            plain("SAVEPOINT shared")
            try:
                ticket.run()
            except Exception as error:  # noqa: BLE001  whatever it is, it belongs to that thread alone
                plain("ROLLBACK TO shared")
                ticket.fail(error)
            plain("RELEASE shared")


def _interrupted(error: BaseException) -> StorageError:
    return StorageError(
        f"the thread that wrote for several was interrupted by {type(error).__name__}", may_have_committed=True
    )
