"""The connection parameters of embedded servers, which no environment variable changes."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from psycopg import pq

from .places import PORT, is_socket_folder

# The parameters that libpq takes from a service file or the environment if they are not given. An
# empty value counts as given. Each value has the effect of libpq's default, and none matters for a
# socket.
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

# More of them, which an application may set to another value.
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
    """Return whether libpq parameters lead to an embedded server, of this or another project."""
    return is_socket_folder(str(parameters.get("host") or ""))


def ignore_environment(parameters: dict[str, Any]) -> None:
    """Set each parameter that libpq would otherwise read from the environment or from a file.

    The parameters of a connection to another server are left as they are.

    :param parameters: the connection's parameters, which are changed in place.
    """
    if not is_embedded(parameters):
        return
    parameters.pop("service", None)
    # This file does not exist. With an empty name, libpq would read ~/.pgpass.
    fixed = _FIXED | {"passfile": f"{parameters['host']}/passwords"}
    known = _known_parameters()
    parameters.update({key: value for key, value in fixed.items() if key in known})
    for key, value in _DEFAULTS.items():
        parameters.setdefault(key, value)


_NEEDED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")


@cache
def _known_parameters() -> set[str]:
    """Return the names of the parameters that the installed version of libpq knows."""
    return {option.keyword.decode() for option in pq.Conninfo.get_defaults()}


def environment_without_libpq() -> dict[str, str]:
    """Return the environment without the variables that libpq and PostgreSQL's programs read."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}


def server_environment() -> dict[str, str]:
    """Return the environment of a server: what programs need to run, and nothing of the caller's.

    Another account may run the server, and everything of that account can read its environment.
    """
    kept = {key: os.environ[key] for key in _NEEDED if key in os.environ}
    return {"LC_ALL": "C", **kept}
