"""How the words after ``liteq`` are read: global options stand anywhere, and ``a:b`` is ``a b``."""

from collections.abc import Sequence

_FLAGS = frozenset({"--json", "--debug"})
_VALUED = frozenset({"--file", "-f", "--app"})
_GROUPS = frozenset({"batch", "breaker", "dead", "job", "lock", "queue", "schedule", "task", "worker"})
_ALIASES = {"scheduler": "schedule"}
EXEC_FLAGS = frozenset({"--wait", "--help"})
"""Options of ``exec`` without a value: they are needed to see where its command begins."""


def in_order(words: Sequence[str]) -> list[str]:
    """Give the words with the global options in front; what follows ``--``, or ``exec``'s command, stays as it is."""
    globals_: list[str] = []
    rest: list[str] = []
    todo = list(words)
    command: str | None = None
    while todo:
        word = todo.pop(0)
        if word == "--":
            # The job of ``schedule add`` is a task, or after the dashes a command.
            is_command = rest[:2] == ["schedule", "add"] and "--command" not in rest
            return globals_ + rest + ["--command"] * is_command + [word, *todo]
        if word in _FLAGS or word.startswith(("--file=", "--app=")) or _is_short_file(word):
            globals_.append(word)
        elif word in _VALUED:
            globals_.append(word)
            if not todo:
                # Without the rest, the parser sees that the value is missing.
                return globals_
            globals_.append(todo.pop(0))
        elif command is None and not word.startswith("-"):
            command, *more = _split(word)
            command = _ALIASES.get(command, command)
            rest += [command, *more]
        elif command == "exec" and (word == "-" or not word.startswith("-")):
            return globals_ + rest + ["--", word, *todo]
        else:
            rest.append(word)
            if command == "exec" and word not in EXEC_FLAGS and "=" not in word:
                rest += todo[:1]
                del todo[:1]
    return globals_ + rest


def _is_short_file(word: str) -> bool:
    return word.startswith("-f") and len(word) > len("-f")


def _split(word: str) -> list[str]:
    group, colon, verb = word.partition(":")
    known = _ALIASES.get(group, group) in _GROUPS
    return [group, verb] if colon and known and verb else [word]
