"""Sessions of the testbed's own: no setting of the server, a database or a role disturbs them.

A pooler between the testbed and the server must leave a session to one connection, since locks and
settings belong to sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
from psycopg import errors

from ..errors import ServerError

AnyConnection = psycopg.Connection[Any]

# What an administrator, ALTER ROLE … SET, ALTER DATABASE … SET or the options of a URL may have set
# to another value. search_path is not among these: constraints and triggers of the application may
# need it.

#: Seconds after which a session of the testbed stops waiting for a lock.
LOCK_TIMEOUT = 600

#: Nothing is disconnected after some time.
_NO_END = {
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
}

#: Values are written and read alike in all databases.
_TEXT = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "xmloption": "content",
}

_OWN = {
    "statement_timeout": "0",
    # No lock is waited for without an end.
    "lock_timeout": f"{LOCK_TIMEOUT}s",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # A commit does not wait for a standby.
    "synchronous_commit": "local",
    # An error ends a statement, not the session.
    "exit_on_error": "off",
    # What statements mean.
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "row_security": "on",
}

#: The first version of the server that has a setting, if it is not older than all that are used.
_SINCE = {"transaction_timeout": 170000}

#: How often two connections are compared, since a pooler exchanges sessions as it likes.
_ATTEMPTS = 3


def settle(connection: AnyConnection) -> None:
    """Set everything that the testbed's own work relies on, in one round trip."""
    _set(connection, _OWN | _NO_END | _TEXT)


def disable_timeouts(connection: AnyConnection) -> None:
    """Let the server not disconnect a session of the application's, however long a test takes."""
    # A session in which nothing is set stays as the application knows it.
    connection.execute(
        "SELECT CASE WHEN current_setting(name, true) <> '0' THEN set_config(name, '0', false) END"
        " FROM unnest(%s::text[]) AS name",
        [list(_NO_END)],
        prepare=False,
    )


def format_values(connection: AnyConnection) -> None:
    """Let a transaction of the application's write values as the testbed's own sessions do."""
    _set(connection, _TEXT, "SET LOCAL")


def _set(connection: AnyConnection, settings: dict[str, str], command: str = "SET") -> None:
    version = connection.info.server_version
    known = {key: settings[key] for key in settings if version >= _SINCE.get(key, 0)}
    connection.execute("; ".join(f"{command} {key} = '{known[key]}'" for key in known).encode())


def is_pooled(connection: AnyConnection) -> bool:
    """Return whether there is a pooler between a connection and the server."""
    # A pooler invents the number that it gives a connection for cancelling statements.
    return _session_of(connection) != connection.info.backend_pid


def check_pooling(
    connection: AnyConnection, connect: Callable[[], AnyConnection], where: str
) -> None:
    """Refuse a pooler that gives a connection another session for each transaction.

    :param connect: returns another connection like this one.
    :param where: the address, for the message.
    :raises ServerError: there is one.
    """
    if not is_pooled(connection):
        return
    with closing(connect()) as other:
        if any(_share_session(connection, other) for _ in range(_ATTEMPTS)):
            raise ServerError(
                f"At {where} a connection pooler answers, which gives each transaction another"
                " session of the server. The testbed's locks and settings belong to sessions."
                " Name the server itself, or a pool that keeps a session for each connection"
                " (pool_mode = session in PgBouncer)."
            )


def _share_session(connection: AnyConnection, other: AnyConnection) -> bool:
    """Return whether a session was moved from one connection to the other, or exchanged."""
    before = _session_of(connection)
    try:
        # While this transaction is open, no other connection can have its session.
        with other.transaction():
            return _session_of(other) == before or _session_of(connection) != before
    except errors.ProtocolViolation:
        return True  # each statement has another session, and there is no transaction


def _session_of(connection: AnyConnection) -> int:
    [(number,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
    return int(number)
