"""What the engine uses of other libraries although it is private or not documented.

There is a section for each library. Each entry names the version that it was seen in, and
``tests/test_compat.py`` tests that it is there.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar
from weakref import ref

import psycopg
from psycopg import errors, pq
from psycopg.adapt import AdaptersMap

T = TypeVar("T")

# psycopg


class BorrowingConnection(psycopg.Connection[Any]):
    """A connection whose libpq connection belongs to another one. psycopg 3.3.

    psycopg offers no such thing: a connection closes the libpq connection that it was made with.
    So the private attributes and methods that lead to it are overridden here, and what a subclass
    needs of the others has a public name.

    :param lender: the owner of the libpq connection at first; a subclass says who it is now.
    :param parameters: those of :func:`psycopg.connect` that are not for the server.
    """

    def __init__(self, lender: psycopg.Connection[Any], parameters: dict[str, Any]) -> None:
        super().__init__(lender.pgconn)
        self._autocommit = bool(parameters.get("autocommit", False))
        self.prepare_threshold = parameters.get("prepare_threshold", 5)
        self.row_factory = parameters.get("row_factory") or self.row_factory
        self.cursor_factory = parameters.get("cursor_factory") or self.cursor_factory
        if parameters.get("context") is not None:
            self._adapters = AdaptersMap(parameters["context"].adapters)

    def __del__(self, *_: Any) -> None:
        """Do nothing: closing the libpq connection here would end the transaction of the owner."""

    @property
    def lender(self) -> psycopg.Connection[Any]:
        """The owner of the libpq connection. It is looked up each time, since it is replaced."""
        raise NotImplementedError

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction of this connection is open."""
        raise NotImplementedError

    @property
    def pgconn(self) -> pq.abc.PGconn:
        """The libpq connection."""
        return self.lender.pgconn

    @pgconn.setter
    def pgconn(self, value: pq.abc.PGconn) -> None:
        pass

    @property
    def _prepared(self) -> Any:
        return self.lender._prepared

    @_prepared.setter
    def _prepared(self, value: Any) -> None:
        pass

    @property
    def closed(self) -> bool:
        """Whether this connection was closed, or the libpq connection has been lost."""
        return self._closed or super().closed

    @property
    def was_closed(self) -> bool:
        """Whether this connection was closed, whatever has become of the libpq connection."""
        return self._closed

    @was_closed.setter
    def was_closed(self, value: bool) -> None:
        self._closed = value

    @property
    def in_block(self) -> bool:
        """Whether a block of :meth:`transaction` is open."""
        return bool(self._num_transactions)

    def check_open(self) -> None:
        """Refuse to go on if this connection was closed.

        A libpq connection that is lost is reported elsewhere: SQLAlchemy would take the error from
        here for one that it can recover from.
        """
        self._check_connection_ok()

    def receive_notices(self) -> None:
        """Have the notices of the server from now on handled by this connection."""
        self.pgconn.notice_handler = partial(psycopg.Connection._notice_handler, ref(self))

    def _check_connection_ok(self) -> None:
        if self._closed:
            raise errors.OperationalError("the connection is closed")

    def _check_intrans_gen(self, attribute: str) -> Any:
        if self.in_transaction:
            raise errors.ProgrammingError(
                f"can't change {attribute!r} now: connection in transaction status INTRANS"
            )
        yield from ()


def forget_prepared(connection: psycopg.Connection[Any]) -> None:
    """Forget what was prepared, as a rollback of psycopg's own does. psycopg 3.3."""
    connection._prepared.clear()


# Werkzeug


def unproxied(proxy: T) -> T:
    """Return the object that a proxy such as ``current_app`` stands for.

    ``LocalProxy._get_current_object`` is documented, but type checkers do not see it. Werkzeug 3.1.
    """
    found: T = proxy._get_current_object()  # type: ignore[attr-defined]
    return found
