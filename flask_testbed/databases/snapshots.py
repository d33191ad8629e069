"""Named copies of a database, restored in a blink by cloning.

A snapshot is a database of its own on the same server, closed to connections. Restoring swaps a
clone of it for what is there in one transaction: whatever is interrupted, the one or the other is
there, whole.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask import Flask
from sqlalchemy.engine import URL

from ..application.databases import database_of
from ..application.guards import SYSTEM, check_target
from ..application.target import is_development, is_production, target_of
from ..embedded.server import EmbeddedServer
from ..errors import DatabaseError, RefusedError, SettingsError
from ..postgres.cluster import SNAPSHOT, Cluster, Found, Mark
from ..postgres.connecting import address
from ..postgres.in_use import check_unused, held
from .servers import cluster_of

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True)
class Snapshot:
    """A copy that exists."""

    name: str
    """As a person gave it."""
    of: str
    """The database that it is a copy of."""
    database: str
    """Its own name on the server."""
    made_by: str
    made_at: str
    size: int | None
    """Bytes; ``None`` where one may not look."""


@dataclass(frozen=True)
class Done:
    """What was done with a snapshot."""

    name: str
    of: str
    seconds: float


class Snapshots:
    """The snapshots of an application's test database, or of its development database.

    :param app: an application with Flask-SQLAlchemy.
    :param development: of the application's own database.
    :raises SettingsError: a setting cannot be used.
    """

    def __init__(self, app: Flask, *, development: bool = False) -> None:
        self._database = database_of(app)
        self._target = target_of(self._database)
        self.development = development

    @property
    def embedded(self) -> bool:
        """Whether the database is on an embedded server, where nobody else's can be."""
        if not self.development:
            return self._target.embedded
        return is_development(self._database.own_url, self._database.app.instance_path)

    @property
    def database(self) -> str:
        """The name of the database."""
        url = self._database.own_url if self.development else self._target.url
        return str(url.database)

    def save(self, name: str, *, force: bool = False) -> Done:
        """Copy the database.

        :param name: of the new snapshot.
        :param force: end other people's connections, which would forbid it.
        :raises RefusedError: a rule protects the database, somebody is connected to it, or the
            name is taken.
        """
        _check_name(name)
        started = time.perf_counter()
        with self._cluster() as cluster, held(cluster, self.database):
            source = self._source(cluster)
            if cluster.find(self._key(name)) is not None:
                raise RefusedError(
                    f"Refused: there is a snapshot {name!r} of {self.database!r} already. Choose"
                    f" another name, or drop it with: {self._command('drop', name)}"
                )
            check_unused(cluster, source, force=force)
            with held(cluster, self._key(name)):
                if force:
                    cluster.end_users(source.name)
                fingerprint = source.mark.fingerprint if source.mark else ""
                mark = Mark.make("snapshot", fingerprint, of=self.database, label=name)
                cluster.clone(source.name, self._key(name), mark)
        return Done(name, self.database, time.perf_counter() - started)

    def restore(self, name: str, *, force: bool = False) -> Done:
        """Put a copy of a snapshot in the database's place. What is there now is lost.

        :param force: end other people's connections.
        :raises RefusedError: a rule protects the database, or somebody is connected to it.
        :raises DatabaseError: there is no such snapshot.
        """
        _check_name(name)
        started = time.perf_counter()
        with self._cluster() as cluster, held(cluster, self.database):
            found = cluster.find(self.database)
            if found is not None:
                self._check_ours(cluster, found)
            snapshot = self._find(cluster, name)
            if found is not None:
                check_unused(cluster, found, force=force)
            kind = "development" if self.development else "kept"
            fingerprint = snapshot.mark.fingerprint if snapshot.mark else ""
            with held(cluster, snapshot.name):
                mark = Mark.make(kind, fingerprint)
                cluster.clone(snapshot.name, self.database, mark, replacing=found is not None)
        return Done(name, self.database, time.perf_counter() - started)

    def list(self) -> list[Snapshot]:
        """The snapshots of the database, sorted by name."""
        with self._cluster() as cluster:
            marked = [(f, f.mark) for f in cluster.find_marked("snapshot") if f.mark]
            mine = [(found, mark) for found, mark in marked if mark.of == self.database]
            return sorted(
                (
                    Snapshot(
                        name=mark.label,
                        of=mark.of,
                        database=found.name,
                        made_by=mark.made_by,
                        made_at=mark.made_at,
                        size=cluster.size(found.name),
                    )
                    for found, mark in mine
                ),
                key=lambda snapshot: snapshot.name,
            )

    def drop(self, name: str) -> Done:
        """Drop a snapshot.

        :raises DatabaseError: there is no such snapshot.
        """
        _check_name(name)
        started = time.perf_counter()
        with self._cluster() as cluster:
            snapshot = self._find(cluster, name)
            with held(cluster, snapshot.name):
                cluster.drop(snapshot.name)
        return Done(name, self.database, time.perf_counter() - started)

    # Parts

    @contextmanager
    def _cluster(self) -> Iterator[Cluster]:
        """The server of the database, once the rules that need no look at it are kept."""
        if self.development:
            self._check_development()
            cluster = self._development_cluster()
        else:
            check_target(self._target)
            cluster = cluster_of(self._target)
        with closing(cluster):
            cluster.drop_unfinished()
            yield cluster

    def _development_cluster(self) -> Cluster:
        url: URL = self._database.own_url
        server = EmbeddedServer(Path(self._database.app.instance_path), "development")
        return Cluster(url, "SQLALCHEMY_DATABASE_URI", server if self.embedded else None)

    def _check_development(self) -> None:
        name = self.database
        if is_production(self._database.app):
            raise RefusedError(
                f"Refused: {name!r} is not touched, because the application runs in production"
                " configuration. Run this with APP_ENV=development, or without"
                " FLASK_ENV=production."
            )
        if name in SYSTEM:
            raise RefusedError(
                f"Refused: {name!r} is a database of the server's own. Give the application one"
                " with another name."
            )

    def _source(self, cluster: Cluster) -> Found:
        found = cluster.find(self.database)
        if found is None:
            make = "the application makes it when it first connects"
            if not self.development:
                make = "make it with: flask test-db create"
            raise DatabaseError(
                f"There is no database {self.database!r} on {address(cluster.url)}; {make}"
            )
        self._check_ours(cluster, found)
        return found

    def _check_ours(self, cluster: Cluster, found: Found) -> None:
        """Refuse a database that may be somebody else's.

        On the embedded development server nobody else has one. Elsewhere the mark decides, also
        for a copy: it locks others out meanwhile, and would never be restored.
        """
        if not self.development:
            cluster.check_mark(found)
        elif not self.embedded and found.mark is None:
            raise RefusedError(
                f"Refused: the database {found.name!r} on {address(cluster.url)} was not made by"
                " flask-testbed, and is the application's own: it may be of worth to others. Use"
                " pg_dump and pg_restore, or the embedded development server"
                " (development_url())."
            )

    def _find(self, cluster: Cluster, name: str) -> Found:
        found = cluster.find(self._key(name))
        if found is None or found.mark is None:
            raise DatabaseError(
                f"There is no snapshot {name!r} of {self.database!r} on {address(cluster.url)}."
                f" See which there are with: {self._command('list')}"
            )
        return found

    def _key(self, name: str) -> str:
        """The name of a snapshot's database, which is always short enough."""
        digest = hashlib.sha256(f"{self.database}\0{name}".encode()).hexdigest()
        return SNAPSHOT + digest[:16]

    def _command(self, *words: str) -> str:
        option = ["--development"] if self.development else []
        return " ".join(["flask test-db snapshot", *words, *option])


def _check_name(name: str) -> None:
    if not _LABEL.fullmatch(name):
        raise SettingsError(
            f"{name!r} cannot be the name of a snapshot: use up to 63 ASCII letters, digits, '_',"
            " '-' and '.', beginning with a letter or a digit."
        )
