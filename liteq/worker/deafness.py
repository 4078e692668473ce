"""Keeps signals for the main thread: one that another thread takes does not wake the main one from what it waits in."""

import signal

_FOR_THE_MAIN_THREAD = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM})


def hear_no_signals() -> None:
    """Leave signals to others, in this thread alone. Never where user code runs: what it starts would be as deaf."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_MAIN_THREAD)
