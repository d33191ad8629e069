"""How a schema gets into an empty database, and where the application's others are meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from ..application.databases import AppDatabase
from ..application.schema import Schema
from ..errors import DatabaseError
from ..postgres.cluster import Cluster
from ..postgres.connecting import reason


def build(cluster: Cluster, name: str, schema: Schema, others: Mapping[AppDatabase, str]) -> None:
    """Build a schema in an empty database.

    :param others: names of empty databases for the application's other ones, which are built, too.
    :raises DatabaseError: an extension, a migration, a statement or a hook failed.
    """
    # The application may expect an extension as soon as it connects, to register its types.
    for database, empty in {schema.database: name, **others}.items():
        if database.bind is None:
            _install_extensions(cluster, empty, schema.extensions)
    schema.build(cluster.url.set(database=name), urls_of(cluster, others))


@contextmanager
def temporary_databases(
    cluster: Cluster, databases: Sequence[AppDatabase]
) -> Iterator[dict[AppDatabase, str]]:
    """Create an empty database for each of an application's, yield their names, and drop them."""
    with ExitStack() as stack:
        yield {one: stack.enter_context(cluster.temporary()) for one in databases}


def urls_of(cluster: Cluster, names: Mapping[AppDatabase, str]) -> dict[AppDatabase, URL]:
    """Return the URLs of databases, by their names."""
    return {database: cluster.url.set(database=name) for database, name in names.items()}


def _install_extensions(cluster: Cluster, name: str, extensions: Sequence[str]) -> None:
    if not extensions:
        return
    with closing(cluster.connect(name)) as connection:
        for extension in extensions:
            statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE")
            try:
                connection.execute(statement.format(sql.Identifier(extension)))
            except psycopg.Error as error:
                raise DatabaseError(
                    f"The extension {extension!r} cannot be installed: {reason(error)}. Install it"
                    " on the server's machine, or let an administrator run CREATE EXTENSION in the"
                    " database template1."
                ) from error
