"""What a task logs is kept with its attempt."""

import logging

import pytest

from liteq import JobContext, Liteq
from tests.face.conftest import run


def test_what_is_logged_is_kept_with_the_attempt(app: Liteq) -> None:
    def body(ctx: JobContext) -> None:
        ctx.log.warning("odd thing %d", 7)
        ctx.log.info("plain thing")
        logging.getLogger("library").warning("by others too")

    job = run(app, body)

    (attempt,) = job.attempts
    assert attempt.log is not None
    assert "odd thing 7" in attempt.log
    assert attempt.log.count("plain thing") == 1
    assert "by others too" in attempt.log


def test_a_quiet_program_stays_quiet_though_its_tasks_are_kept(app: Liteq, caplog: pytest.LogCaptureFixture) -> None:
    def body(ctx: JobContext) -> None:
        ctx.log.info("for the job alone")
        ctx.log.warning("for all")

    logging.getLogger().setLevel(logging.WARNING)
    job = run(app, body)

    assert [record.getMessage() for record in caplog.records] == ["for all"]
    assert job.attempts[0].log is not None
    assert "for the job alone" in job.attempts[0].log
    assert logging.getLogger("liteq.task").level == logging.NOTSET
    assert logging.getLogger("liteq.task").propagate
