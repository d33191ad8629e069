"""What a test changes in its sessions: settings, locks, prepared statements, temporary tables.

A pooled connection outlives the test. One whose session was changed is closed after the test, and
its pool makes another when one is checked out; all others stay as they are.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import psycopg
from psycopg import sql

from ..statements import effects_of


class SessionChanges:
    """The connections to a test database whose sessions were changed since they were made."""

    def __init__(self) -> None:
        self._known: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self._changed: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self._closed: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self._cursor_classes: dict[type[Any], type[Any]] = {}

    def __repr__(self) -> str:
        return f"<SessionChanges: {len(self._changed)} of {len(self._known)} connections>"

    def watch(self, parameters: dict[str, Any]) -> None:
        """Watch a connection that is about to be made with these parameters.

        Its cursors are of a subclass of the ``cursor_factory``.
        """
        wanted = parameters.get("cursor_factory") or psycopg.Cursor
        if issubclass(wanted, _WatchedCursor):
            return
        if wanted not in self._cursor_classes:
            members = {"changed": self._changed, "__module__": wanted.__module__}
            watched = type(wanted.__name__, (_WatchedCursor, wanted), members)
            self._cursor_classes[wanted] = watched
        parameters["cursor_factory"] = self._cursor_classes[wanted]

    def taken(self, connection: psycopg.Connection[Any]) -> None:
        """Note that a connection is checked out of its pool."""
        if connection not in self._known:
            # What the pool's listeners have set for a new connection is part of it.
            self._known.add(connection)
            self._changed.discard(connection)

    def was_closed(self, connection: psycopg.Connection[Any]) -> bool:
        """Return whether :meth:`close` has closed a connection."""
        return connection in self._closed

    def close(self, in_use: WeakSet[psycopg.Connection[Any]]) -> None:
        """Close the changed connections, except those that are in use."""
        for connection in list(self._changed):
            if connection not in in_use:
                connection.close()
                self._closed.add(connection)
                self._changed.discard(connection)


class _WatchedCursor:
    """A cursor that notes that a statement changes its session.

    It is a base of a class before one of psycopg's cursor classes.
    """

    connection: psycopg.Connection[Any]
    changed: WeakSet[psycopg.Connection[Any]]

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        text = query.as_string(self.connection) if isinstance(query, sql.Composable) else query
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        if isinstance(text, str) and effects_of(text).session:
            self.changed.add(self.connection)
        return super().execute(query, params, **options)  # type: ignore[misc]
