"""The databases of a server: found, labelled, created, cloned and dropped.

The testbed's databases bear its label, a comment on the database. A database is created under a
reserved name, and gets its label and its final name in one transaction at the end: whatever is
interrupted, a database is complete or absent.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import LiteralString

import psycopg
from psycopg import errors, sql
from sqlalchemy.engine import URL

from ..embedded.server import EmbeddedServer
from ..errors import DatabaseError, RefusedError
from .connecting import address, reason
from .database import Database
from .labels import CLOSED, UNFINISHED, Kind, Label
from .locks import Locks
from .server import MAINTENANCE, Server

logger = logging.getLogger(__name__)


class Cluster(Server):
    """A server on which databases are created and dropped.

    It connects at first use. Locks are held until :meth:`close` or the end of the process.

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
        super().__init__(url, setting, embedded, maintenance)
        self.locks = Locks(self)

    # Finding

    def find(self, name: str) -> Database | None:
        """Return a database, or None if it does not exist."""
        return next(iter(self._query("d.datname = %s", name)), None)

    def find_all(self, pattern: str) -> list[Database]:
        """Return the databases whose whole name matches a regular expression, sorted by name.

        :param pattern: as PostgreSQL's operator ``~`` reads it.
        """
        return self._query("d.datname ~ %s", f"^(?:{pattern})$")

    def find_kind(self, kind: Kind) -> list[Database]:
        """Return the databases whose label is of a kind, sorted by name."""
        found = self._query("shobj_description(d.oid, 'pg_database') LIKE %s", "flask-testbed: %")
        return [one for one in found if one.label is not None and one.label.kind == kind]

    def inspect(self, database: Database) -> Database:
        """Return a database with its size, and whether its lock is held."""
        name = database.name
        row = self.execute(
            "SELECT CASE WHEN has_database_privilege(%s, 'CONNECT') THEN pg_database_size(%s) END",
            [name, name],
        ).fetchone()
        return replace(database, size=row[0] if row else None, in_use=self.locks.is_locked(name))

    def sessions(self, name: str) -> list[str]:
        """Return who is connected to a database, for messages."""
        rows = self.execute(
            "SELECT coalesce(usename, '?'), coalesce(nullif(application_name, ''), 'unnamed'),"
            " coalesce(host(client_addr), 'this machine'), pid,"
            " to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS')"
            " FROM pg_stat_activity WHERE datname = %s ORDER BY backend_start",
            [name],
        )
        return [
            f"{user} ({program}) from {place}, process {pid}, since {since}"
            for user, program, place, pid, since in rows
        ]

    def _query(self, condition: str, value: str) -> list[Database]:
        rows = self.execute(
            sql.SQL(
                "SELECT d.datname, r.rolname, shobj_description(d.oid, 'pg_database'),"
                " pg_stat_get_db_numbackends(d.oid)"
                " FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba"
                " WHERE {} ORDER BY d.datname"
            ).format(sql.SQL(condition)),
            [value],
        )
        return [Database(name, owner, Label.read(text), count) for name, owner, text, count in rows]

    def check_label(self, database: Database) -> Label:
        """Return the label of a database, or refuse it if the testbed has not created it.

        :raises RefusedError: names the database, its owner and the way out.
        """
        if database.label is None:
            raise RefusedError(
                f"Refused: the database {database.name!r} on {address(self.url)} was not made by"
                f" flask-testbed (its owner is {database.owner!r}), so it is not touched. Choose"
                " another name with TEST_DATABASE_URL, or, if nothing in it is of worth, drop it"
                " with: flask test-db drop --yes"
            )
        return database.label

    # Creating

    @contextmanager
    def creating(
        self, name: str, label: Label, template: str | None = None, *, replacing: bool = False
    ) -> Iterator[str]:
        """Create a database: yield its temporary name, then label and rename it.

        :param name: its final name, whose lock the caller holds.
        :param label: its label.
        :param template: the database to clone; by default the server's own template.
        :param replacing: drop the database that has the final name now, and end the sessions in
            it. At any moment one of the two has that name, complete.
        :raises DatabaseError: the server refuses; the message quotes it.
        """
        started = time.perf_counter()
        with self._unfinished_name() as unfinished:
            try:
                self._create(name, unfinished, template)
                yield unfinished
                if template is None:
                    # Migrations may have left a connection open, which forbids renaming.
                    self.end_sessions(unfinished)
                if replacing:
                    self._replace(unfinished, name, label)
                else:
                    self._finish(unfinished, name, label)
            except BaseException:
                # Without a connection it is a leftover, which the next process drops.
                if not self.connection.closed:
                    self.drop(unfinished)
                raise
        seconds = time.perf_counter() - started
        logger.debug(
            "created %s database %r from %r in %.3f s", label.kind, name, template, seconds
        )

    def clone(self, template: str, name: str, label: Label, *, replacing: bool = False) -> None:
        """Create a copy of a database. Parameters and errors are those of :meth:`creating`."""
        with self.creating(name, label, template, replacing=replacing):
            pass

    @contextmanager
    def temporary_clone(self, template: str) -> Iterator[str]:
        """Create a copy of a database, yield its name, and drop it in the end.

        :raises DatabaseError: the server refuses; the message quotes it.
        """
        with self._unfinished_name() as name:
            try:
                self._create(name, name, template)
                yield name
            finally:
                if not self.connection.closed:
                    self.drop(name)

    def set_label(self, name: str, label: Label) -> None:
        """Write a label on a database."""
        self._alter("COMMENT ON DATABASE {} IS {}", name, sql.Literal(str(label)))

    @contextmanager
    def _unfinished_name(self) -> Iterator[str]:
        """Yield a name for an unfinished database, and hold its lock inside."""
        name = UNFINISHED + secrets.token_hex(6)
        self.locks.try_lock(name)
        try:
            yield name
        finally:
            self.locks.unlock(name)

    def _create(self, name: str, unfinished: str, template: str | None) -> None:
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unfinished))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
            if self._copies_files:
                statement += sql.SQL(" STRATEGY FILE_COPY")
        try:
            self.connection.execute(statement)
        except errors.InsufficientPrivilege as error:
            raise self.lacks_right() from error
        except psycopg.Error as error:
            raise DatabaseError(
                f"Cannot make the database {name!r} on {address(self.url)}: {reason(error)}."
            ) from error

    @cached_property
    def _copies_files(self) -> bool:
        """Whether copying files is the fastest way to clone, as no checkpoint writes to disk.

        https://www.postgresql.org/docs/current/sql-createdatabase.html#CREATE-DATABASE-STRATEGY
        """
        row = self.connection.execute("SHOW fsync").fetchone()
        return self.version >= 150000 and row == ("off",)

    def _replace(self, unfinished: str, name: str, label: Label) -> None:
        with self._unfinished_name() as old:
            self.end_sessions(name)
            self._finish(unfinished, name, label, old)
            self.drop(old)

    def _finish(self, unfinished: str, name: str, label: Label, old: str | None = None) -> None:
        """Label and rename a database, in one transaction.

        :param old: the new name of the database that has the name now.
        """
        steps: list[LiteralString] = ["COMMENT ON DATABASE {new} IS {label}"]
        if label.kind in CLOSED:
            steps += ["ALTER DATABASE {new} WITH ALLOW_CONNECTIONS false"]
        if old is not None:
            steps += ["ALTER DATABASE {name} RENAME TO {old}"]
        steps += ["ALTER DATABASE {new} RENAME TO {name}"]
        # Statements that are sent in one query are one transaction.
        names = {"new": unfinished, "name": name, "old": old or ""}
        parts = {key: sql.Identifier(value) for key, value in names.items()}
        text = sql.SQL("; ").join(
            sql.SQL(step).format(label=sql.Literal(str(label)), **parts) for step in steps
        )
        try:
            self.execute(text)
        except errors.DuplicateDatabase as error:
            raise RefusedError(
                f"Refused: a database {name!r} has just been created on {address(self.url)} by"
                " another program, and is not touched. Choose another name with"
                " TEST_DATABASE_URL, or try again when it is gone."
            ) from error

    # Dropping

    def drop(self, name: str) -> None:
        """Drop a database and end the sessions in it. The caller has checked that it may.

        :raises DatabaseError: the server refuses, for example since a session is another role's.
        """
        started = time.perf_counter()
        with self._naming_sessions(f"drop the database {name!r}", name):
            try:
                self._alter("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
            except errors.InsufficientPrivilege:
                # A role must not end another role's session, which may be about to end. Without
                # FORCE, the server waits for that, for five seconds.
                self._alter("DROP DATABASE IF EXISTS {}", name)
        logger.debug("dropped database %r in %.3f s", name, time.perf_counter() - started)

    def end_sessions(self, name: str) -> None:
        """End all sessions in a database.

        :raises DatabaseError: one of them is another role's.
        """
        with self._naming_sessions(f"end the sessions in the database {name!r}", name):
            self.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )

    @contextmanager
    def _naming_sessions(self, doing: str, name: str) -> Iterator[None]:
        """Name the sessions in a database in the error, which may be due to them."""
        try:
            yield
        except psycopg.Error as error:
            others = self.sessions(name)
            found = f" Let these disconnect: {'; '.join(others)}." if others else ""
            raise DatabaseError(f"Cannot {doing}: {reason(error)}.{found}") from error

    def drop_unfinished(self) -> list[Database]:
        """Drop the unfinished databases of processes that have died, and return them."""
        leftovers = self.find_all(UNFINISHED + "[0-9a-f]{12}")
        return [one for one in leftovers if self.drop_if_unused(one)]

    def drop_if_unused(self, database: Database) -> bool:
        """Drop a database of this role that is not locked and has no connections.

        :returns: whether it was dropped.
        """
        name = database.name
        # A connection can take a lock that it already holds, so the lock is looked at first.
        if database.owner != self.role or self.locks.is_locked(name):
            return False
        if not self.locks.try_lock(name):
            return False
        try:
            found = self.find(name)
            if found is None or found.connections:
                return False
            self.drop(name)
            return True
        finally:
            self.locks.unlock(name)

    def _alter(self, statement: LiteralString, name: str, *more: sql.Composable) -> None:
        self.execute(sql.SQL(statement).format(sql.Identifier(name), *more))
