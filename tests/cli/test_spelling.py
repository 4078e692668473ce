"""Global options stand anywhere, and ``a:b`` is ``a b``."""

import pytest
from liteq_cli.spelling import in_order


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("status --json", "--json status"),
        ("--json status", "--json status"),
        ("job list --file x --app a:b --debug", "--file x --app a:b --debug job list"),
        ("job:list -fx --file=y", "-fx --file=y job list"),
        ("queue:status mail", "queue status mail"),
        ("batch:show 7", "batch show 7"),
        ("breaker:list", "breaker list"),
        ("lock:release site", "lock release site"),
        ("enqueue a:b k=v", "enqueue a:b k=v"),
        ("exec ls --json -f x", "exec -- ls --json -f x"),
        ("exec --queue q --wait ls --json", "exec --queue q --wait -- ls --json"),
        ("exec --queue=q ls -l", "exec --queue=q -- ls -l"),
        ("exec --json -- tar -f x", "--json exec -- tar -f x"),
        ("exec -", "exec -- -"),
        ("scheduler:status", "schedule status"),
        ("scheduler run --json", "--json schedule run"),
        ("schedule:add n --every 1h -- ls --json", "schedule add n --every 1h --command -- ls --json"),
        ("schedule add n --command -- ls", "schedule add n --command -- ls"),
        ("", ""),
        ("status --file", "--file"),
    ],
)
def test_words_are_put_in_order(given: str, wanted: str) -> None:
    assert in_order(given.split()) == wanted.split()
