"""What the ``test-db`` commands do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property

from flask import Flask
from sqlalchemy.engine import URL

from ..application.databases import database_of
from ..application.guards import check_target
from ..application.schema import Schema, find_schema
from ..application.target import NAMES_OF_RUNS, target_of
from ..embedded.parameters import environment_without_libpq
from ..embedded.programs import psql
from ..errors import DatabaseError, RefusedError
from ..postgres.cluster import SNAPSHOT, TEMPLATE, UNFINISHED, Cluster, Found, Mark
from ..postgres.connecting import address, shown
from ..postgres.in_use import check_unused, held, hold
from .pruning import DAYS, KEEP, Pruned, prune
from .servers import cluster_of
from .status import Row, describe
from .template import count_tables, full_fingerprint, hold_template, release_template


@dataclass(frozen=True)
class Created:
    """A test database that is there now."""

    name: str
    where: str
    source: str
    tables: int
    seconds: float
    existed: bool


class TestDatabase:
    """The test database of an application, as somebody at a terminal handles it.

    :param app: an application with Flask-SQLAlchemy.
    :raises SettingsError: a setting cannot be used.
    """

    __test__ = False

    def __init__(self, app: Flask) -> None:
        self._database = database_of(app)
        self.target = target_of(self._database)

    @property
    def url(self) -> URL:
        """Its URL, with its password. Connects to nothing."""
        return cluster_of(self.target).url

    def create(self) -> Created:
        """Make the test database, or find that it is there and current.

        :raises RefusedError: a rule protects what is there, or its schema is another one.
        :raises TestbedError: it cannot be made.
        """
        started = time.perf_counter()
        with self._cluster() as cluster, held(cluster, self.target.name):
            found = cluster.find(self.target.name)
            mark = cluster.check_mark(found) if found is not None else None
            if mark is not None and mark.kind == "kept":
                self._check_current(cluster, mark)
                return self._created(cluster, started, mark, existed=True)
            if found is not None:
                check_unused(cluster, found)
            return self._created(cluster, started, self._replace(cluster, found), existed=False)

    def reset(self, *, force: bool = False) -> Created:
        """Empty the test database: a new clone of the template takes its place.

        :param force: end other people's connections.
        :raises RefusedError: a rule protects it, or somebody is connected.
        """
        started = time.perf_counter()
        with self._cluster() as cluster, held(cluster, self.target.name):
            found = cluster.find(self.target.name)
            if found is None:
                raise DatabaseError(self._absent())
            cluster.check_mark(found)
            check_unused(cluster, found, force=force)
            return self._created(cluster, started, self._replace(cluster, found), existed=False)

    def drop(self, *, confirmed: bool = False, force: bool = False) -> list[str]:
        """Drop the test database, and those of its workers and of concurrent runs.

        Either all of them or none.

        :param confirmed: a person wants it dropped even if the engine has not made it.
        :param force: end other people's connections.
        :returns: the names of those that were dropped, sorted.
        :raises RefusedError: a rule protects one of them, or somebody is connected.
        """
        with self._cluster() as cluster:
            doomed = [found for found in self._all(cluster) if found.mark or self._is_it(found)]
            for found in doomed:
                check_target(self.target, found.name)
                if not confirmed:
                    cluster.check_mark(found)
                hold(cluster, found.name)
                check_unused(cluster, found, force=force)
            for found in doomed:
                cluster.drop(found.name)
            return [found.name for found in doomed]

    def prune(self, *, keep: int = KEEP, days: float = DAYS) -> list[Pruned]:
        """Drop leftovers of dead runs, of whichever project, and templates of old schemas.

        :param keep: how many old templates stay on the embedded server, the newest ones.
        :param days: for how long they stay there.
        :returns: what was dropped, sorted by name.
        """
        with self._cluster() as cluster:
            current = TEMPLATE + full_fingerprint(cluster, self._schema)
            return prune(cluster, current=current, keep=keep, days=days)

    def status(self) -> list[Row]:
        """Describe what exists: the test database, those of runs, snapshots and templates."""
        with self._cluster() as cluster:
            fingerprint = full_fingerprint(cluster, self._schema)
            found = self._all(cluster)
            found += cluster.find_all(f"({TEMPLATE}|{UNFINISHED}|{SNAPSHOT}).*")
            return [describe(cluster, one, fingerprint) for one in found]

    @contextmanager
    def scratch(self) -> Iterator[tuple[Cluster, str]]:
        """Have another database with the application's schema meanwhile.

        Yields the server, and the database's name.

        :raises TestbedError: it cannot be made.
        """
        with (
            self._cluster() as cluster,
            self._template(cluster) as template,
            cluster.scratch(template.name) as name,
        ):
            yield cluster, name

    def shell(self, arguments: Sequence[str] = ()) -> int:
        """Run ``psql`` on the test database, and return its status.

        :param arguments: further ones for psql.
        :raises DatabaseError: there is no test database.
        """
        with self._cluster() as cluster:
            if cluster.find(self.target.name) is None:
                raise DatabaseError(self._absent())
            command = [str(psql()), shown(cluster.url), *arguments]
            embedded = cluster.server is not None
            environment = environment_without_libpq() if embedded else dict(os.environ)
            if cluster.url.password:
                environment["PGPASSWORD"] = str(cluster.url.password)
            # Ctrl-C is for psql: there it ends a statement and not the session.
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                return subprocess.run(command, env=environment, check=False).returncode
            finally:
                signal.signal(signal.SIGINT, before)

    @contextmanager
    def serving(self) -> Iterator[URL]:
        """Keep the embedded server up meanwhile; yields the URL of the test database.

        Makes that database, if it is not there.

        :raises DatabaseError: the server is not the embedded one.
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

    # Parts

    @contextmanager
    def _cluster(self) -> Iterator[Cluster]:
        check_target(self.target)
        with closing(cluster_of(self.target)) as cluster:
            yield cluster

    @cached_property
    def _schema(self) -> Schema:
        return find_schema(self._database)

    def _replace(self, cluster: Cluster, found: Found | None) -> Mark:
        fingerprint = full_fingerprint(cluster, self._schema)
        with self._template(cluster) as template:
            mark = Mark.make("kept", fingerprint, tables=cluster.check_mark(template).tables)
            cluster.clone(template.name, self.target.name, mark, replacing=found is not None)
        return mark

    @contextmanager
    def _template(self, cluster: Cluster) -> Iterator[Found]:
        """Hold the template of the application's schema meanwhile."""
        template = hold_template(self._database, cluster, self._schema)
        try:
            yield template
        finally:
            # On a server of somebody else's, nothing stays that nobody asked for.
            release_template(cluster, template.name, keep=self.target.embedded)

    def _check_current(self, cluster: Cluster, mark: Mark) -> None:
        if mark.fingerprint != full_fingerprint(cluster, self._schema):
            raise RefusedError(
                f"Refused: the database {self.target.name!r} is there already, and its schema is"
                " not the application's of now. Make it anew, empty, with: flask test-db reset"
            )

    def _created(self, cluster: Cluster, started: float, mark: Mark, *, existed: bool) -> Created:
        name, tables = self.target.name, mark.tables
        if tables is None:  # pytest has made it, or the template's maker was killed
            with closing(cluster.connect(name)) as connection:
                tables = count_tables(connection)
        return Created(
            name=name,
            where=f"{address(cluster.url)} ({self.target.source})",
            source=self._schema.source,
            tables=tables,
            seconds=time.perf_counter() - started,
            existed=existed,
        )

    def _all(self, cluster: Cluster) -> list[Found]:
        return cluster.find_all(re.escape(self.target.name) + NAMES_OF_RUNS)

    def _is_it(self, found: Found) -> bool:
        return found.name == self.target.name

    def _absent(self) -> str:
        return (
            f"There is no test database {self.target.name!r} on {address(self.url)}."
            " Make it with: flask test-db create"
        )
