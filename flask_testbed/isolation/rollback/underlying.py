"""The underlying connection of psycopg, as :mod:`.transaction` needs it from a driver."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors, pq

from ..._compat import UnwatchedConnection, forget_prepared
from ...postgres.session import disable_timeouts

_IN_ERROR = pq.TransactionStatus.INERROR
_ACTIVE = pq.TransactionStatus.ACTIVE


class Underlying:
    """The connection of psycopg that all others of a test share."""

    error: type[Exception] = psycopg.Error

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.connection: psycopg.Connection[Any] = UnwatchedConnection.connect(
            **parameters, autocommit=True
        )
        disable_timeouts(self.connection)

    @property
    def _encoding(self) -> str:
        """The encoding of the session, for which psycopg says ASCII if the server does not know."""
        encoding = self.connection.info.encoding
        return "utf-8" if encoding == "ascii" else encoding

    def _encoded(self, text: str) -> bytes:
        return text.encode() if text.isascii() else text.encode(self._encoding)

    @property
    def closed(self) -> bool:
        """Whether it was closed or has been lost."""
        return self.connection.closed

    @property
    def in_error(self) -> bool:
        """Whether the server waits for a rollback."""
        return self.connection.pgconn.transaction_status == _IN_ERROR

    @property
    def busy(self) -> bool:
        """Whether a COPY is in progress."""
        return self.connection.pgconn.transaction_status == _ACTIVE

    def send(self, commands: list[str]) -> str | None:
        """Send commands in one round trip, and return the first value of the last result."""
        result = self.connection.pgconn.exec_(self._encoded("; ".join(commands)))
        if result.status == pq.ExecStatus.COMMAND_OK:
            return None
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise errors.error_from_result(result)
        value = result.get_value(0, 0)
        return value.decode(self._encoding) if value is not None else None

    def query(self, statement: str) -> list[Any]:
        """Return the rows of a query."""
        return self.connection.execute(self._encoded(statement)).fetchall()

    def forget_prepared(self) -> None:
        """Forget the statements that psycopg has prepared: the schema has changed."""
        forget_prepared(self.connection)

    def cancel(self) -> None:
        """Cancel the statement that a thread waits for."""
        self.connection.cancel()

    def close(self) -> None:
        """Disconnect."""
        self.connection.close()
