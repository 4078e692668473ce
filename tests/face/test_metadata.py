"""Metadata and tags, from where a job is enqueued to its handle and its task."""

from datetime import UTC, datetime
from typing import Any

import pytest

from liteq import Job, JobContext, Liteq, Payload, PayloadNotSerializable, PayloadTooLarge, every


def test_metadata_and_tags_reach_the_handle_and_the_task(app: Liteq) -> None:
    @app.task(name="told", tags=["a"], metadata={"by": "default"})
    def told(ctx: JobContext) -> Any:
        return [ctx.metadata, list(ctx.tags)]

    given = {"customer": 7, "when": datetime(2027, 1, 1, tzinfo=UTC)}
    job = told.using(metadata=given, tags=["b", "c"]).enqueue()
    plain = told.enqueue()
    none = told.using(metadata={}).enqueue()
    app.work(burst=True)

    stored = {"customer": 7, "when": "2027-01-01T00:00:00Z"}
    assert job.refresh().metadata == stored
    assert job.result == [stored, ["b", "c"]]
    assert plain.refresh().result == [{"by": "default"}, ["a"]]
    assert (none.metadata, none.record.metadata) == ({}, None)
    assert app.list_jobs()[-1].metadata == stored


def test_job_classes_commands_and_schedules_carry_metadata(app: Liteq) -> None:
    @app.job(name="note", metadata={"from": "class"})
    class Note(Payload, frozen=True):
        def handle(self, ctx: JobContext) -> Any:
            return ctx.metadata

    job: Job[Any] = app.enqueue(Note())
    command = app.enqueue(app.command("true"), metadata={"why": "test"})
    app.schedule("s", every(hours=1), Note())
    ticked = app.trigger("s")
    app.work(burst=True)

    assert job.refresh().result == {"from": "class"}
    assert command.metadata == {"why": "test"}
    assert ticked.refresh().result == {"from": "class"}


@pytest.mark.parametrize("value", [5, "text", [1], None, {1: 2}, {None: 1}])
def test_metadata_that_is_no_dict_of_names_is_a_mistake_of_type(app: Liteq, value: Any) -> None:
    with pytest.raises(TypeError, match="metadata"):
        app.command("true").using(metadata=value)


def test_metadata_has_a_limit_and_must_be_json(app: Liteq) -> None:
    call = app.command("true")
    call.using(metadata={"a": "x" * (16 * 1024 - 8)})
    with pytest.raises(PayloadTooLarge, match=r"limit is 16,384$"):
        call.using(metadata={"a": "x" * (16 * 1024 - 7)})
    with pytest.raises(PayloadNotSerializable, match="metadata"):
        call.using(metadata={"a": float("nan")})


def test_a_replaced_job_takes_the_newcomers_metadata(app: Liteq) -> None:
    call = app.command("true").using(unique_key="k", on_conflict="replace", delay=60)
    job = app.enqueue(call, metadata={"n": 1})
    app.enqueue(call, metadata={"n": 2})

    assert job.refresh().metadata == {"n": 2}
