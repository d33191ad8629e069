"""Which database a connection leads to, however it was addressed.

Two addresses that look different may lead to one database: by a service file, a variable of the
environment, a second host, a proxy or a replica. So each server is asked which one it is.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from psycopg import errors
from sqlalchemy.engine import URL

from ..errors import ServerError
from .connecting import Connection, connect

#: Seconds after which an attempt to connect is given up; libpq allows no less than two.
CONNECT_TIMEOUT = 2


@dataclass(frozen=True)
class Identity:
    """What identifies a database."""

    server: frozenset[str]
    """What identifies its server. Two servers are the same if they have any of these in common."""

    oid: int
    """The number of the database on its server."""


def identity_of(connection: Connection) -> Identity:
    """Return the identity of the database that a connection in autocommit mode leads to."""
    row = connection.execute(
        "SELECT extract(epoch FROM pg_postmaster_start_time())::text,"
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchone()
    assert row is not None
    server = {f"started at {row[0]}"}
    try:
        # It is the same on a replica. An administrator may have revoked the right to read it.
        system = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
        server.add(f"system {system and system[0]}")
    except errors.InsufficientPrivilege:
        pass
    return Identity(frozenset(server), row[1])


def find_identity(url: URL, setting: str) -> Identity | None:
    """Connect to a database, and return its identity; None if that fails.

    :param setting: where the URL was found.
    """
    bounded = url.update_query_dict({"connect_timeout": str(CONNECT_TIMEOUT)})
    try:
        with closing(connect(bounded, setting=setting)) as connection:
            return identity_of(connection)
    except (ServerError, errors.Error):
        return None
