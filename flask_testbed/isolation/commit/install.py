"""The SQL functions that reset a database, installed into each template.

Each file in ``sql`` is about one topic and uses only the files before it.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from ...errors import DatabaseError
from ...postgres.connecting import Connection, reason
from .reset import prepare

_TOPICS = ("application", "catalog", "writes", "copies", "restore", "layers", "reset")

#: The statements that :func:`install` executes. They are part of a template's fingerprint.
INSTALL = "\n".join(
    (Path(__file__).parent / "sql" / f"{topic}.sql").read_text() for topic in _TOPICS
)


def install(connection: Connection) -> None:
    """Install the functions, and store what the database holds now.

    :param connection: to a database that is complete otherwise, in autocommit mode. It is a
        connection for resets afterwards.
    :raises DatabaseError: the role may not read a table, for example.
    """
    try:
        prepare(connection)
        with connection.transaction():
            connection.execute(INSTALL)
            connection.execute("SELECT flask_testbed.prepare_template()")
    except psycopg.Error as error:
        raise DatabaseError(
            "Cannot prepare the schema for resets, which copy the rows of each table:"
            f" {reason(error)}. Let the role of the test database own all that is in it."
        ) from error


def install_anew(connection: Connection) -> None:
    """Install the functions in a database where they were dropped or damaged.

    Parameters and errors are those of :func:`install`.
    """
    # The event triggers depend on functions.
    connection.execute("DROP SCHEMA IF EXISTS flask_testbed CASCADE")
    install(connection)
