"""How a schema gets into an empty database."""

from __future__ import annotations

from contextlib import closing

import psycopg
from psycopg import sql

from ..application.schema import Schema
from ..errors import DatabaseError
from ..postgres.cluster import Cluster
from ..postgres.connecting import reason


def build(cluster: Cluster, name: str, schema: Schema) -> None:
    """Build a schema in an empty database.

    :raises DatabaseError: an extension, a migration, a statement or a hook failed.
    """
    # The application may expect an extension as soon as it connects, to register its types.
    if schema.extensions:
        _install_extensions(cluster, name, schema)
    schema.build(cluster.url.set(database=name))


def _install_extensions(cluster: Cluster, name: str, schema: Schema) -> None:
    with closing(cluster.connect(name)) as connection:
        for extension in schema.extensions:
            statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE")
            try:
                connection.execute(statement.format(sql.Identifier(extension)))
            except psycopg.Error as error:
                raise DatabaseError(
                    f"The extension {extension!r} cannot be installed: {reason(error)}. Install it"
                    " on the server's machine, or let an administrator run CREATE EXTENSION in the"
                    " database template1."
                ) from error
