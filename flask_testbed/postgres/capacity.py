"""Whether a server has enough connections for the workers of pytest-xdist."""

from __future__ import annotations

from ..errors import ServerError
from .connecting import address
from .server import Server

#: Connections that each process needs: for maintenance, for resets and for the application.
CONNECTIONS = 3


def check_capacity(server: Server, processes: int) -> None:
    """Refuse to begin with more processes than the server has connections for.

    :param processes: number of processes, each of which needs :data:`CONNECTIONS` at least.
    :raises ServerError: says how many processes there may be.
    """
    if processes == 1:
        return
    row = server.execute(
        "SELECT least(current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - coalesce(current_setting('reserved_connections', true), '0')::int,"
        " (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user))"
    ).fetchone()
    limit = row[0] if row else 0
    if processes * CONNECTIONS > limit:
        raise ServerError(
            f"The server at {address(server.url)} takes {limit} connections, and {processes}"
            f" workers need {processes * CONNECTIONS}. Run with -n {limit // CONNECTIONS}, or"
            " raise the server's max_connections (or the role's CONNECTION LIMIT)."
        )
