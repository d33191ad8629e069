"""Named copies of a database, which are restored by cloning.

A snapshot is a database on the same server that accepts no connections. Restoring it replaces the
database by a clone in one transaction: whatever is interrupted, the old or the new one is there,
complete.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from flask import Flask

from ..application.databases import database_of
from ..application.guards import SYSTEM, check_target, in_production
from ..application.target import find_production, is_development, target_of
from ..errors import DatabaseError, RefusedError, SettingsError
from ..postgres.cluster import Cluster
from ..postgres.connecting import address
from ..postgres.database import Database
from ..postgres.in_use import check_no_sessions, locked_database
from ..postgres.labels import DISPOSABLE_KINDS, SNAPSHOT, Kind, Label
from .servers import cluster_of, own_cluster_of

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class Snapshots:
    """The snapshots of an application's test database, or of its development database.

    :param app: an application with Flask-SQLAlchemy.
    :param development: use the application's own database.
    :raises SettingsError: a setting cannot be used.
    """

    def __init__(self, app: Flask, *, development: bool = False) -> None:
        # The caller may keep no other reference to the application, and a database has none.
        self._app = app
        self._database = database_of(app)
        self._target = target_of(self._database)
        self.development = development

    @property
    def embedded(self) -> bool:
        """Whether the database is on an embedded server, where no other project has one."""
        if not self.development:
            return self._target.embedded
        return is_development(self._database.own_url, self._database.app.instance_path)

    @property
    def database(self) -> str:
        """Name of the database."""
        url = self._database.own_url if self.development else self._target.url
        return str(url.database)

    def save(self, name: str, *, force: bool = False) -> None:
        """Copy the database.

        :param name: name of the new snapshot.
        :param force: end the sessions of others, which would forbid copying.
        :raises RefusedError: a rule protects the database, a program is connected to it, or there
            is a snapshot of that name.
        """
        _check_name(name)
        key = self._key(name)
        with self._cluster() as cluster, locked_database(cluster, self.database):
            source = self._source(cluster)
            if (existing := cluster.find(key)) is not None:
                cluster.check_label(existing, {Kind.SNAPSHOT})
                raise RefusedError(
                    f"Refused: there is a snapshot {name!r} of {self.database!r} already. Choose"
                    f" another name, or drop it with: {self._command('drop', name)}"
                )
            check_no_sessions(cluster, source, force=force)
            with locked_database(cluster, key):
                if force:
                    cluster.end_sessions(source.name)
                label = Label.create(
                    Kind.SNAPSHOT, source.fingerprint, of=self.database, title=name
                )
                cluster.clone(source.name, key, label)
        logger.debug("saved the snapshot %r of %r", name, self.database)

    def restore(self, name: str, *, force: bool = False) -> None:
        """Replace the database by a copy of a snapshot. What is in it now is lost.

        Its settings (ALTER DATABASE … SET), privileges and owner stay. If the database is gone,
        they are those that it had when the snapshot was saved.

        :param force: end the sessions of others.
        :raises RefusedError: a rule protects the database, or a program is connected to it.
        :raises DatabaseError: there is no such snapshot.
        """
        _check_name(name)
        with self._cluster() as cluster, locked_database(cluster, self.database):
            snapshot, found = self._restorable(cluster, name, force=force)
            kind = Kind.DEVELOPMENT if self.development else Kind.KEPT
            with locked_database(cluster, snapshot.name):
                label = Label.create(kind, snapshot.fingerprint)
                cluster.clone(
                    snapshot.name, self.database, label, replacing=found is not None, like=found
                )
        logger.debug("restored the snapshot %r of %r", name, self.database)

    def check_restore(self, name: str, *, force: bool = False) -> None:
        """Raise what :meth:`restore` would raise, and change nothing."""
        _check_name(name)
        with self._cluster() as cluster:
            self._restorable(cluster, name, force=force)

    def _restorable(
        self, cluster: Cluster, name: str, *, force: bool
    ) -> tuple[Database, Database | None]:
        """Return a snapshot, and the database that it may replace, if there is one."""
        found = cluster.find(self.database)
        if found is not None:
            self._check_ours(cluster, found)
        snapshot = self._find(cluster, name)
        if found is not None:
            check_no_sessions(cluster, found, force=force)
        return snapshot, found

    def list(self) -> list[Database]:
        """Return the snapshots of the database, with their sizes, sorted by name."""
        with self._cluster() as cluster:
            found = [
                (one.label.title, one)
                for one in cluster.find_kind(Kind.SNAPSHOT)
                if one.label and one.label.of == self.database
            ]
            return [cluster.inspect(one) for _, one in sorted(found, key=lambda pair: pair[0])]

    def drop(self, name: str) -> None:
        """Drop a snapshot.

        :raises DatabaseError: there is no such snapshot.
        """
        _check_name(name)
        with self._cluster() as cluster:
            snapshot = self._find(cluster, name)
            with locked_database(cluster, snapshot.name):
                cluster.drop(snapshot.name)

    @contextmanager
    def _cluster(self) -> Iterator[Cluster]:
        """Yield the server of the database, after the rules that need no connection."""
        if self.development:
            self._check_development()
            cluster = own_cluster_of(self._database)
        else:
            check_target(self._target)
            cluster = cluster_of(self._target)
        with closing(cluster):
            cluster.drop_unfinished()
            yield cluster

    def _check_development(self) -> None:
        name = self.database
        if setting := find_production(self._database.app):
            raise in_production(setting, f"{name!r} is not touched")
        if name in SYSTEM:
            raise RefusedError(
                f"Refused: {name!r} is a database of the server's own. Give the application one"
                " with another name."
            )

    def _source(self, cluster: Cluster) -> Database:
        found = cluster.find(self.database)
        if found is None:
            way_out = "the application makes it when it first connects"
            if not self.development:
                way_out = "make it with: flask test-db create"
            raise DatabaseError(
                f"There is no database {self.database!r} on {address(cluster.url)}; {way_out}"
            )
        self._check_ours(cluster, found)
        return found

    def _check_ours(self, cluster: Cluster, database: Database) -> None:
        """Refuse a database that other people may use.

        All databases on the embedded development server are the project's. On another server the
        label decides. That holds for saving as well, since it closes the database to connections.
        """
        if not self.development:
            cluster.check_label(database, DISPOSABLE_KINDS)
        elif not self.embedded and database.label is None:
            raise RefusedError(
                f"Refused: the database {database.name!r} on {address(cluster.url)}"
                f" {database.foreign}, and is the application's own: it may be of worth to others."
                " Use pg_dump and pg_restore, or the embedded development server"
                " (development_url())."
            )

    def _find(self, cluster: Cluster, name: str) -> Database:
        found = cluster.find(self._key(name))
        if found is None:
            raise DatabaseError(
                f"There is no snapshot {name!r} of {self.database!r} on {address(cluster.url)}."
                f" See which there are with: {self._command('list')}"
            )
        cluster.check_label(found, {Kind.SNAPSHOT})
        return found

    def _key(self, name: str) -> str:
        """Return the name of a snapshot's database, which is always short enough."""
        digest = hashlib.sha256(f"{self.database}\0{name}".encode()).hexdigest()
        return SNAPSHOT + digest[:16]

    def _command(self, *words: str) -> str:
        option = ["--development"] if self.development else []
        return " ".join(["flask test-db snapshot", *words, *option])


def snapshot_json(snapshot: Database) -> dict[str, Any]:
    """Return what ``snapshot list --json`` shows of a snapshot."""
    label = snapshot.label
    return {
        "name": label.title if label else "",
        "of": label.of if label else "",
        "database": snapshot.name,
        "made_by": snapshot.made_by,
        "made_at": snapshot.made_at,
        "size": snapshot.size,
    }


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{name!r} cannot be the name of a snapshot: use up to 63 ASCII letters, digits, '_',"
            " '-' and '.', beginning with a letter or a digit."
        )
