"""Transactions of the engine's verbs, and those in which an application's code runs between them."""

import inspect
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from threading import get_ident
from types import FrameType

from liteq.errors import StorageError
from liteq.store.sqlite.application_sql import ApplicationSql, constraint_behind
from liteq.store.sqlite.file import JobFile

_ROOM = __name__.rpartition(".")[0]


class Transacting:
    """The verbs by which several writes become one commit."""

    file: JobFile
    application: ApplicationSql

    def transaction(self) -> AbstractContextManager[None]:
        return self._joined() if self.application.thread == get_ident() else self.file.writer.transaction()

    def in_transaction(self) -> bool:
        return self.file.writer.holds()

    def busy_here(self) -> bool:
        """Tell whether the calling thread is inside the engine, where nothing may interrupt it."""
        if not self.file.inside.here():
            return False
        if self.application.thread != get_ident() or self.application.joined:
            return True
        here = inspect.currentframe()
        return here is None or _engine_runs(here.f_back)

    @contextmanager
    def application_transaction(self) -> Generator[ApplicationSql]:
        if self.in_transaction() and self.application.thread == get_ident():
            with self._savepoint():
                yield self.application
            return
        ended = False
        try:
            with self.file.writer.transaction():
                with self._opened():
                    yield self.application
                ended = True
        except StorageError as error:
            failed = constraint_behind(error) if ended else None
            if failed is None:
                raise
            raise failed from error.__cause__

    @contextmanager
    def _joined(self) -> Generator[None]:
        """Join the application's block. What runs several verbs as one is not the application, and not interrupted."""
        self.application.joined += 1
        try:
            yield
        finally:
            self.application.joined -= 1

    @contextmanager
    def _opened(self) -> Generator[None]:
        try:
            self.application.open()
            yield
            self.application.check_end()
            self.application.close()
        except BaseException:
            # Also where an interrupt struck while it was being closed.
            self.application.close()
            raise

    @contextmanager
    def _savepoint(self) -> Generator[None]:
        writer = self.file.writer
        plain = writer.connection.plain
        plain("SAVEPOINT block")
        try:
            yield
            writer.refuse_when_lost()
        except BaseException:
            if writer.connection.in_transaction():
                plain("ROLLBACK TO block")
                plain("RELEASE block")
                # What verbs remember of the file may be of what was just undone.
                writer.epoch += 1
            raise
        plain("RELEASE block")


def _engine_runs(frame: FrameType | None) -> bool:
    """Tell whether what runs above an application's code is the engine, or the handing over between the two.

    An exception raised there could leave half a verb behind, or a block that was entered and will not be left.
    """
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.startswith(_ROOM):
            return True
        if module == "contextlib" and frame.f_code.co_name in {"__enter__", "__exit__"}:
            return True
        frame = frame.f_back
    return False
