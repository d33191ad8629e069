"""What a test must find: a database as it was made, and connections as they are when new."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.engine import URL, Engine
from sqlalchemy.pool import QueuePool

from flask_testbed._compat import UnwatchedConnection
from flask_testbed.postgres.connecting import connect_parameters

_CATALOGS = Path(__file__).with_name("contents.sql").read_text()

_RELATIONS = (
    "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = %s AND c.relpersistence <> 't'"
    " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'flask_testbed') ORDER BY 1"
)

#: What must not be there while nobody uses the database.
_OTHERS = {
    "open transactions": "SELECT pid, state, query FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
    " AND backend_type = 'client backend'",
    "prepared transactions": "SELECT gid FROM pg_prepared_xacts"
    " WHERE database = current_database()",
    "advisory locks": "SELECT pid, objid FROM pg_locks WHERE locktype = 'advisory'"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
}

#: What a session remembers that a new one does not have.
_SESSION = {
    # A transaction's own settings are set anew for the next.
    "settings": "SELECT name, setting FROM pg_settings WHERE source = 'session'"
    " AND left(name, 12) <> 'transaction_' ORDER BY 1",
    "temporary tables": "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()",
    "cursors": "SELECT name FROM pg_cursors WHERE is_holdable",
    "channels": "SELECT pg_listening_channels()",
    # psycopg's own are named _pg3_0, _pg3_1, …
    "prepared by hand": "SELECT name FROM pg_prepared_statements WHERE left(name, 5) <> '_pg3_'",
    "role": "SELECT current_user WHERE current_user <> session_user",
}

#: Attributes of a new connection of psycopg's, as SQLAlchemy makes it.
_AS_NEW = {
    "autocommit": False,
    "isolation_level": None,
    "read_only": None,
    "deferrable": None,
    "row_factory": psycopg.rows.tuple_row,
    "cursor_factory": psycopg.Cursor,
    "server_cursor_factory": psycopg.ServerCursor,
    "prepare_threshold": 5,
}


class Observer:
    """Looks at a database from outside, on a connection of its own.

    :param find_url: says where it is.
    """

    def __init__(self, find_url: Callable[[], URL]) -> None:
        self._find_url = find_url
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()

    def _rows(self, query: str | sql.Composed, *values: Any) -> list[Any]:
        for _ in range(2):
            if self._connection is None or self._connection.closed:
                parameters = connect_parameters(self._find_url())
                self._connection = UnwatchedConnection.connect(autocommit=True, **parameters)
            with suppress(psycopg.OperationalError):  # the database was cloned anew
                cursor = self._connection.execute(query, values or None)
                while cursor.nextset():
                    pass
                return cursor.fetchall()
        raise AssertionError("unreachable: the second connection is new")

    def spoil(self) -> None:
        """Change the schema."""
        self._rows("CREATE TABLE spoilt (); SELECT 1")

    def contents(self) -> dict[str, Any]:
        """All that the database holds outside the system's schemas and the engine's own."""
        found: dict[str, Any] = {"catalogs": self._rows(_CATALOGS)}
        found["tables"] = {
            name: sorted(map(repr, self._rows(_select("*", name)))) for name in self._names("r")
        }
        found["sequences"] = {
            name: self._rows(_select("last_value, is_called", name)) for name in self._names("S")
        }
        return found

    def _names(self, kind: str) -> list[str]:
        return [row[0] for row in self._rows(_RELATIONS, kind)]

    def left_over(self) -> dict[str, Any]:
        """What sessions hold while nobody uses the database: nothing, if all is in order."""
        found = {name: self._rows(query) for name, query in _OTHERS.items()}
        return {name: rows for name, rows in found.items() if rows}


def _select(columns: str, name: str) -> sql.Composed:
    # The name comes quoted from the catalogs.
    return sql.SQL("SELECT {} FROM {}").format(sql.SQL(columns), sql.SQL(name))


def remembered(engine: Engine) -> dict[str, Any]:
    """What the pooled connections remember of earlier tests: nothing, if all is in order."""
    pool = engine.pool
    pooled = pool.checkedin() if isinstance(pool, QueuePool) else 1
    connections = [engine.connect() for _ in range(max(pooled, 1))]
    found: dict[str, Any] = {}
    for connection in connections:
        with connection:
            for name, query in _SESSION.items():
                if rows := connection.exec_driver_sql(query).all():
                    found.setdefault(name, []).extend(map(tuple, rows))
            raw: Any = connection.connection.driver_connection
            if changed := [name for name, value in _AS_NEW.items() if getattr(raw, name) != value]:
                found.setdefault("attributes", []).extend(changed)
            if raw.adapters.types.get("of_a_test") is not None:
                found.setdefault("types", []).append("of_a_test")
    return found


def works(engine: Engine) -> bool:
    """Whether the application can write and read, and undo it again."""
    with engine.connect() as connection:
        connection.execute(sa.text("INSERT INTO seat (number) VALUES (1)"))
        seen: bool = connection.scalar(sa.text("SELECT count(*) FROM seat")) == 1
        connection.rollback()
    return seen
