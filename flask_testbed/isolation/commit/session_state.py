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
        self._changed: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self._cursor_classes: dict[type[Any], type[Any]] = {}

    def __repr__(self) -> str:
        return f"<SessionChanges: {len(self._changed)} connections>"

    def __bool__(self) -> bool:
        """Whether a session was changed."""
        return bool(self._changed)

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

    def forget(self, connection: psycopg.Connection[Any]) -> bool:
        """Return whether a session was changed, and take it for unchanged from now on."""
        changed = connection in self._changed
        self._changed.discard(connection)
        return changed


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
