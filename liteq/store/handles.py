"""What an engine hands out and a worker holds: its proof of life, and watches. Promises only, like the engine's own."""

from typing import Protocol


class Slate(Protocol):
    """One worker's proof of life, and the list of the jobs it has started. Both outlive its sudden death."""

    @property
    def worker_id(self) -> int: ...

    def start(self, slot: int, job_id: int, attempt: int, started_at: int, deadline: int = 0) -> None:
        """Note that the job runs now in the slot: should the process die, this job is charged with it."""
        ...

    def command(self, slot: int, group: int) -> None:
        """Note that the slot's job runs a command in this process group, which is not to outlive the worker.

        -1 for a group that is about to be: its processes carry ``run_mark`` in their environment as LITEQ_RUN.
        """
        ...

    def run_mark(self, job_id: int, attempt: int) -> str:
        """Give a word that no other run on this machine has."""
        ...

    def clear(self, slot: int) -> None:
        """Note that nothing runs in the slot."""
        ...

    def beat(self, monotonic_ms: int, *, done: int = 0, stopping: bool = False) -> None:
        """Note that the worker's loop turns, how many jobs it has done, and whether it is leaving."""
        ...

    def release(self, *, remove: bool) -> None:
        """Let go of the proof, as death does; with ``remove`` nothing of it stays behind."""
        ...

    def intact(self) -> bool:
        """Tell whether the proof still stands where others look for it; if not, claiming must stop."""
        ...


class Watch(Protocol):
    """Waits for somebody's commit."""

    def wait(self, timeout_ms: int) -> bool:
        """Return true once somebody has committed since the last wait ended, or ``wake`` was called; else false.

        What was committed can be seen when it returns.
        """
        ...

    def wake(self) -> None:
        """End the wait from another thread."""
        ...

    def close(self) -> None: ...


class DeathWatch(Protocol):
    """Waits for a worker to die. It may miss some: ``expire`` is to be called now and then as well."""

    def wait(self, timeout_ms: int, *, also: int | None = None) -> bool:
        """Return true once a worker may have died or ``wake`` was called; else false.

        ``also`` is a descriptor: when it can be read the wait ends too.
        """
        ...

    def look_again_ms(self) -> int:
        """Give how long after one ``expire`` the next is worth it, if nothing was heard meanwhile."""
        ...

    def wake(self) -> None:
        """End the wait from another thread."""
        ...

    def close(self) -> None: ...
