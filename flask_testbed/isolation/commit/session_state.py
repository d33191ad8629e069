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
    """The connections whose sessions are not as they were when they were made."""

    def __init__(self) -> None:
        self._changed: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self._watched: dict[type[Any], type[Any]] = {}

    def __bool__(self) -> bool:
        """Whether a session was changed."""
        return bool(self._changed)

    def watch(self, parameters: dict[str, Any]) -> None:
        """Change the parameters of a connection that is about to be made: it is watched."""
        wanted = parameters.get("cursor_factory") or psycopg.Cursor
        if issubclass(wanted, _Watched):
            return
        if wanted not in self._watched:
            members = {"changed": self._changed, "__module__": wanted.__module__}
            self._watched[wanted] = type(wanted.__name__, (_Watched, wanted), members)
        parameters["cursor_factory"] = self._watched[wanted]

    def forget(self, connection: psycopg.Connection[Any]) -> bool:
        """Take what was changed in a session for its first state; return whether it was changed."""
        changed = connection in self._changed
        self._changed.discard(connection)
        return changed


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
