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

Refusal = Callable[[psycopg.Error], Exception]


@dataclass
class _UnderWay:
    """A COPY that is not finished."""

    copy: Any
    last: ExitStack
    refusal: Refusal


class Wire:
    """Sends rows without waiting for the server to have read them.

    libpq keeps what the server does not take yet, and `pump` sends more of it. Whatever else is
    about to be sent on the connection waits until the COPY is finished: through SQLAlchemy by
    itself, through `driver` by `finish`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._driver: Any = connection.connection.driver_connection
        self._under_way: _UnderWay | None = None

    def __enter__(self) -> Wire:
        event.listen(self.connection, "before_cursor_execute", self._make_way)
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
            event.remove(self.connection, "before_cursor_execute", self._make_way)

    @property
    def driver(self) -> Any:
        """The connection of psycopg, when no COPY is under way."""
        self.finish()
        return self._driver

    def copy(self, statement: sql.Composed, rows: Iterable[bytes], refusal: Refusal) -> None:
        """Send rows in binary.

        :param refusal: what to raise, now or at the next use, if the server refuses one of them.
        """
        last = ExitStack()
        try:
            cursor = last.enter_context(self.driver.cursor())
            copy = last.enter_context(cursor.copy(statement))
            copy.write(_SIGNATURE)
        except psycopg.Error as error:
            raise refusal(error) from error
        self._under_way = _UnderWay(copy, last, refusal)
        for data in rows:
            if not self._driver.pgconn.put_copy_data(data):
                copy.write(data)  # there is no memory to keep it in
        self.pump()

    def pump(self) -> None:
        """Send as much as the server takes without waiting for it."""
        if self._under_way is not None:
            # What goes wrong is said again at the end.
            with contextlib.suppress(psycopg.Error):
                self._driver.pgconn.flush()

    def finish(self) -> None:
        """Wait until the server has all rows, and has accepted them."""
        under_way, self._under_way = self._under_way, None
        if under_way is None:
            return
        try:
            with under_way.last:
                under_way.copy.write(_END)
        except psycopg.Error as error:
            raise under_way.refusal(error) from error

    def _abandon(
        self,
        kind: type[BaseException] | None,
        error: BaseException,
        traceback: TracebackType | None,
    ) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            with contextlib.suppress(BaseException):
                under_way.last.__exit__(kind, error, traceback)

    def _make_way(self, *_: Any) -> None:
        self.finish()
