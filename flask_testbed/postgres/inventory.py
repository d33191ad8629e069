"""The databases of a server: found, and whether their labels count."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import LiteralString

from psycopg import sql
from sqlalchemy.engine import URL

from ..embedded.server import EmbeddedServer
from ..errors import RefusedError
from .connecting import address
from .database import Database
from .identity import find_identity, identity_of
from .labels import CLOSED, PREFIX, RESERVED, Kind, Label
from .server import MAINTENANCE, Server


class Inventory(Server):
    """A server on which databases are found, each with its label if that counts.

    :param url: URL of the server; its database does not matter.
    :param setting: where the URL was found, for messages.
    :param embedded: the embedded server to start first, or None for an external server.
    :param maintenance: name of the maintenance database.
    :param protected: URLs of the application's own databases, which are refused, by whatever
        address they are known.
    """

    def __init__(
        self,
        url: URL,
        setting: str,
        embedded: EmbeddedServer | None = None,
        maintenance: str = MAINTENANCE,
        protected: Sequence[URL] = (),
    ) -> None:
        super().__init__(url, setting, embedded, maintenance)
        self._protected = protected

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
        found = self._query("shobj_description(d.oid, 'pg_database') LIKE %s", f"{PREFIX}%")
        return [one for one in found if one.label is not None and one.label.kind == kind]

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

    def _query(self, condition: LiteralString, value: str) -> list[Database]:
        rows = self.execute(
            sql.SQL(
                "SELECT d.datname, d.oid, r.rolname, shobj_description(d.oid, 'pg_database'),"
                " pg_stat_get_db_numbackends(d.oid)"
                " FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba"
                " WHERE {} ORDER BY d.datname"
            ).format(sql.SQL(condition)),
            [value],
        )
        role = self.role
        return [
            Database.found(name, oid, owner, comment, count, role)
            for name, oid, owner, comment, count in rows
        ]

    def check_label(self, database: Database, kinds: Collection[Kind]) -> Label:
        """Return the label of a database, or refuse it if the testbed has not created it.

        :param kinds: those that the label may say.
        :raises RefusedError: names the database, the reason and the way out.
        """
        self.check_not_protected(database)
        if database.label is not None and database.label.kind in kinds:
            return database.label
        reason = database.foreign or f"is a database of the kind {database.kind!r}"
        way_out = "Let its owner or an administrator drop it."
        if not database.name.startswith(RESERVED):
            way_out = (
                "Choose another name with TEST_DATABASE_URL, or, if nothing in it is of worth,"
                " drop it with: flask test-db drop --yes"
            )
        raise RefusedError(
            f"Refused: the database {database.name!r} on {address(self.url)} {reason}, so it is"
            f" not touched. {way_out}"
        )

    def check_not_protected(self, database: Database) -> None:
        """Refuse one of the application's own databases, by whatever address they are known.

        :raises RefusedError: names the database and the way out.
        """
        if self.is_protected(database):
            raise RefusedError(
                f"Refused: {database.name!r} on {address(self.url)} is the application's own"
                " database: SQLALCHEMY_DATABASE_URI or SQLALCHEMY_BINDS leads to it. Point"
                " TEST_DATABASE_URL at a database of its own whose name ends in '_test'; it need"
                " not exist."
            )

    def is_protected(self, database: Database) -> bool:
        """Return whether a database is one of the application's own.

        A template or a snapshot is not: it accepts no connections.
        """
        return database.kind not in CLOSED and database.oid in self._protected_oids

    @cached_property
    def _protected_oids(self) -> frozenset[int]:
        """The oids of the protected databases that are on this server.

        One that cannot be connected to is known by its address alone, which the caller compares.
        """
        found = [find_identity(url, "SQLALCHEMY_DATABASE_URI") for url in self._protected]
        if not any(found):
            return frozenset()
        here = identity_of(self.connection).server
        return frozenset(one.oid for one in found if one is not None and one.server & here)
