"""Databases on a server: found, marked, locked, made and dropped.

The engine's databases bear its mark, a comment on the database. One comes into being under a
name that only the engine uses, and gets its mark and its final name in one transaction at the
end: whatever is interrupted, a database is complete or absent.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, LiteralString

import psycopg
from psycopg import errors, sql
from sqlalchemy.engine import URL

from .embedded import EmbeddedServer
from .errors import DatabaseError, RefusedError
from .server import Connection, address, connect, connect_administrator, reason
from .settings import Target

#: Databases of this prefix are being made, or were when their maker died. Nobody else's are.
UNFINISHED = "flask_testbed_new_"

#: Templates: the prefix and a fingerprint of all that made them.
TEMPLATE = "flask_testbed_template_"

_MARK = "flask-testbed: "

Statement = LiteralString | sql.SQL | sql.Composed
Cursor = psycopg.Cursor[tuple[Any, ...]]


@dataclass(frozen=True)
class Mark:
    """What the engine writes on each of its databases (``COMMENT ON DATABASE``)."""

    kind: str
    """``template``; ``kept``, until somebody drops it; or ``run``, as long as a run of pytest."""

    fingerprint: str
    """Of the schema that is in it."""

    made_by: str
    made_at: str

    def __str__(self) -> str:
        return _MARK + json.dumps(asdict(self))

    @classmethod
    def make(cls, kind: str, fingerprint: str) -> Mark:
        """A mark of this process, of now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(kind, fingerprint, _whoami(), now)

    @classmethod
    def read(cls, comment: str | None) -> Mark | None:
        """The mark in a comment, or ``None`` if it is somebody else's comment, or none."""
        if comment is None or not comment.startswith(_MARK):
            return None
        try:
            return cls(**json.loads(comment.removeprefix(_MARK)))
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Found:
    """A database that exists."""

    name: str
    owner: str
    mark: Mark | None
    connections: int


