"""What a test leaves in its sessions: settings, locks, temporary tables.

A pooled connection outlives the test. One that has been changed is closed after it, and the pool
makes another when it is asked for one; all others stay as they are.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import psycopg
from psycopg import sql

from ..statements import effects_of


class SessionChanges:
    """Which connections to a test database are not as they were when they were made."""

    def __init__(self) -> None:
        self._known: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self._changed: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self._closed: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self._watched: dict[type[Any], type[Any]] = {}

    def watch(self, parameters: dict[str, Any]) -> None:
        """Change the parameters of a connection that is about to be made: it will be watched."""
        wanted = parameters.get("cursor_factory") or psycopg.Cursor
        if issubclass(wanted, _Watched):
            return
        if wanted not in self._watched:
            members = {"changed": self._changed, "__module__": wanted.__module__}
            self._watched[wanted] = type(wanted.__name__, (_Watched, wanted), members)
        parameters["cursor_factory"] = self._watched[wanted]

    def taken(self, connection: psycopg.Connection[Any]) -> None:
        """Note that a connection leaves its pool."""
        if connection not in self._known:
            # What was set when it was made belongs to it.
            self._known.add(connection)
            self._changed.discard(connection)

    def was_closed(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether :meth:`close` has closed it."""
        return connection in self._closed

    def close(self, in_use: WeakSet[psycopg.Connection[Any]]) -> None:
        """Close the connections that were changed, but those that somebody still uses."""
        for connection in list(self._changed):
            if connection not in in_use:
                connection.close()
                self._closed.add(connection)
                self._changed.discard(connection)


class _Watched:
    """A cursor that notes what changes its session. Before a class of psycopg's in the bases."""

    _conn: psycopg.Connection[Any]
    changed: WeakSet[psycopg.Connection[Any]]

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        text = query.as_string(self._conn) if isinstance(query, sql.Composable) else query
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        if isinstance(text, str) and effects_of(text).session:
            self.changed.add(self._conn)
        return super().execute(query, params, **options)  # type: ignore[misc]
