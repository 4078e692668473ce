"""Lets concurrent threads share a commit, and so an fsync."""

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any, Generic, TypeVar

from liteq.errors import LiteqError, StorageError
from liteq.store.sqlite.writer import Inside, Writer

T = TypeVar("T")
_PATIENCE_S = 0.05
"""How often who waits looks whether its leader is still there: an interrupt may leave no time to hand on."""

_MOMENT_S = 0.000005
"""The kernel makes some 60 us of it: short beside a sync, and with four threads it spares every other one."""


class _FailedVerbError(Exception):
    """One of several verbs has failed, and whose it is will be told when each is run by itself."""


class _Ticket(Generic[T]):
    """One thread's verb on its way through a shared commit."""

    __slots__ = ("_error", "_value", "_verb", "begun", "served", "thread", "turn")

    def __init__(self, verb: Callable[[], T]) -> None:
        self.begun = False
        self.served = False
        self.thread = get_ident()
        self.turn = threading.Lock()
        self.turn.acquire()
        self._verb = verb
        self._error: BaseException | None = None
        self._value: T | None = None

    def run(self) -> None:
        self.begun = True
        self._error = None
        self._value = self._verb()

    def fail(self, error: BaseException) -> None:
        self._error = error

    def wake(self) -> None:
        """Let its thread look again. Under the mutex of the queue: of two calls one would find the lock released."""
        if self.turn.locked():
            self.turn.release()

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # set by run, which precedes every outcome


class SharedCommit:
    """Lets the writes of concurrent threads share a commit, and so an fsync.

    The first comer leads: it runs everybody's verb in its own transaction and commits once. Where one fails, that is
    rolled back, and all are run again, each under a savepoint: a verb does nothing but write and answer. Who comes
    meanwhile waits, and one of those leads the next, as in LevelDB's write queue.
    A leader may be interrupted at any moment; then the verbs that it has not begun are the next one's.
    """

    def __init__(self, writer: Writer, inside: Inside) -> None:
        self._writer = writer
        self._inside = inside
        self._mutex = threading.Lock()
        self._waiting: deque[_Ticket[Any]] = deque()
        self._leader: _Ticket[Any] | None = None
        self._party: list[_Ticket[Any]] = []
        self._last_size = 0

    def run(self, verb: Callable[[], T]) -> T:
        """Run the verb in a commit of this thread's or another's; return when that is on the disk."""
        writer = self._writer
        if writer.holds():
            return verb()
        # Asked before the queue: in a forked child its leader may be a thread that does not exist.
        writer.refuse_fork()
        if not (self._last_size > 1 or self._waiting or self._leader or writer.busy()):
            # Nobody to share with. Those who come meanwhile share the next.
            return writer.run(verb)
        ticket = _Ticket(verb)
        with self._inside:
            try:
                self._pass(ticket)
            except BaseException as error:
                # Interrupted, wherever it was: nobody may be left to wait for a thread that has gone.
                self._leave(ticket, error)
                raise
        return ticket.outcome()

    def _pass(self, ticket: _Ticket[Any]) -> None:
        with self._mutex:
            self._waiting.append(ticket)
        while not ticket.served:
            if self._takes_lead(ticket):
                self._lead(ticket)
            else:
                ticket.turn.acquire(timeout=_PATIENCE_S)

    def _takes_lead(self, ticket: _Ticket[Any]) -> bool:
        """Make the ticket's thread the leader, if there is none."""
        with self._mutex:
            leader = self._leader
            if leader is not None and self._is_gone(leader):
                self._give_back(StorageError("it has gone"))
            if self._leader is not None or ticket.served:
                return False
            self._leader = ticket
            return True

    def _is_gone(self, leader: _Ticket[Any]) -> bool:
        # Who comes again has left its former ticket behind.
        return leader.thread == get_ident() or not self._inside.has(leader.thread)

    def _lead(self, ticket: _Ticket[Any]) -> None:
        if len(self._waiting) < self._last_size:
            # Those whom the last commit released have a moment to come again.
            time.sleep(_MOMENT_S)
        party: list[_Ticket[Any]] = []
        try:
            self._commit(party)
        except LiteqError as error:
            if not party:
                # Not even the lock was to be had; the others would wait for it as long again.
                self._gather(party)
            for one in party:
                one.fail(error)
        with self._mutex:
            for one in party:
                _serve(one)
            if self._leader is ticket:
                self._party = []
                self._hand_on()

    def _commit(self, party: list[_Ticket[Any]]) -> None:
        try:
            self._writer.run(partial(self._run_all, party))
        except _FailedVerbError:
            # Which is rare. So only now each has a savepoint of its own, and what it gives counts.
            self._writer.run(partial(self._run_each, party))

    def _gather(self, party: list[_Ticket[Any]]) -> None:
        """Take all who wait into the party, the leader among them."""
        with self._mutex:
            party += self._waiting
            self._party = list(party)
            self._waiting.clear()
            self._last_size = len(party)

    def _hand_on(self) -> None:
        """Let one of those who came meanwhile lead the next commit."""
        self._leader = None
        if self._waiting:
            self._waiting[0].wake()

    def _leave(self, ticket: _Ticket[Any], error: BaseException) -> None:
        with self._mutex:
            if self._leader is ticket:
                # What became of a commit that was cut short, the others cannot know.
                self._give_back(error)
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            if self._leader is None:
                self._hand_on()

    def _give_back(self, error: BaseException) -> None:
        """End the lead of a thread that was interrupted: no verb is run a second time, and none is forgotten."""
        party, self._party = self._party, []
        for one in reversed(party):
            if one.begun:
                if not one.served:
                    one.fail(_interrupted(error))
                    _serve(one)
            elif one not in self._waiting:
                self._waiting.appendleft(one)
        self._leader = None

    def _run_all(self, party: list[_Ticket[Any]]) -> None:
        # Only under the write lock: until then more may come.
        self._gather(party)
        if len(party) == 1:
            party[0].run()
            return
        try:
            for ticket in party:
                ticket.run()
        except Exception as error:
            raise _FailedVerbError from error

    def _run_each(self, party: list[_Ticket[Any]]) -> None:
        for ticket in party:
            self._run_alone(ticket)

    def _run_alone(self, ticket: _Ticket[Any]) -> None:
        plain = self._writer.connection.plain
        plain("SAVEPOINT alone")
        try:
            ticket.run()
        except Exception as error:  # whatever it is, it belongs to that thread alone
            if not self._writer.connection.in_transaction():
                # The disk is full or fails: SQLite has taken back what all have written, so all are told why.
                raise
            plain("ROLLBACK TO alone")
            ticket.fail(error)
        plain("RELEASE alone")


def _serve(ticket: _Ticket[Any]) -> None:
    ticket.served = True
    ticket.wake()


def _interrupted(error: BaseException) -> StorageError:
    return StorageError(
        f"the thread that wrote for several was interrupted by {type(error).__name__}", may_have_committed=True
    )
