"""Whether an application is being imported only to be found: then its module must not write."""

from contextvars import ContextVar

from liteq.errors import InvalidOption

importing: ContextVar[str | None] = ContextVar("liteq_importing", default=None)
"""The module that is being imported only to find its app: enqueueing there would be repeated by every worker."""


def refuse_while_importing() -> None:
    """Refuse to enqueue while a command imports the application: every worker would enqueue again."""
    named = importing.get()
    if named is not None:
        raise InvalidOption(
            f"{named} enqueues while it is imported; put that behind the line: if __name__ == '__main__':"
        )
