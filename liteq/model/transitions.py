"""The life of a job as data: its states, and every verb with where it leads from and to.

A newcomer's verb starts here; the generated test of every verb in every state fails until the engine obeys the row.
"""

from enum import IntEnum, StrEnum

import msgspec


class State(IntEnum):
    """Where a job is in its life. The numbers are stored; they never change their meaning."""

    SCHEDULED = 1
    WAITING = 2
    BLOCKED = 3
    READY = 4
    RUNNING = 5
    COMPLETED = 6
    DEAD = 7
    CANCELLED = 8

    @property
    def word(self) -> str:
        """Give the state as it is written at the faces, in lower case."""
        return self.name.lower()


LIVE = frozenset({State.SCHEDULED, State.WAITING, State.BLOCKED, State.READY, State.RUNNING})
FINISHED = frozenset({State.COMPLETED, State.DEAD, State.CANCELLED})
AT_REST = LIVE - {State.RUNNING}


class Outcome(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    CRASHED = "crashed"
    HUNG = "hung"
    RELEASED = "released"
    SNOOZED = "snoozed"
    ABORTED = "aborted"


class Transition(msgspec.Struct, frozen=True):
    """One verb: the states it may find a job in, and those it may leave it in.

    ``fenced`` verbs speak about a claim and are refused unless the job is still running that claim's attempt.
    """

    verb: str
    before: frozenset[State]
    after: frozenset[State]
    fenced: bool = False


def _row(verb: str, before: set[State] | frozenset[State], *after: State, fenced: bool = False) -> Transition:
    return Transition(verb=verb, before=frozenset(before), after=frozenset(after), fenced=fenced)


TRANSITIONS = (
    _row("enqueue", set(), State.READY, State.SCHEDULED, State.WAITING, State.BLOCKED),
    _row("promote", {State.SCHEDULED}, State.READY, State.BLOCKED),
    _row("unblock", {State.WAITING}, State.READY, State.SCHEDULED, State.BLOCKED),
    _row("take_turn", {State.BLOCKED}, State.READY),
    _row("claim", {State.READY}, State.RUNNING),
    _row("block", {State.READY}, State.BLOCKED),
    _row("complete", {State.RUNNING}, State.COMPLETED, fenced=True),
    _row("retry", {State.RUNNING}, State.SCHEDULED, fenced=True),
    _row("dead_letter", {State.RUNNING}, State.DEAD, fenced=True),
    _row("snooze", {State.RUNNING}, State.SCHEDULED, fenced=True),
    _row("release", {State.RUNNING}, State.READY, State.BLOCKED, fenced=True),
    _row("abort", {State.RUNNING}, State.CANCELLED, fenced=True),
    _row("time_out", {State.RUNNING}, State.RUNNING, fenced=True),
    _row("note", {State.RUNNING}, State.RUNNING, fenced=True),
    _row("save_checkpoint", {State.RUNNING}, State.RUNNING, fenced=True),
    _row("finish_step", {State.RUNNING}, State.RUNNING, fenced=True),
    _row("expire", {State.RUNNING}, State.READY, State.BLOCKED, State.SCHEDULED, State.DEAD),
    _row("cancel", AT_REST, State.CANCELLED),
    _row("ask_cancel", {State.RUNNING}, State.RUNNING),
    _row("requeue", FINISHED, State.READY, State.BLOCKED),
    _row("reschedule", AT_REST, State.READY, State.SCHEDULED, State.WAITING, State.BLOCKED),
    _row("delete", AT_REST | FINISHED),
    _row("prune", {State.COMPLETED, State.CANCELLED}),
)
