"""The databases of a server: found, labelled, created, cloned and dropped.

The testbed's databases bear its label, a comment on the database. A database is created under a
reserved name, and gets its label and its final name in one transaction at the end: whatever is
interrupted, a database is complete or absent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from secrets import token_hex
from typing import LiteralString

import psycopg
from psycopg import errors, sql
from sqlalchemy.engine import URL

from ..embedded.server import EmbeddedServer
from ..errors import DatabaseError, RefusedError
from .connecting import address, reason
from .database import Database
from .inventory import Inventory
from .labels import CLOSED, UNFINISHED, Kind, Label
from .locks import Locks
from .server import MAINTENANCE
from .settings import copy_settings

logger = logging.getLogger(__name__)


class Cluster(Inventory):
    """A server on which databases are created and dropped.

    It connects at first use. Locks are held until :meth:`close` or the end of the process.

    Its parameters are those of :class:`.Inventory`.
    """

    def __init__(
        self,
        url: URL,
        setting: str,
        embedded: EmbeddedServer | None = None,
        maintenance: str = MAINTENANCE,
        protected: Sequence[URL] = (),
    ) -> None:
        super().__init__(url, setting, embedded, maintenance, protected)
        self.locks = Locks(self)

    def inspect(self, database: Database) -> Database:
        """Return a database with its size, and whether its lock is held."""
        name = database.name
        row = self.execute(
            "SELECT CASE WHEN has_database_privilege(%s, 'CONNECT') THEN pg_database_size(%s) END",
            [name, name],
        ).fetchone()
        return replace(database, size=row[0] if row else None, in_use=self.locks.is_locked(name))

    # Creating

    @contextmanager
    def creating(
        self,
        name: str,
        label: Label,
        template: str | None = None,
        *,
        replacing: bool = False,
        like: Database | None = None,
    ) -> Iterator[str]:
        """Create a database: yield its temporary name, then label and rename it.

        :param name: its final name, whose lock the caller holds.
        :param label: its label.
        :param template: the database to clone, with its settings and privileges; by default the
            server's own template.
        :param replacing: drop the database that has the final name now, and end the sessions in
            it. At any moment one of the two has that name, complete.
        :param like: a database whose settings, privileges and owner the clone gets, in place of
            those of the template.
        :raises DatabaseError: the server refuses; the message quotes it.
        """
        started = time.perf_counter()
        with self._unfinished_name() as unfinished:
            try:
                self._create(name, unfinished, template, like)
                yield unfinished
                if template is None:
                    # Migrations may have left a connection open, which forbids renaming.
                    self.end_sessions(unfinished)
                if replacing:
                    self._replace(unfinished, name, label, like)
                else:
                    self._finish(unfinished, name, label, like)
            except BaseException:
                # Without a connection it is a leftover, which the next process drops.
                if not self.connection.closed:
                    self.drop(unfinished)
                raise
        seconds = time.perf_counter() - started
        logger.debug(
            "created %s database %r from %r in %.3f s", label.kind, name, template, seconds
        )

    def clone(
        self,
        template: str,
        name: str,
        label: Label,
        *,
        replacing: bool = False,
        like: Database | None = None,
    ) -> None:
        """Create a copy of a database. Parameters and errors are those of :meth:`creating`."""
        with self.creating(name, label, template, replacing=replacing, like=like):
            pass

    @contextmanager
    def temporary(self, template: str | None = None) -> Iterator[str]:
        """Create a database, yield its name, and drop it in the end, unless it was renamed.

        :param template: the database to clone; by default the server's own template.

        :raises DatabaseError: the server refuses; the message quotes it.
        """
        with self._unfinished_name() as name:
            try:
                self._create(name, name, template)
                yield name
            finally:
                if not self.connection.closed:
                    self.drop(name)

    def rename(self, temporary: str, name: str, label: Label) -> None:
        """Give a temporary database a label and its final name, whose lock the caller holds."""
        self.end_sessions(temporary)
        self._finish(temporary, name, label, None)

    def set_label(self, name: str, label: Label) -> Label:
        """Write a label on a database, and return it as it is written."""
        written = label.written_on(name, self._oid(name))
        self._alter("COMMENT ON DATABASE {} IS {}", name, sql.Literal(str(written)))
        return written

    def _oid(self, name: str) -> int:
        row = self.execute("SELECT oid FROM pg_database WHERE datname = %s", [name]).fetchone()
        return row[0] if row else 0

    @contextmanager
    def _unfinished_name(self) -> Iterator[str]:
        """Yield a name for an unfinished database, and hold its lock inside."""
        name = UNFINISHED + token_hex(6)
        self.locks.try_lock(name)
        try:
            yield name
        finally:
            self.locks.unlock(name)

    def _create(
        self, name: str, unfinished: str, template: str | None, like: Database | None = None
    ) -> None:
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
        if template is not None:
            copy_settings(self, like.name if like is not None else template, unfinished)

    @cached_property
    def _copies_files(self) -> bool:
        """Whether copying files is the fastest way to clone, as no checkpoint writes to disk.

        https://www.postgresql.org/docs/current/sql-createdatabase.html#CREATE-DATABASE-STRATEGY
        """
        row = self.connection.execute("SHOW fsync").fetchone()
        return self.version >= 150000 and row == ("off",)

    def _replace(self, unfinished: str, name: str, label: Label, like: Database | None) -> None:
        with self._unfinished_name() as old:
            self.end_sessions(name)
            self._finish(unfinished, name, label, like, old)
            self.drop(old)

    def _finish(
        self,
        unfinished: str,
        name: str,
        label: Label,
        like: Database | None,
        old: str | None = None,
    ) -> None:
        """Label and rename a database, in one transaction.

        :param like: a database whose owner it gets.
        :param old: the new name of the database that has the name now.
        """
        text = sql.Literal(str(label.written_on(name, self._oid(unfinished))))
        steps: list[LiteralString] = ["COMMENT ON DATABASE {new} IS {label}"]
        if label.kind != Kind.DEVELOPMENT or like is not None:
            # A migration may have given it to another role, for which alone the label would count.
            steps += ["ALTER DATABASE {new} OWNER TO {owner}"]
        if label.kind in CLOSED:
            steps += ["ALTER DATABASE {new} WITH ALLOW_CONNECTIONS false"]
        if old is not None:
            steps += ["ALTER DATABASE {name} RENAME TO {old}"]
        steps += ["ALTER DATABASE {new} RENAME TO {name}"]
        # Statements that are sent in one query are one transaction.
        owner = self.role if like is None else like.owner
        names = {"new": unfinished, "name": name, "old": old or "", "owner": owner}
        parts = {key: sql.Identifier(value) for key, value in names.items()}
        try:
            self.execute(
                sql.SQL("; ").join(sql.SQL(step).format(label=text, **parts) for step in steps)
            )
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
                # FORCE gives up if it may not end each session, such as that of autovacuum.
                # Without it, the server ends those, and waits for the others for five seconds.
                self._end_own_sessions(name)
                self._alter("DROP DATABASE IF EXISTS {}", name)
        logger.debug("dropped database %r in %.3f s", name, time.perf_counter() - started)

    def end_sessions(self, name: str) -> None:
        """End all sessions in a database, except those that the server ends itself.

        :raises DatabaseError: one of them is another role's.
        """
        with self._naming_sessions(f"end the sessions in the database {name!r}", name):
            # A worker of autovacuum has no user.
            self._end_sessions(name, sql.SQL("usename IS NOT NULL"))

    def _end_own_sessions(self, name: str) -> None:
        """End those sessions in a database of this role that the user may end."""
        permitted = sql.SQL(
            "pg_has_role(usesysid, 'USAGE') AND datid IN"
            " (SELECT oid FROM pg_database WHERE pg_get_userbyid(datdba) = {})"
        )
        self._end_sessions(name, permitted.format(sql.Literal(self.role)))

    def _end_sessions(self, name: str, condition: sql.Composable) -> None:
        # The sessions are the user's also where SET role gives the databases to another role.
        statement = sql.SQL(
            "SET ROLE NONE; SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = {name} AND {condition}; RESET ROLE"
        )
        self.execute(statement.format(name=sql.Literal(name), condition=condition))

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
        """Drop a database of the testbed that is not locked and has no connections.

        It has a label that counts, or is an unfinished one of this role.

        :returns: whether it was dropped.
        """
        name = database.name
        is_ours = database.label is not None or (
            database.kind == "unfinished" and database.owner == self.role
        )
        # A connection can take a lock that it already holds, so the lock is looked at first.
        if not is_ours or self.locks.is_locked(name) or self.is_protected(database):
            return False
        if not self.locks.try_lock(name):
            return False
        try:
            found = self.find(name)
            # Another program may have replaced it by its own before the lock was taken.
            if found is None or found.oid != database.oid or found.connections:
                return False
            self.drop(name)
            return True
        finally:
            self.locks.unlock(name)

    def _alter(self, statement: LiteralString, name: str, *more: sql.Composable) -> None:
        self.execute(sql.SQL(statement).format(sql.Identifier(name), *more))
