"""Connect to a server, or say in one sentence why there is no connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy.engine import URL

from .._compat import UnwatchedConnection
from ..embedded.parameters import ignore_environment, is_embedded
from ..errors import ServerError
from .session import check_pooling, settle

#: Seconds after which a connection attempt is given up.
CONNECT_TIMEOUT = 10

#: Parts of the messages of a server that has no connection left for this role or database.
_FULL = ("too many clients", "too many connections", "connection slots are reserved")

#: Variables that libpq reads although every parameter is given.
_UNAVOIDABLE = (
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PGDATESTYLE",
    "PGTZ",
    "PGGEQO",
)

Connection = psycopg.Connection[tuple[Any, ...]]


def connect(url: URL, *, setting: str, database: str | None = None) -> Connection:
    """Return a psycopg connection in autocommit mode, which no setting of others disturbs.

    :param url: URL of the server; its query is passed to libpq (TLS and other options).
    :param setting: where the URL was found, for the message.
    :param database: name of the database; by default that of the URL.
    :raises ServerError: the connection failed. The message does not contain the password.
    """
    parameters = connect_parameters(url)
    parameters.setdefault("connect_timeout", CONNECT_TIMEOUT)
    parameters.setdefault("application_name", "flask-testbed")
    # Whatever the environment, the role and the database say.
    parameters["client_encoding"] = "UTF8"
    if database is not None:
        parameters["dbname"] = database
    ignore_environment(parameters)
    try:
        connection = _connect(parameters)
        with closed_on_error(connection):
            if is_embedded(parameters):
                _check_socket(connection, parameters["host"])
            else:
                check_pooling(connection, lambda: _connect(parameters), address(url))
            settle(connection)
    # ProgrammingError: libpq does not know an option. UnicodeError: a host name cannot be encoded.
    except (psycopg.Error, UnicodeError, ValueError) as error:
        raise ServerError(
            f"Cannot connect to PostgreSQL at {address(url)} ({setting}): {reason(error)}."
            f" {_way_out(reason(error), parameters)}"
        ) from error
    return connection


@contextmanager
def closed_on_error(connection: Connection) -> Iterator[None]:
    """Close a connection if the block raises an error."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _connect(parameters: dict[str, Any]) -> Connection:
    return UnwatchedConnection.connect(autocommit=True, **parameters)


def _check_socket(connection: Connection, folder: str) -> None:
    """Refuse a connection that was not made through the socket in a folder.

    :raises ServerError: says where it leads.
    """
    if connection.info.host != folder or connection.info.hostaddr:
        where = connection.info.hostaddr or connection.info.host
        raise ServerError(
            f"The connection to the embedded server in {folder} leads to {where}. Unset the"
            " environment variables of libpq, whose names begin with PG."
        )


def _way_out(said: str, parameters: dict[str, Any]) -> str:
    """Return what to do about a failed connection, for the message."""
    found = [name for name in _UNAVOIDABLE if name in os.environ]
    if found and is_embedded(parameters):
        return (
            f"libpq reads these environment variables for every connection: {', '.join(found)}."
            " Unset them, or correct what they say."
        )
    if any(words in said for words in _FULL):
        return (
            "Run with fewer workers (-n), let other programs disconnect, or raise the server's"
            " max_connections."
        )
    return (
        "Check that the server runs and that the URL's host, port, user, password and database"
        " are right."
    )


def connect_parameters(url: URL) -> dict[str, Any]:
    """Return a URL as parameters of libpq.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    """
    _, parameters = url.get_dialect()().create_connect_args(url)
    return dict(parameters)


def address(url: URL) -> str:
    """Return host and port of a server, for a message: neither user nor password."""
    host = url.host or url.query.get("host") or "the local socket"
    return f"{host}:{url.port}" if url.port else str(host)


def without_secrets(url: URL) -> str:
    """Return a URL for a message, with ``***`` in place of each password, also in the query."""
    query = {key: "***" if _is_secret(key) else value for key, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def _is_secret(key: str) -> bool:
    """Return whether the value of a parameter of libpq must not be shown.

    These are ``password``, ``sslpassword``, ``oauth_client_secret``, ``scram_client_key`` and
    ``scram_server_key``; the others that end in "key" name files.
    """
    return any(word in key.lower() for word in ("password", "secret", "scram"))


def shown(url: URL) -> str:
    """Return a URL that PostgreSQL's tools accept, without passwords."""
    # set() would ignore password=None, so it is removed below.
    public = {key: value for key, value in url.query.items() if not _is_secret(key)}
    bare = url.set(drivername="postgresql", query=public)
    # libpq does not read "+" as a space.
    return bare._replace(password=None).render_as_string().replace("+", "%20")


def reason(error: BaseException) -> str:
    """Return the message of the server or of libpq, without its prefix, in one line."""
    line = next((line for line in str(error).splitlines() if line.strip()), "no answer")
    # libpq's prefixes are: 'connection to server at "…", port … failed: FATAL:  …'.
    said = line.split(" failed: ")[-1].split("FATAL:")[-1]
    return said.strip().rstrip(".")