class Cluster:
    """A server, seen by somebody who makes and drops databases on it.

    Connects at first use. Locks that are taken are held until :meth:`close` or the death of
    the process.

    :param url: the server; the database does not matter.
    :param setting: where the URL was found, for messages.
    :param server: the embedded server that is to be started first, if it is one.
    """

    def __init__(self, url: URL, setting: str, server: EmbeddedServer | None = None) -> None:
        self.url = url
        self.setting = setting
        self.server = server

    @classmethod
    def of(cls, target: Target) -> Cluster:
        """The server on which a target is."""
        if not target.embedded:
            return cls(target.url, target.source)
        server = EmbeddedServer(target.instance, "test")
        return cls(server.url(target.name), target.source, server)

    @cached_property
    def connection(self) -> Connection:
        """The administrator's connection.

        :raises ServerError: there is none.
        """
        if self.server is not None:
            self.server.start()
        return connect_administrator(self.url, setting=self.setting)

    def disconnect(self) -> None:
        """Give back the connection, and with it all locks."""
        if "connection" in self.__dict__:
            self.connection.close()
            del self.connection

    def close(self) -> None:
        """Give back the connection, its locks, and the use of an embedded server."""
        self.disconnect()
        if self.server is not None:
            self.server.release()

    # Finding

    def find(self, name: str) -> Found | None:
        """Look for one database."""
        return next(iter(self._query("d.datname = %s", name)), None)

    def find_all(self, pattern: str) -> list[Found]:
        """Look for databases, by a regular expression of PostgreSQL's, sorted by name."""
        return self._query("d.datname ~ %s", f"^(?:{pattern})$")

    def _query(self, condition: str, value: str) -> list[Found]:
        rows = self._execute(
            sql.SQL(
                "SELECT d.datname, r.rolname, shobj_description(d.oid, 'pg_database'),"
                " (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid)"
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

    # Locking

    def try_lock(self, name: str) -> bool:
        """Take the exclusive lock on a name, unless somebody else has it.

        https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
        """
        return self._scalar("SELECT pg_try_advisory_lock(%s)", name)

    def is_locked(self, name: str) -> bool:
        """Whether somebody holds a lock on a name. Takes none."""
        return self._scalar(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = %s",
            name,
        )

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the exclusive lock on a name, after whoever has it."""
        self._scalar("SELECT pg_advisory_lock(%s)", name)
        try:
            yield
        finally:
            self.unlock(name)

    def lock_shared(self, name: str) -> None:
        """Take the shared lock on a name: it is in use."""
        self._scalar("SELECT pg_advisory_lock_shared(%s)", name)

    def unlock(self, name: str) -> None:
        """Give back the exclusive lock. A connection that was ended has given back all."""
        if not self.connection.closed:
            self._scalar("SELECT pg_advisory_unlock(%s)", name)

    def unlock_shared(self, name: str) -> None:
        """Give back the shared lock. A connection that was ended has given back all."""
        if not self.connection.closed:
            self._scalar("SELECT pg_advisory_unlock_shared(%s)", name)

    def _scalar(self, statement: str, name: str) -> bool:
        key = int.from_bytes(
            hashlib.sha256(f"flask-testbed:{name}".encode()).digest()[:8], signed=True
        )
        row = self._execute(statement, [key]).fetchone()
        return bool(row and row[0])

    # Making

    @contextmanager
    def making(self, name: str, mark: Mark, template: str | None = None) -> Iterator[str]:
        """Make a database: yield it under its unfinished name, then mark and name it.

        :param name: its final name; its lock must be held.
        :param mark: says what it is.
        :param template: what it is a clone of; by default the server's own template.
        :raises DatabaseError: the server says no; its words are in the message.
        """
        unfinished = UNFINISHED + secrets.token_hex(6)
        self.try_lock(unfinished)
        try:
            self._create(name, unfinished, template)
            yield unfinished
            self._finish(unfinished, name, mark)
        except BaseException:
            # Without a connection it stays, and whoever comes next drops it.
            if not self.connection.closed:
                self.drop(unfinished)
            raise
        finally:
            self.unlock(unfinished)

    def clone(self, template: str, name: str, mark: Mark) -> None:
        """Make a database that is a copy of another. Raises as :meth:`making`."""
        with self.making(name, mark, template):
            pass

    def _create(self, name: str, unfinished: str, template: str | None) -> None:
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unfinished))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
            if self._copies_files:
                statement += sql.SQL(" STRATEGY FILE_COPY")
        try:
            self.connection.execute(statement)
        except errors.InsufficientPrivilege as error:
            raise DatabaseError(
                f"Cannot make a test database on {address(self.url)}: the user"
                f" {self.connection.info.user!r} has no right to create databases. Let an"
                f' administrator run: ALTER ROLE "{self.connection.info.user}" CREATEDB;'
            ) from error
        except psycopg.Error as error:
            raise DatabaseError(
                f"Cannot make the database {name!r} on {address(self.url)}: {reason(error)}."
            ) from error

    def _finish(self, unfinished: str, name: str, mark: Mark) -> None:
        # Whoever made the schema may have left a connection, which would forbid the new name.
        self._execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [unfinished],
        )
        with self._speaking_plainly(), self.connection.transaction():
            self.mark(unfinished, mark)
            if mark.kind == "template":
                self._alter("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", unfinished)
            self._alter("ALTER DATABASE {} RENAME TO {}", unfinished, sql.Identifier(name))

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
        """Drop a database, with whoever is connected to it. The caller has checked that it may."""
        try:
            self._alter("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        except psycopg.Error as error:
            raise DatabaseError(f"Cannot drop the database {name!r}: {reason(error)}.") from error

    def drop_unfinished(self) -> None:
        """Drop what was being made when its maker died."""
        for found in self.find_all(UNFINISHED + "[0-9a-f]{12}"):
            self.drop_if_free(found)

    def drop_if_free(self, found: Found) -> None:
        """Drop a database of one's own that nobody has locked and nobody is connected to."""
        if found.owner != self.connection.info.user or self.is_locked(found.name):
            return
        if self.try_lock(found.name):
            still = self.find(found.name)
            if still is not None and not still.connections:
                self.drop(found.name)
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

    def connect(self, name: str) -> Connection:
        """Connect to one of the databases, in autocommit mode."""
        return connect(self.url, setting=self.setting, database=name)

    def _alter(self, statement: str, name: str, *more: sql.Composable) -> None:
        text = sql.SQL(statement)
        self._execute(text.format(sql.Identifier(name), *more))

    def _execute(self, statement: Statement, parameters: Sequence[Any] = ()) -> Cursor:
        with self._speaking_plainly():
            return self.connection.cursor().execute(statement, parameters or None)

    @contextmanager
    def _speaking_plainly(self) -> Iterator[None]:
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


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"
