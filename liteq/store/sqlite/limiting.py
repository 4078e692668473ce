"""Limits are set, declared and asked for. What they hold back is decided in ``lanes.py`` and ``turns.py``."""

from collections.abc import Mapping
from typing import Any

from liteq.model.limits import LIMITED_CODES, Limit, Limited, LimitRecord, Turn
from liteq.model.rate import stored_rate
from liteq.store.sqlite.file import JobFile
from liteq.store.sqlite.lanes import running_by_name

HOLDERS_NAMED = 5
_OF: dict[int, Limited] = {code: of for of, code in LIMITED_CODES.items()}


class Limiting:
    """The verbs and questions about limits."""

    file: JobFile

    def put_limit(self, of: Limited, name: str, limit: Limit) -> None:
        with self.file.writer.transaction():
            self.file.writer.connection.rows("put_limit", {"kind": LIMITED_CODES[of], "name": name} | _columns(limit))

    def remove_limit(self, of: Limited, name: str) -> bool:
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            removed = connection.rows("remove_limit", {"kind": LIMITED_CODES[of], "name": name})
            connection.rows("drop_empty_limits")
        return bool(removed)

    def declare_limits(self, limits: Mapping[str, Limit]) -> None:
        if not self._new_declared(limits):
            return
        with self.file.writer.transaction():
            connection = self.file.writer.connection
            changed = self._new_declared(limits)
            connection.many("declare_limit", [{"name": name} | _columns(limit) for name, limit in changed.items()])
            connection.rows("drop_empty_limits")

    def _new_declared(self, limits: Mapping[str, Limit]) -> dict[str, Limit]:
        kept = {one.name: one.declared for one in self._records({}) if one.of == "task"}
        return {name: limit for name, limit in limits.items() if limit != kept.get(name, Limit())}

    def limits(self) -> list[LimitRecord]:
        return self._records(running_by_name(self.file))

    def _records(self, running: dict[tuple[int, str], int]) -> list[LimitRecord]:
        return [
            LimitRecord(
                of=_OF[kind],
                name=name,
                given=_limit(max_running, rate),
                declared=_limit(declared_max_running, declared_rate),
                running=running.get((kind, name), 0),
                next_at=None if next_us is None else -(-next_us // 1_000),
            )
            for kind, name, max_running, rate, declared_max_running, declared_rate, next_us in self.file.read("limits")
        ]

    def turn_of(self, key: str) -> Turn:
        in_turn, ready, *_ = self.file.read("in_turn", {"key": key})[0]
        token = self.file.read("next_token", {"key": key})
        values = {"key": key, "limit": HOLDERS_NAMED}
        return Turn(
            running=in_turn - ready,
            ready=ready,
            blocked=self.file.read("line_length", {"key": key})[0][0],
            holders=tuple(sorted(row[0] for row in self.file.read("ids_in_turn", values))),
            next_at=-(-token[0][0] // 1_000) if token else None,
        )


def _limit(max_running: int | None, rate: str | None) -> Limit:
    return Limit(max_running=max_running, rate=None if rate is None else stored_rate(rate))


def _columns(limit: Limit) -> dict[str, Any]:
    return {"max_running": limit.max_running, "rate": None if limit.rate is None else str(limit.rate)}
