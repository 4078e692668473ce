"""What a job is to be that somebody else makes later: a schedule at each tick, the end of a job or of a batch."""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from liteq.errors import Undecodable
from liteq.model.job import NewJob, Unique


class Template(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job that is to be made later, once or often: all of it but its time, from which ``delay_ms`` counts."""

    job: NewJob
    delay_ms: int = 0
    unique_ms: int | None = None

    def job_at(self, run_at: int, *, schedule_id: int | None = None, fire_at: int | None = None) -> NewJob:
        """Give the job, due at ``run_at`` and the template's own delay; of one tick where a schedule makes it."""
        due = run_at + self.delay_ms
        unique = self.job.unique
        if unique is not None and self.unique_ms is not None:
            unique = Unique(key=unique.key, scope="period", held_until=due + self.unique_ms, on_conflict="skip")
        return replace(self.job, run_at=due, unique=unique, schedule_id=schedule_id, fire_at=fire_at)

    def encode(self) -> bytes:
        """Give the template as JSON, for ``decode_template``."""
        return msgspec.json.encode(self)


_TEMPLATE = msgspec.json.Decoder(Template)


def decode_template(encoded: bytes) -> Template:
    """Give back what ``encode`` wrote. Raises Undecodable for anything else."""
    try:
        return _TEMPLATE.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Undecodable(f"the job that was to be made cannot be read: {error}") from error
