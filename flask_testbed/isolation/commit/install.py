"""The SQL functions that reset a database, installed into each template.

Each file in ``sql`` is about one topic and uses only the files before it.
"""

from __future__ import annotations

from pathlib import Path

from ...postgres.connecting import Connection

_TOPICS = ("catalog", "writes", "copies", "restore", "layers", "reset")

#: The statements that :func:`install` executes. They are part of a template's fingerprint.
INSTALL = "\n".join(
    (Path(__file__).parent / "sql" / f"{topic}.sql").read_text() for topic in _TOPICS
)


def install(connection: Connection) -> None:
    """Install the functions, and store what the database holds now.

    :param connection: to a database that is complete otherwise, in autocommit mode.
    """
    with connection.transaction():
        connection.execute(INSTALL)
        connection.execute("SELECT flask_testbed.prepare_template()")
