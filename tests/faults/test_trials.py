"""The trials of failing calls find what they are there to find."""

from pathlib import Path

import apsw
import pytest

from liteq.errors import LiteqError
from liteq.store.engine import Engine
from liteq.store.sqlite import connection
from liteq.store.sqlite.translate import translated
from tests.engine.steps import enqueue_one
from tests.faults.failing import Failure
from tests.faults.scenes import SCENES, Scene, Verb
from tests.faults.trial import Bench


def found(bench: Bench, failure: Failure) -> list[str]:
    complaints: list[str] = []
    nth = 1
    while (trial := bench.try_at(failure, nth)).failed is not None:
        complaints += trial.complaints
        nth += 1
    return complaints


def test_an_error_of_apsw_that_reaches_the_caller_is_found(
    tmp_path: Path, empty_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, empty_file, SCENES["complete"])
    monkeypatch.setattr(connection, "RAW_ERRORS", ())

    with pytest.raises(apsw.IOError):
        bench.try_at(Failure("write"), 1)


def test_a_verb_of_two_commits_is_found(tmp_path: Path, empty_file: bytes) -> None:
    def prepare(_: Engine) -> Verb:
        def two_commits(engine: Engine) -> None:
            engine.pause_queue("one", reason=None, now=0)
            engine.pause_queue("two", reason=None, now=0)

        return two_commits

    complaints = found(Bench(tmp_path, empty_file, Scene(prepare)), Failure("write"))

    assert "the verb stands half way" in complaints


def test_an_error_that_hides_that_the_commit_may_have_happened_is_found(
    tmp_path: Path, empty_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sure(error: BaseException, *, committing: bool = False) -> LiteqError:
        return translated(error)

    monkeypatch.setattr(connection, "translated", sure)

    complaints = found(Bench(tmp_path, empty_file, SCENES["enqueue"]), Failure("sync"))

    assert complaints == ["a crash makes something else of what stood, unsure: False"]


def test_a_verb_that_swallows_its_error_is_found(tmp_path: Path, empty_file: bytes) -> None:
    def prepare(_: Engine) -> Verb:
        def swallow(engine: Engine) -> None:
            try:
                enqueue_one(engine)
            except LiteqError:
                return

        return swallow

    complaints = found(Bench(tmp_path, empty_file, Scene(prepare)), Failure("write"))

    assert "the verb says that it is done, and it is not" in complaints
