"""``liteq lock``, and the line that counts what is enqueued."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from liteq.app import Liteq
from tests.cli.conftest import Liteq as Command

Read = Callable[..., Any]


@pytest.fixture
def app(folder: Path) -> Iterator[Liteq]:
    with Liteq(folder / "jobs.db", durability="normal") as app:
        assert app.engine.list_locks(limit=1) == []
        yield app


def test_locks_are_listed_with_their_holders(app: Liteq, liteq: Command, read: Read) -> None:
    empty = liteq("lock", "list")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "no lock is held" in empty.stderr
    assert read("lock", "list") == {"locks": []}

    with app.lock("a"), app.lock("b"):
        first, second = read("lock", "list")["locks"]
        assert (first["name"], first["token"], first["waiting"], first["alive"]) == ("a", 1, 0, True)
        assert "MainThread" in first["what"]
        assert read("lock", "list", "--after", "a")["locks"] == [second]
        assert read("lock", "list", "--limit", "1")["locks"] == [first]
        shown = liteq("lock", "list").stdout.splitlines()
        assert shown[0].split()[:2] == ["LOCK", "STATE"]
        assert [line.split()[:2] for line in shown[1:]] == [["a", "held"], ["b", "held"]]


def test_a_lock_is_freed_by_hand_and_its_holder_sees_it(app: Liteq, liteq: Command, read: Read) -> None:
    with app.lock("nightly") as lock:
        asked = liteq("lock", "release", "nightly")
        assert asked.returncode == 2
        assert "holds it and goes on" in asked.stderr
        lock.check()

        assert read("lock", "release", "nightly", "--yes")["released"]["token"] == 1

        assert lock.lost
        again = liteq("lock", "release", "nightly", "--yes")
        assert again.returncode == 3
        assert "nobody holds" in again.stderr


def test_a_dead_holders_lock_is_shown_as_such_and_freed_without_asking(app: Liteq, liteq: Command) -> None:
    with Liteq(app.path, durability="normal") as other:
        other.lock("nightly").__enter__()

    assert liteq("lock", "list").stdout.splitlines()[1].split()[:2] == ["nightly", "gone"]
    assert liteq("lock", "release", "nightly").stdout == "nightly\n"


def test_a_hostile_name_is_shown_harmlessly(app: Liteq, liteq: Command) -> None:
    ended = liteq("lock", "release", "\x1b[2J'; DROP TABLE liteq_lock;--")

    assert ended.returncode == 3
    assert "\x1b" not in ended.stderr


def test_what_is_enqueued_is_counted_on_a_terminal_alone(liteq: Command) -> None:
    lines = '{"a": 1}\n' * 2_500

    plain = liteq("enqueue", "tasks.add", "-", "--json", stdin=lines)
    shown = liteq("enqueue", "tasks.add", "-", "--json", stdin=lines, FORCE_COLOR="1", TERM="xterm")

    assert json.loads(plain.stdout) == json.loads(shown.stdout) == {"enqueued": 2_500}
    assert plain.stderr == ""
    assert "1,000 jobs stored" in shown.stderr
    assert shown.stderr.endswith("\r\x1b[K")
