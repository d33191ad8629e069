"""One server, and a connection to its maintenance database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, LiteralString

import psycopg
from psycopg import errors, sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from sqlalchemy.engine import URL

from ..embedded.server import EmbeddedServer
from ..errors import DatabaseError, ServerError
from .connecting import Connection, address, closed_on_error, connect, reason

Statement = LiteralString | sql.SQL | sql.Composed
Cursor = psycopg.Cursor[tuple[Any, ...]]

#: The database in which locks are held, unless TEST_DATABASE_MAINTENANCE names another.
MAINTENANCE = "postgres"


class Server:
    """A server, and a connection to its maintenance database, opened at first use.

    Advisory locks are those of one database, so all who share a server must use the same
    maintenance database: https://www.postgresql.org/docs/current/view-pg-locks.html

    :param url: URL of the server; its database does not matter.
    :param setting: where the URL was found, for messages.
    :param embedded: the embedded server to start first, or None for an external server.
    :param maintenance: name of the maintenance database.
    """

    def __init__(
        self,
        url: URL,
        setting: str,
        embedded: EmbeddedServer | None = None,
        maintenance: str = MAINTENANCE,
    ) -> None:
        self.url = url
        self.setting = setting
        self.embedded = embedded
        self.maintenance = maintenance

    def __repr__(self) -> str:
        state = "connected" if "connection" in self.__dict__ else "not connected"
        return f"<{type(self).__name__} {address(self.url)} ({self.setting}), {state}>"

    @cached_property
    def connection(self) -> Connection:
        """The connection to the maintenance database, in autocommit mode.

        :raises ServerError: the server cannot be reached or written to, or has no such database.
        """
        if self.embedded is not None:
            self.embedded.start()
        try:
            connection = self.connect(self.maintenance)
        except ServerError as error:
            self._check_maintenance(error)
            raise
        with closed_on_error(connection):
            if self.embedded is not None:
                _check_embedded(connection, self.embedded)
            if connection.info.parameter_status("in_hot_standby") == "on":
                raise ServerError(
                    f"The server at {address(self.url)} ({self.setting}) is a standby, in which no"
                    " database can be created. Name the primary server."
                )
            _protect(connection)
        return connection

    def connect(self, name: str) -> Connection:
        """Connect to one of the server's databases, in autocommit mode."""
        return connect(self.url, setting=self.setting, database=name)

    def execute(self, statement: Statement, parameters: Sequence[Any] = ()) -> Cursor:
        """Execute a statement in the maintenance database.

        :raises DatabaseError: the server or the connection failed.
        """
        with self.errors_explained():
            return self.connection.cursor().execute(statement, parameters or None)

    @contextmanager
    def errors_explained(self) -> Iterator[None]:
        """Turn an operational error of psycopg's into a DatabaseError of one sentence."""
        try:
            yield
        except psycopg.OperationalError as error:
            raise DatabaseError(
                f"The server at {address(self.url)} says: {reason(error)}. Look at its log, and"
                " try again."
            ) from error

    def disconnect(self) -> None:
        """Close the connection, which releases all locks. The next use opens another."""
        if "connection" in self.__dict__:
            self.connection.close()
            del self.connection

    def close(self) -> None:
        """Close the connection, and stop using the embedded server."""
        self.disconnect()
        if self.embedded is not None:
            self.embedded.release()

    # Properties of the server

    @cached_property
    def role(self) -> str:
        """The role that owns what is created: the user, or a role that ``SET role`` names."""
        row = self.execute("SELECT current_user").fetchone()
        return str(row[0]) if row else self.connection.info.user

    @cached_property
    def version(self) -> int:
        """Version of the server, as 180006 for 18.6."""
        return self.connection.info.server_version

    @cached_property
    def locale(self) -> str:
        """Encoding and collation of new databases, with the version of the collation.

        A clone of a template that was created with another version would sort wrongly.
        """
        # The function exists in PostgreSQL 15 and later.
        actual = "pg_database_collation_actual_version(oid)" if self.version >= 150000 else "''"
        row = self.execute(
            sql.SQL(
                "SELECT concat_ws(' ', encoding, datcollate, datctype, {}) FROM pg_database"
                " WHERE datname = 'template1'"
            ).format(sql.SQL(actual))
        ).fetchone()
        return str(row[0]) if row else ""

    def extension_versions(self, names: Sequence[str]) -> list[str]:
        """Return the versions of extensions that the server would install."""
        if not names:
            return []
        rows = self.execute(
            "SELECT name || ' ' || default_version FROM pg_available_extensions"
            " WHERE name = ANY (%s) ORDER BY 1",
            [list(names)],
        )
        return [row[0] for row in rows]

    # Errors

    def lacks_right(self) -> DatabaseError:
        """Return the error for a role without the right to create databases."""
        return DatabaseError(
            f"Cannot make a test database on {address(self.url)}: the user {self.role!r} has no"
            f' right to create databases. Let an administrator run: ALTER ROLE "{self.role}"'
            " CREATEDB;"
        )

    def _check_maintenance(self, error: ServerError) -> None:
        """Explain a failure to connect that is due to the maintenance database.

        :raises ServerError: there is none, or the role may not connect to it.
        """
        said = reason(error.__cause__ or error)
        absent = f'database "{self.maintenance}" does not exist'
        forbidden = f'permission denied for database "{self.maintenance}"'
        if self.embedded is None and said in {absent, forbidden}:
            raise ServerError(
                f"Cannot connect to the database {self.maintenance!r} on {address(self.url)}"
                f" ({self.setting}), in which flask-testbed holds its locks: {said}. Name another"
                " one with TEST_DATABASE_MAINTENANCE, the same for all who use this server."
            ) from error


class _AnyText(Loader):
    """Reads text in any encoding.

    The names of databases and their comments are in the encoding of the database from which they
    were given, whatever that of the maintenance database is.
    """

    def load(self, data: Buffer) -> str:
        return bytes(data).decode(errors="backslashreplace")


def _protect(connection: Connection) -> None:
    """Make a connection independent of what others have put into the maintenance database.

    In many of them, every role may create functions in the schema public. With it in the search
    path, such a function may be called in place of PostgreSQL's own, as the user of the testbed.
    """
    connection.execute("SET search_path = pg_catalog, pg_temp")
    for name in ("text", "name"):
        connection.adapters.register_loader(name, _AnyText)


def _check_embedded(connection: Connection, server: EmbeddedServer) -> None:
    """Refuse a connection that does not lead to the embedded server.

    :raises ServerError: another server has answered.
    """
    with suppress(errors.InsufficientPrivilege):  # only a superuser may look
        row = connection.execute("SHOW data_directory").fetchone()
        if row is None or os.path.realpath(row[0]) != os.path.realpath(server.data):
            raise ServerError(
                f"The server that answers in {server.sockets} is not the embedded one of"
                f" {server.data}, but that of {row and row[0]}. Stop the other server, or"
                " choose another folder with FLASK_TESTBED_HOME."
            )
