"""The connection of a transaction, on which COPY goes on while further rows are evaluated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from struct import pack
from types import TracebackType
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, event

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + pack(">ii", 0, 0)
_END = pack(">h", -1)

#: Converts an error of the server into the error that is raised.
Explain = Callable[[psycopg.Error], Exception]


@dataclass
class _Copy:
    """A COPY that is not finished."""

    copy: Any
    open: ExitStack
    explain: Explain


class CopyConnection:
    """Sends rows without waiting for the server to read them.

    libpq buffers what the server does not accept yet, and `send` continues to send it. Every
    other statement on the connection waits until the COPY is finished: SQLAlchemy's by an event,
    those on `driver` because the property finishes it.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._driver: Any = connection.connection.driver_connection
        self._copy: _Copy | None = None

    def __repr__(self) -> str:
        state = "idle" if self._copy is None else "a COPY is not finished"
        return f"<{type(self).__name__} to {self.connection.engine.url!r}: {state}>"

    def __enter__(self) -> CopyConnection:
        event.listen(self.connection, "before_cursor_execute", self._before_statement)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.finish()
            else:
                self._abandon(kind, error, traceback)
        finally:
            event.remove(self.connection, "before_cursor_execute", self._before_statement)

    @property
    def driver(self) -> Any:
        """psycopg's connection, after a COPY that is not finished has been."""
        self.finish()
        return self._driver

    def copy(self, statement: sql.Composed, rows: Iterable[bytes], explain: Explain) -> None:
        """Send rows in the binary format.

        :param explain: returns the error to raise, now or when the COPY is finished, if the server
            refuses a row.
        """
        stack = ExitStack()
        try:
            cursor = stack.enter_context(self.driver.cursor())
            copy = stack.enter_context(cursor.copy(statement))
            copy.write(_SIGNATURE)
        except psycopg.Error as error:
            raise explain(error) from error
        self._copy = _Copy(copy, stack, explain)
        for data in rows:
            if not self._driver.pgconn.put_copy_data(data):
                copy.write(data)  # libpq has no memory to buffer it
        self.send()

    def send(self) -> None:
        """Send as much as the server accepts without waiting."""
        if self._copy is not None:
            # `finish` raises the same error.
            with contextlib.suppress(psycopg.Error):
                self._driver.pgconn.flush()

    def finish(self) -> None:
        """Wait until the server has accepted all rows."""
        copy, self._copy = self._copy, None
        if copy is None:
            return
        try:
            with copy.open:
                copy.copy.write(_END)
        except psycopg.Error as error:
            raise copy.explain(error) from error

    def _abandon(
        self,
        kind: type[BaseException] | None,
        error: BaseException,
        traceback: TracebackType | None,
    ) -> None:
        copy, self._copy = self._copy, None
        if copy is not None:
            with contextlib.suppress(BaseException):
                copy.open.__exit__(kind, error, traceback)

    def _before_statement(self, *_: Any) -> None:
        self.finish()
