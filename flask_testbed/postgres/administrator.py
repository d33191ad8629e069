"""The connection with which databases are made and dropped, and what the server is."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from typing import Any, LiteralString

import psycopg
from psycopg import errors, sql
from sqlalchemy.engine import URL

from ..embedded.server import EmbeddedServer
from ..errors import DatabaseError, ServerError, TestbedError
from .connecting import Connection, address, connect, reason
from .labels import MEETING, UNFINISHED, Mark

#: What a process needs: one to make databases, one to put them back, one for the application.
CONNECTIONS = 3

Statement = LiteralString | sql.SQL | sql.Composed
Cursor = psycopg.Cursor[tuple[Any, ...]]
Tell = Callable[[str], None]


def tell_terminal(sentence: str) -> None:
    """Say something to whoever sits at a terminal, and to nobody else."""
    if sys.stderr.isatty():
        print(sentence, file=sys.stderr, flush=True)
    elif "PYTEST_CURRENT_TEST" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        # pytest has put a file in the place of stderr, and shows it when the test is over.
        with suppress(OSError), open("/dev/tty", "w") as terminal:
            print(f"\n{sentence}", file=terminal, flush=True)


class Administrator:
    """One connection to a server, made at first use.

    :param url: the server; the database does not matter.
    :param setting: where the URL was found, for messages.
    :param server: the embedded server that is to be started first, if it is one.
    """

    def __init__(self, url: URL, setting: str, server: EmbeddedServer | None = None) -> None:
        self.url = url
        self.setting = setting
        self.server = server
        self.tell: Tell = tell_terminal
        """Is told what takes long."""
        self._meets = False

    @cached_property
    def connection(self) -> Connection:
        """The administrator's connection.

        Locks are those of one database, so all who share a server must meet in the same one.

        :raises ServerError: there is none.
        """
        if self.server is not None:
            self.server.start()
        try:
            return self._verified(self.connect("postgres"))
        except ServerError as error:
            if not _is_absent("postgres", error):
                raise
        self._meets = True
        try:
            return self.connect(MEETING)
        except ServerError as error:
            if not _is_absent(MEETING, error):
                raise
        self._make_meeting()
        return self.connect(MEETING)

    def connect(self, name: str) -> Connection:
        """Connect to one of the databases, in autocommit mode."""
        return connect(self.url, setting=self.setting, database=name)

    def _verified(self, connection: Connection) -> Connection:
        """The connection, once it is known to be to the embedded server, if that is meant.

        :raises ServerError: another server has answered.
        """
        if self.server is None:
            return connection
        with suppress(errors.InsufficientPrivilege):  # only a superuser may look
            row = connection.execute("SHOW data_directory").fetchone()
            if row is None or os.path.realpath(row[0]) != os.path.realpath(self.server.data):
                connection.close()
                raise ServerError(
                    f"The server that answers in {self.server.sockets} is not the embedded one of"
                    f" {self.server.data}, but that of {row and row[0]}. Stop the other server, or"
                    " choose another folder with FLASK_TESTBED_HOME."
                )
        return connection

    def disconnect(self) -> None:
        """Give back the connection, and with it all locks."""
        if "connection" in self.__dict__:
            self.connection.close()
            del self.connection
            if self._meets:
                # Whoever comes next tries again.
                with suppress(TestbedError):
                    self._drop_meeting()

    def close(self) -> None:
        """Give back the connection, its locks, and the use of an embedded server."""
        self.disconnect()
        if self.server is not None:
            self.server.release()

    # A server without a database called postgres

    def _make_meeting(self) -> None:
        """Make a database to meet in.

        A connection to ``template1`` lets nobody else make a database, so none is kept.
        """
        unfinished = UNFINISHED + secrets.token_hex(6)
        with self._visiting("template1") as connection:
            make = sql.SQL("CREATE DATABASE {} TEMPLATE template0")
            connection.execute(make.format(sql.Identifier(unfinished)))
            finish = sql.SQL("COMMENT ON DATABASE {} IS {}; ALTER DATABASE {} RENAME TO {}")
            names = sql.Identifier(unfinished), sql.Identifier(MEETING)
            mark = sql.Literal(str(Mark.make("meeting", "")))
            try:
                connection.execute(finish.format(names[0], mark, *names))
            except errors.DuplicateDatabase:  # somebody else was quicker
                connection.execute(sql.SQL("DROP DATABASE {}").format(names[0]))

    def _drop_meeting(self) -> None:
        """Drop the database to meet in, if nobody else is there."""
        with self._visiting("template1") as connection:
            row = connection.execute(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
                " AND oid NOT IN (SELECT datid FROM pg_stat_activity WHERE datid IS NOT NULL)",
                [MEETING],
            ).fetchone()
            if row is not None and Mark.read(row[0]) is not None:
                # Whoever has come in the meantime keeps it.
                with suppress(errors.ObjectInUse, errors.InvalidCatalogName):
                    connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(MEETING)))

    @contextmanager
    def _visiting(self, name: str) -> Iterator[Connection]:
        with closing(self.connect(name)) as connection, self.speaking_plainly():
            try:
                yield connection
            except errors.InsufficientPrivilege as error:
                raise self.lacks_right() from error

    # What the server is

    @cached_property
    def version(self) -> int:
        """The server's version, as 180006 for 18.6."""
        return self.connection.info.server_version

    @cached_property
    def locale(self) -> str:
        """How texts sort in new databases, with the version of whoever sorts them.

        A template that was made with another one may not be cloned, or sorts otherwise.
        """
        # Known to PostgreSQL 15 and later.
        actual = "pg_database_collation_actual_version(oid)" if self.version >= 150000 else "''"
        row = self._execute(
            sql.SQL(
                "SELECT concat_ws(' ', encoding, datcollate, datctype, {}) FROM pg_database"
                " WHERE datname = 'template1'"
            ).format(sql.SQL(actual))
        ).fetchone()
        return str(row[0]) if row else ""

    def extension_versions(self, names: Sequence[str]) -> list[str]:
        """Which versions of extensions the server would install."""
        if not names:
            return []
        rows = self._execute(
            "SELECT name || ' ' || default_version FROM pg_available_extensions"
            " WHERE name = ANY (%s) ORDER BY 1",
            [list(names)],
        )
        return [row[0] for row in rows]

    def check_room(self, processes: int) -> None:
        """Refuse to begin with more processes than the server has connections for.

        :param processes: each of which needs :data:`CONNECTIONS` at least.
        :raises ServerError: says how many processes the server has room for.
        """
        if processes == 1:
            return
        row = self._execute(
            "SELECT least(current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int"
            " - coalesce(current_setting('reserved_connections', true), '0')::int,"
            " (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user))"
        ).fetchone()
        limit = row[0] if row else 0
        if processes * CONNECTIONS > limit:
            raise ServerError(
                f"The server at {address(self.url)} takes {limit} connections, and {processes}"
                f" workers need {processes * CONNECTIONS}. Run with -n {limit // CONNECTIONS}, or"
                " raise the server's max_connections (or the role's CONNECTION LIMIT)."
            )

    # Asking it

    def lacks_right(self) -> DatabaseError:
        """The error of a role that may not make databases."""
        user = self.url.username or self.connection.info.user
        return DatabaseError(
            f"Cannot make a test database on {address(self.url)}: the user {user!r} has no right"
            f' to create databases. Let an administrator run: ALTER ROLE "{user}" CREATEDB;'
        )

    def _execute(self, statement: Statement, parameters: Sequence[Any] = ()) -> Cursor:
        with self.speaking_plainly():
            return self.connection.cursor().execute(statement, parameters or None)

    @contextmanager
    def speaking_plainly(self) -> Iterator[None]:
        """Say in a sentence what the server objects to.

        A lack of rights is left to whoever knows what they are needed for.
        """
        try:
            yield
        except psycopg.OperationalError as error:
            raise DatabaseError(
                f"The server at {address(self.url)} says: {reason(error)}. Look at its log, and"
                " try again."
            ) from error


def _is_absent(name: str, error: ServerError) -> bool:
    """Whether a connection failed since there is no database of that name."""
    return f'database "{name}" does not exist' in str(error)
