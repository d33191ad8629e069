"""Cursors of psycopg that announce each statement to their connection before it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, Protocol

import psycopg

from ..._compat import BorrowingConnection
from .refusal import refusal


class Announced(Protocol):
    """A connection that is told of each statement before it is sent."""

    def statement(
        self, query: Any, parameters: Any = None, *, declares: bool = False
    ) -> AbstractContextManager[None]:
        """Hold the connection for a statement until it has ended."""


class _Watched:
    """Announces what is about to be sent. It stands before a class of psycopg in the bases."""

    connection: Announced

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        with self.connection.statement(query, params):
            return super().execute(query, params, **options)  # type: ignore[misc]

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        with self.connection.statement(query):
            super().executemany(query, params_seq, **options)  # type: ignore[misc]

    def stream(self, query: Any, params: Any = None, **options: Any) -> Iterator[Any]:
        with self.connection.statement(query, params):
            yield from super().stream(query, params, **options)  # type: ignore[misc]

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **options: Any) -> Iterator[Any]:
        with (
            self.connection.statement(statement, params),
            super().copy(statement, params, **options) as copy,  # type: ignore[misc]
        ):
            yield copy


class _WatchedServerCursor:
    """The same for a cursor in the server, which is opened by one statement."""

    connection: Announced

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        with self.connection.statement(query, params, declares=True):
            return super().execute(query, params, **options)  # type: ignore[misc]


def refuse_unwatched(cursor: Any, _: Any) -> None:
    """Refuse a statement of a cursor that announces none to its connection.

    :raises IsolationError: the cursor was made by its class, and not by ``connection.cursor()``.
    """
    connection = cursor.connection
    if isinstance(cursor, _Watched | _WatchedServerCursor):
        return
    # In a block of transaction(), as for TypeInfo.fetch(), the transaction has begun as a writer.
    if isinstance(connection, BorrowingConnection) and not connection.in_block:
        raise refusal(f"A {type(cursor).__name__} was made without connection.cursor().")


@cache
def watched(cursor: Any) -> type[Any]:
    """Return a class of cursors with the same name that announces its statements."""
    watcher = _WatchedServerCursor if issubclass(cursor, psycopg.ServerCursor) else _Watched
    return type(cursor.__name__, (watcher, cursor), {"__module__": cursor.__module__})
