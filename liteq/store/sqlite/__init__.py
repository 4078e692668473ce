"""The engine that keeps jobs in one SQLite file. Where its file locks cannot work, the import is refused."""

from liteq.store.sqlite.platform import refuse_unsupported_platform

# Before any module of this package imports fcntl, which Windows lacks.
refuse_unsupported_platform()
