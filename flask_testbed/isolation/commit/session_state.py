"""What a test changes in its sessions: settings, locks, prepared statements, temporary tables.

A pooled connection outlives the test. One that was changed is closed after the test, and its pool
makes another when one is checked out; all others stay as they are. What a statement changes in the
server is told from its text, and what is changed in the driver's connection from its attributes.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import psycopg
from psycopg import sql

from ..._compat import ClientState, client_state, keep_adapters, listen_to_statements
from ..statements import effects_of

Connection = psycopg.Connection[Any]


class SessionChanges:
    """The connections whose sessions were changed since they have been watched."""

    def __init__(self) -> None:
        self._watched: WeakKeyDictionary[Connection, ClientState] = WeakKeyDictionary()
        self._changed: WeakSet[Connection] = WeakSet()

    def __repr__(self) -> str:
        return f"<SessionChanges: {len(self._changed)} of {len(self._watched)} connections>"

    def watch(self, connection: Connection) -> None:
        """Watch a connection from now on, and take it for unchanged."""
        listen_to_statements(self._note)
        self._changed.discard(connection)
        keep_adapters(connection)
        self._watched[connection] = client_state(connection)

    def is_changed(self, connection: Connection) -> bool:
        """Return whether a session was changed."""
        as_new = self._watched.get(connection)
        return connection in self._changed or (
            as_new is not None and client_state(connection) != as_new
        )

    def _note(self, cursor: Any, query: Any) -> None:
        """Note that a statement changes its session."""
        connection = cursor.connection
        if query is None or connection not in self._watched:
            return
        # A server cursor may outlive its transaction.
        if getattr(cursor, "withhold", False) or _changes_session(query, connection):
            self._changed.add(connection)


#: The changes in this process, in which each statement of psycopg's is noted.
session_changes = SessionChanges()


def _changes_session(query: Any, connection: Connection) -> bool:
    text = query.as_string(connection) if isinstance(query, sql.Composable) else query
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    # In doubt it does: the server would have to be asked.
    return not isinstance(text, str) or effects_of(text).session
