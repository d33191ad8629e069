"""Databases on a server: found, marked, locked, made and dropped.

The engine's databases bear its mark, a comment on the database. One comes into being under a
name that only the engine uses, and gets its mark and its final name in one transaction at the
end: whatever is interrupted, a database is complete or absent.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import LiteralString

import psycopg
from psycopg import errors, sql

from ..errors import DatabaseError, RefusedError
from .connecting import address, reason
from .labels import SNAPSHOT, TEMPLATE, UNFINISHED, Found, Mark
from .locks import Locks

__all__ = ["SNAPSHOT", "TEMPLATE", "UNFINISHED", "Cluster", "Found", "Mark"]

#: Kinds of databases that are only cloned: nobody may connect to them, which would forbid it.
_CLOSED = {"template", "snapshot"}


class Cluster(Locks):
    """A server, seen by somebody who makes and drops databases on it.

    Connects at first use. Locks that are taken are held until :meth:`close` or the death of
    the process.

    :param url: the server; the database does not matter.
    :param setting: where the URL was found, for messages.
    :param server: the embedded server that is to be started first, if it is one.
    """

    # Finding

    def find(self, name: str) -> Found | None:
        """Look for one database."""
        return next(iter(self._query("d.datname = %s", name)), None)

    def find_all(self, pattern: str) -> list[Found]:
        """Look for databases, by a regular expression of PostgreSQL's, sorted by name."""
        return self._query("d.datname ~ %s", f"^(?:{pattern})$")

    def find_marked(self, kind: str) -> list[Found]:
        """Look for databases that the engine has made, by what they are there for."""
        marked = self._query("shobj_description(d.oid, 'pg_database') LIKE %s", "flask-testbed: %")
        return [found for found in marked if found.mark is not None and found.mark.kind == kind]

    def _query(self, condition: str, value: str) -> list[Found]:
        rows = self._execute(
            sql.SQL(
                "SELECT d.datname, r.rolname, shobj_description(d.oid, 'pg_database'),"
                " pg_stat_get_db_numbackends(d.oid)"
                " FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba"
                " WHERE {} ORDER BY d.datname"
            ).format(sql.SQL(condition)),
            [value],
        )
        return [Found(name, owner, Mark.read(text), count) for name, owner, text, count in rows]

    def size(self, name: str) -> int | None:
        """The bytes that a database takes; ``None`` where one may not look."""
        row = self._execute(
            "SELECT CASE WHEN has_database_privilege(%s, 'CONNECT') THEN pg_database_size(%s) END",
            [name, name],
        ).fetchone()
        return row[0] if row else None

    def users(self, name: str) -> list[str]:
        """Who is connected to a database, in words."""
        rows = self._execute(
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

    # Making

    @contextmanager
    def making(
        self, name: str, mark: Mark, template: str | None = None, *, replacing: bool = False
    ) -> Iterator[str]:
        """Make a database: yield it under its unfinished name, then mark and name it.

        :param name: its final name; its lock must be held.
        :param mark: says what it is.
        :param template: what it is a clone of; by default the server's own template.
        :param replacing: another one has that name, and goes, with whoever is connected to it.
            At any moment the name is that of one of them, whole.
        :raises DatabaseError: the server says no; its words are in the message.
        """
        with self._reserved() as unfinished:
            try:
                self._create(name, unfinished, template)
                yield unfinished
                if template is None:
                    # Whoever made the schema may have left a connection, which forbids renaming.
                    self.end_users(unfinished)
                if replacing:
                    self._swap(unfinished, name, mark)
                else:
                    self._finish(unfinished, name, mark)
            except BaseException:
                # Without a connection it stays, and whoever comes next drops it.
                if not self.connection.closed:
                    self.drop(unfinished)
                raise

    def clone(self, template: str, name: str, mark: Mark, *, replacing: bool = False) -> None:
        """Make a database that is a copy of another. Parameters and errors as :meth:`making`."""
        with self.making(name, mark, template, replacing=replacing):
            pass

    @contextmanager
    def scratch(self, template: str) -> Iterator[str]:
        """A copy of a database that is dropped afterwards. Raises as :meth:`making`."""
        with self._reserved() as name:
            try:
                self._create(name, name, template)
                yield name
            finally:
                if not self.connection.closed:
                    self.drop(name)

    @contextmanager
    def _reserved(self) -> Iterator[str]:
        """A name for what is not finished, which nobody drops meanwhile."""
        name = UNFINISHED + secrets.token_hex(6)
        self.try_lock(name)
        try:
            yield name
        finally:
            self.unlock(name)

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

    def _swap(self, unfinished: str, name: str, mark: Mark) -> None:
        with self._reserved() as old:
            self.end_users(name)
            self._finish(unfinished, name, mark, old)
            self.drop(old)

    def _finish(self, unfinished: str, name: str, mark: Mark, old: str | None = None) -> None:
        steps: list[LiteralString] = ["COMMENT ON DATABASE {new} IS {mark}"]
        if mark.kind in _CLOSED:
            steps += ["ALTER DATABASE {new} WITH ALLOW_CONNECTIONS false"]
        if old is not None:
            steps += ["ALTER DATABASE {name} RENAME TO {old}"]
        steps += ["ALTER DATABASE {new} RENAME TO {name}"]
        # Several statements that are sent at once are one transaction.
        names = {"new": unfinished, "name": name, "old": old or ""}
        parts = {key: sql.Identifier(value) for key, value in names.items()}
        text = sql.SQL("; ").join(
            sql.SQL(step).format(mark=sql.Literal(str(mark)), **parts) for step in steps
        )
        try:
            self._execute(text)
        except errors.DuplicateDatabase as error:
            raise RefusedError(
                f"Refused: somebody has just made a database {name!r} on {address(self.url)},"
                " which is not touched. Choose another name with TEST_DATABASE_URL, or try again"
                " when it is gone."
            ) from error

    def end_users(self, name: str) -> None:
        """End the sessions of whoever is connected to a database.

        :raises DatabaseError: one of them is another role's.
        """
        with self._needing_no_others(f"end who uses the database {name!r}", name):
            self._execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )

    def mark(self, name: str, mark: Mark) -> None:
        """Write the engine's mark on a database."""
        self._alter("COMMENT ON DATABASE {} IS {}", name, sql.Literal(str(mark)))

    @cached_property
    def _copies_files(self) -> bool:
        """Whether a copy of the files is the quickest clone: where a checkpoint costs nothing.

        https://www.postgresql.org/docs/current/sql-createdatabase.html#CREATE-DATABASE-STRATEGY
        """
        row = self.connection.execute("SHOW fsync").fetchone()
        return self.version >= 150000 and row == ("off",)

    # Dropping

    def drop(self, name: str) -> None:
        """Drop a database, with whoever is connected to it. The caller has checked that it may.

        :raises DatabaseError: it cannot be, since one of them is another role's, or for whatever
            else the server says.
        """
        with self._needing_no_others(f"drop the database {name!r}", name):
            self._alter("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    @contextmanager
    def _needing_no_others(self, doing: str, name: str) -> Iterator[None]:
        """Say who is connected to a database, if that is why something fails."""
        try:
            yield
        except psycopg.Error as error:
            others = self.users(name)
            found = f" Let these disconnect: {'; '.join(others)}." if others else ""
            raise DatabaseError(f"Cannot {doing}: {reason(error)}.{found}") from error

    def drop_unfinished(self) -> list[Found]:
        """Drop what was being made when its maker died. Returns what it was."""
        leftovers = self.find_all(UNFINISHED + "[0-9a-f]{12}")
        return [found for found in leftovers if self.drop_if_free(found)]

    def drop_if_free(self, found: Found) -> bool:
        """Drop a database of one's own that nobody has locked and nobody is connected to."""
        if found.owner != self.connection.info.user or self.is_locked(found.name):
            return False
        if not self.try_lock(found.name):
            return False
        try:
            still = self.find(found.name)
            if still is None or still.connections:
                return False
            self.drop(found.name)
            return True
        finally:
            self.unlock(found.name)

    def check_mark(self, found: Found) -> Mark:
        """Refuse a database that the engine has not made.

        :raises RefusedError: names the database, its owner and the way out.
        """
        if found.mark is None:
            raise RefusedError(
                f"Refused: the database {found.name!r} on {address(self.url)} was not made by"
                f" flask-testbed (its owner is {found.owner!r}), so it is not touched. Choose"
                " another name with TEST_DATABASE_URL, or, if nothing in it is of worth, drop it"
                " with: flask test-db drop --yes"
            )
        return found.mark

    def _alter(self, statement: str, name: str, *more: sql.Composable) -> None:
        text = sql.SQL(statement)
        self._execute(text.format(sql.Identifier(name), *more))
