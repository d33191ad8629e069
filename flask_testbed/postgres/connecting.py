"""Connections to a server, and what it says when there is none, in one sentence."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from sqlalchemy.engine import URL

from ..embedded.parameters import ignore_environment, is_embedded
from ..errors import ServerError

#: Seconds to wait for a server that does not answer.
CONNECT_TIMEOUT = 10

#: What a server says that has no connection left, or none for this role or database.
_FULL = ("too many clients", "too many connections", "connection slots are reserved")

#: What libpq reads from the environment although every parameter is given.
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
    """Connect with psycopg, in autocommit mode.

    :param url: the server; its query is passed through to libpq (TLS and others).
    :param setting: where the URL was found, for the message.
    :param database: another database than the URL's.
    :raises ServerError: there is no connection; one sentence, without the password.
    """
    parameters = connect_parameters(url)
    parameters.setdefault("connect_timeout", CONNECT_TIMEOUT)
    parameters.setdefault("application_name", "flask-testbed")
    if database is not None:
        parameters["dbname"] = database
    ignore_environment(parameters)
    try:
        connection = psycopg.connect(autocommit=True, **parameters)
    # ProgrammingError: an option that libpq does not know; UnicodeError: no name of a host.
    except (psycopg.Error, UnicodeError, ValueError) as error:
        raise ServerError(
            f"Cannot connect to PostgreSQL at {address(url)} ({setting}): {reason(error)}."
            f" {_way_out(reason(error), parameters)}"
        ) from error
    if is_embedded(parameters):
        _check_socket(connection, parameters["host"])
    return connection


def _check_socket(connection: Connection, folder: str) -> None:
    """Close a connection that does not lead to the socket in a folder.

    :raises ServerError: it leads elsewhere.
    """
    if connection.info.host != folder or connection.info.hostaddr:
        where = connection.info.hostaddr or connection.info.host
        connection.close()
        raise ServerError(
            f"The connection to the embedded server in {folder} leads to {where}. Unset the"
            " environment variables of libpq, whose names begin with PG."
        )


def _way_out(said: str, parameters: dict[str, Any]) -> str:
    """What to do where there is no connection."""
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
    """The URL as libpq's parameters.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
    """
    _, parameters = url.get_dialect()().create_connect_args(url)
    return dict(parameters)


def address(url: URL) -> str:
    """Where a server is, for a message: never a user, never a password."""
    host = url.host or url.query.get("host") or "the local socket"
    return f"{host}:{url.port}" if url.port else str(host)


def without_secrets(url: URL) -> str:
    """A URL to be read by a person, with ``***`` for each password, in the query, too."""
    query = {key: "***" if _is_secret(key) else value for key, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def _is_secret(key: str) -> bool:
    """Whether the value of one of libpq's parameters must not be shown.

    They are ``password``, ``sslpassword``, ``oauth_client_secret``, ``scram_client_key`` and
    ``scram_server_key``; the others that end in "key" name files.
    """
    return any(word in key.lower() for word in ("password", "secret", "scram"))


def shown(url: URL) -> str:
    """A URL that any tool takes, without the password."""
    # set() takes None for "leave it".
    public = {key: value for key, value in url.query.items() if not _is_secret(key)}
    bare = url.set(drivername="postgresql", query=public)
    # libpq does not take "+" for a space.
    return bare._replace(password=None).render_as_string().replace("+", "%20")


def reason(error: Exception) -> str:
    """What the server or libpq said, without where it was said, in one line."""
    line = next((line for line in str(error).splitlines() if line.strip()), "no answer")
    # The prefixes are libpq's: 'connection to server at "…", port … failed: FATAL:  …'.
    said = line.split(" failed: ")[-1].split("FATAL:")[-1]
    return said.strip().rstrip(".")
