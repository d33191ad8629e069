"""The test database of an application, as the commands ``test-db`` handle it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from flask import Flask
from sqlalchemy.engine import URL

from ..application.databases import database_of
from ..application.guards import check_target
from ..application.schema import Schema, find_schema
from ..application.target import NAMES_OF_RUNS, target_of
from ..errors import DatabaseError, RefusedError
from ..postgres.cluster import Cluster
from ..postgres.connecting import address
from ..postgres.database import Database
from ..postgres.in_use import check_no_sessions, lock_database, locked_database
from ..postgres.labels import DISPOSABLE_KINDS, SNAPSHOT, TEMPLATE, UNFINISHED, Kind, Label
from .pruning import DAYS, KEEP, Pruned, prune
from .psql import run_psql
from .servers import cluster_of
from .template import Template, count_tables


@dataclass(frozen=True)
class Created:
    """The result of ``create`` and ``reset``."""

    name: str
    where: str
    source: str
    tables: int
    seconds: float
    existed: bool


class TestDatabase:
    """The test database of an application.

    :param app: an application with Flask-SQLAlchemy.
    :raises SettingsError: a setting cannot be used.
    """

    __test__ = False

    def __init__(self, app: Flask) -> None:
        # The caller may keep no other reference to the application, and a database has none.
        self._app = app
        self._database = database_of(app)
        self.target = target_of(self._database)

    def __repr__(self) -> str:
        return f"<TestDatabase {self.target.name!r} on {self.target.source}>"

    @property
    def url(self) -> URL:
        """URL of the test database, with its password. Connects to nothing."""
        return cluster_of(self.target).url

    def create(self) -> Created:
        """Create the test database, unless it exists with the current schema.

        :raises RefusedError: a rule protects the database that exists, or its schema is another.
        :raises TestbedError: it cannot be created.
        """
        started = time.perf_counter()
        with self._cluster() as cluster, locked_database(cluster, self.target.name):
            found = cluster.find(self.target.name)
            label = None if found is None else cluster.check_label(found, DISPOSABLE_KINDS)
            template = Template(cluster, self._schema)
            if label is not None and label.kind == Kind.KEPT:
                self._check_current(label, template)
                return self._created(cluster, started, label, existed=True)
            if found is not None:
                check_no_sessions(cluster, found)
            label = self._clone(cluster, template, replacing=found is not None)
            return self._created(cluster, started, label, existed=False)

    def reset(self, *, force: bool = False) -> Created:
        """Replace the test database by a new clone of the template, which is empty.

        :param force: end the sessions of others.
        :raises RefusedError: a rule protects the database, or a program is connected to it.
        """
        started = time.perf_counter()
        with self._cluster() as cluster, locked_database(cluster, self.target.name):
            found = self._find(cluster)
            cluster.check_label(found, DISPOSABLE_KINDS)
            check_no_sessions(cluster, found, force=force)
            template = Template(cluster, self._schema)
            label = self._clone(cluster, template, replacing=True)
            return self._created(cluster, started, label, existed=False)

    def drop(self, *, confirmed: bool = False, force: bool = False) -> list[str]:
        """Drop the test database, and those of its workers and concurrent runs: all or none.

        :param confirmed: drop the test database even if the testbed has not created it.
        :param force: end the sessions of others.
        :returns: the names of the databases that were dropped, sorted.
        :raises RefusedError: a rule protects one of them, or a program is connected to it.
        """
        with self._cluster() as cluster:
            all_of_them = [
                one
                for one in self._find_all(cluster)
                if one.kind in DISPOSABLE_KINDS or one.name == self.target.name
            ]
            for database in all_of_them:
                check_target(self.target, database.name)
                if confirmed:
                    cluster.check_not_protected(database)
                else:
                    cluster.check_label(database, DISPOSABLE_KINDS)
                lock_database(cluster, database.name)
                check_no_sessions(cluster, database, force=force)
            for database in all_of_them:
                cluster.drop(database.name)
            return [database.name for database in all_of_them]

    def prune(self, *, keep: int = KEEP, days: float = DAYS) -> list[Pruned]:
        """Drop leftovers of dead runs, of all projects, and templates of old schemas.

        :param keep: number of old templates that stay on the embedded server, the newest ones.
        :param days: days for which they stay.
        :returns: what was dropped: databases sorted by name, then servers.
        """
        with self._cluster() as cluster:
            current = Template(cluster, self._schema).name
            return prune(cluster, current=current, keep=keep, days=days)

    def status(self) -> list[Database]:
        """Return the test database, those of runs, snapshots and templates."""
        with self._cluster() as cluster:
            fingerprint = Template(cluster, self._schema).fingerprint
            found = self._find_all(cluster)
            found += cluster.find_all(f"({TEMPLATE}|{UNFINISHED}|{SNAPSHOT}).*")
            return [
                replace(
                    cluster.inspect(one),
                    current=one.fingerprint == fingerprint if one.label else None,
                )
                for one in found
            ]

    def shell(self, arguments: tuple[str, ...] = ()) -> int:
        """Run ``psql`` on the test database, and return its exit status.

        :param arguments: further arguments of psql.
        :raises DatabaseError: there is no test database.
        """
        with self._cluster() as cluster:
            self._find(cluster)
            return run_psql(cluster, arguments)

    @contextmanager
    def serving(self) -> Iterator[URL]:
        """Keep the embedded server running, and yield the URL of the test database.

        The test database is created if it does not exist.

        :raises DatabaseError: the test database is on an external server.
        """
        if not self.target.embedded:
            raise DatabaseError(
                f"There is nothing to serve: the test database is on {address(self.target.url)}"
                f" ({self.target.source}), a server that is not the testbed's."
            )
        with self._cluster() as cluster:
            if cluster.find(self.target.name) is None:
                self.create()
            yield cluster.url

    @contextmanager
    def temporary(self) -> Iterator[tuple[Cluster, str]]:
        """Create another database with the application's schema, and drop it in the end.

        Yields its server and its name.

        :raises TestbedError: it cannot be created.
        """
        with (
            self._cluster() as cluster,
            Template(cluster, self._schema).held() as template,
            cluster.temporary(template.name) as name,
        ):
            yield cluster, name

    @contextmanager
    def _cluster(self) -> Iterator[Cluster]:
        check_target(self.target)
        with closing(cluster_of(self.target)) as cluster:
            yield cluster

    @cached_property
    def _schema(self) -> Schema:
        return find_schema(self._database)

    def _find(self, cluster: Cluster) -> Database:
        found = cluster.find(self.target.name)
        if found is None:
            raise DatabaseError(
                f"There is no test database {self.target.name!r} on {address(self.url)}."
                " Make it with: flask test-db create"
            )
        return found

    def _find_all(self, cluster: Cluster) -> list[Database]:
        return cluster.find_all(re.escape(self.target.name) + NAMES_OF_RUNS)

    def _clone(self, cluster: Cluster, template: Template, *, replacing: bool) -> Label:
        """Clone the template, and return the label of the clone."""
        with template.held() as found:
            tables = found.label.tables if found.label else None
            label = Label.create(Kind.KEPT, template.fingerprint, tables=tables)
            cluster.clone(template.name, self.target.name, label, replacing=replacing)
        return label

    def _check_current(self, label: Label, template: Template) -> None:
        if label.fingerprint != template.fingerprint:
            raise RefusedError(
                f"Refused: the database {self.target.name!r} is there already, and its schema is"
                " not the current one. Replace it by an empty one with: flask test-db reset"
            )

    def _created(self, cluster: Cluster, started: float, label: Label, *, existed: bool) -> Created:
        name, tables = self.target.name, label.tables
        if tables is None:  # pytest created it, or the process that built the template was killed
            with closing(cluster.connect(name)) as connection:
                tables = count_tables(connection)
        return Created(
            name=name,
            where=f"{address(cluster.url)} ({self.target.source})",
            source=self._schema.source.name,
            tables=tables,
            seconds=time.perf_counter() - started,
            existed=existed,
        )
