"""The connection parameters of embedded servers, which no environment variable can change."""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Any

from psycopg import pq

from .folders import TEMPORARY

PORT = "5432"

# The folders that EmbeddedServer.sockets may return.
_SOCKETS = re.compile(
    rf"/.*/(postgres/(development|test)|[0-9a-f]{{12}})/sockets/*|{TEMPORARY}/flask-testbed-\d+/\w{{12}}/*"
)

# What libpq would look for in a service file and in the environment, unless it is given. Given and
# empty is given. Each value is libpq's own default, or means it; none matters for a socket.
# https://www.postgresql.org/docs/current/libpq-envars.html
_FIXED = {
    "hostaddr": "",
    "channel_binding": "prefer",
    "sslmode": "disable",
    "sslnegotiation": "postgres",
    "sslcompression": "0",
    "sslcert": "",
    "sslkey": "",
    "sslpassword": "",
    "sslcertmode": "allow",
    "sslrootcert": "",
    "sslcrl": "",
    "sslcrldir": "",
    "sslsni": "1",
    "requirepeer": "",
    "require_auth": "",
    "min_protocol_version": "3.0",
    "max_protocol_version": "3.0",
    "ssl_min_protocol_version": "TLSv1.2",
    "ssl_max_protocol_version": "",
    "gssencmode": "disable",
    "krbsrvname": "postgres",
    "gsslib": "",
    "gssdelegation": "0",
    "replication": "",
    "target_session_attrs": "any",
    "load_balance_hosts": "disable",
}

# The same, where an application may say otherwise.
_DEFAULTS = {
    "user": "postgres",
    "password": "",
    "dbname": "postgres",
    "port": PORT,
    "connect_timeout": "10",
    "client_encoding": "",
    "options": "",
}


def is_embedded(parameters: dict[str, Any]) -> bool:
    """Whether parameters of libpq lead to an embedded server, of whatever project."""
    return _SOCKETS.fullmatch(str(parameters.get("host") or "")) is not None


def shield(parameters: dict[str, Any]) -> None:
    """Let no environment variable and no file change a connection to an embedded server.

    Do nothing if the connection is to another server.

    :param parameters: those of the connection, which are changed.
    """
    if not is_embedded(parameters):
        return
    parameters.pop("service", None)
    # A file that is not there; an empty name would be that of ~/.pgpass.
    fixed = _FIXED | {"passfile": f"{parameters['host']}/passwords"}
    known = _known_parameters()
    parameters.update({key: value for key, value in fixed.items() if key in known})
    for key, value in _DEFAULTS.items():
        parameters.setdefault(key, value)


@cache
def _known_parameters() -> set[str]:
    """The names of the parameters that this version of libpq has."""
    return {option.keyword.decode() for option in pq.Conninfo.get_defaults()}


def environment_without_libpq() -> dict[str, str]:
    """The environment without the variables that libpq, or a server that is started, would read."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}
