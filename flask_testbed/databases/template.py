"""Templates: a schema is built once, and cloned for each test database."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from importlib import metadata

from ..application.databases import AppDatabase
from ..application.schema import Schema, find_schema
from ..application.target import target_of
from ..isolation.commit.install import INSTALL, install
from ..postgres.capacity import check_capacity
from ..postgres.cluster import Cluster
from ..postgres.connecting import Connection
from ..postgres.database import Database
from ..postgres.labels import FORMAT, TEMPLATE, Kind, Label
from .building import build, temporary_databases
from .pruning import prune_templates
from .servers import cluster_of

logger = logging.getLogger(__name__)

#: The version of an installed distribution. Reading it takes most of a millisecond.
_version = cache(metadata.version)


class Template:
    """A database on a server of which test databases are clones.

    Constructing it connects to the server, and builds nothing.

    :param cluster: the server.
    :param schema: the schema of the template.
    """

    def __init__(self, cluster: Cluster, schema: Schema) -> None:
        self.schema = schema
        self.fingerprint = _fingerprint(cluster, schema)
        """A hash of everything on which the template depends."""
        self.name = TEMPLATE + self.fingerprint
        """Name of the database."""
        self._cluster = cluster
        self._siblings: list[Template] = []
        """The templates of the application's other databases, which the same build has made."""

    def __repr__(self) -> str:
        return f"<Template {self.name}, built from {self.schema.source.name}>"

    @contextmanager
    def held(self) -> Iterator[Database]:
        """Hold the template inside. Raises as :meth:`hold`."""
        found = self.hold()
        try:
            yield found
        finally:
            self.release()

    def hold(self) -> Database:
        """Build the template unless it exists, and keep others from dropping it.

        Concurrent processes wait for the first one to build it.

        :raises ServerError: the server has too few connections for the workers.
        :raises DatabaseError: the schema cannot be built; nothing is left of it.
        """
        # pytest-xdist sets the variable in each worker. No worker should begin in vain.
        check_capacity(self._cluster, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
        self._cluster.locks.lock_shared(self.name, "to drop the template")
        return self._find() or self._build_or_wait()

    def release(self) -> None:
        """Let others drop the template. On an external server, the last one to release it does."""
        cluster = self._cluster
        if cluster.connection.closed:
            return  # its locks are released, and the next process drops the template
        while self._siblings:
            self._siblings.pop().release()
        cluster.locks.unlock_shared(self.name)
        # On an embedded server, templates stay for the next run.
        if cluster.embedded is None and cluster.locks.try_lock(self.name):
            if found := cluster.find(self.name):
                cluster.check_label(found, {Kind.TEMPLATE})
                cluster.drop(self.name)
            cluster.locks.unlock(self.name)

    def _find(self) -> Database | None:
        found = self._cluster.find(self.name)
        if found is not None:
            self._cluster.check_label(found, {Kind.TEMPLATE})
            logger.debug("found the template %s", self.name)
        return found

    def _build_or_wait(self) -> Database:
        # This lock is another one than that on the name, which is shared by all users for as
        # long as they run: the second process would wait for their end.
        with self._cluster.locks.locked(f"building {self.name}", "to build the template"):
            return self._find() or self._build()

    def _build(self) -> Database:
        started = time.perf_counter()
        cluster = self._cluster
        cluster.drop_unfinished()
        label = Label.create(Kind.TEMPLATE, self.fingerprint)
        with (
            cluster.creating(self.name, label) as unfinished,
            temporary_databases(cluster, self.schema.others) as others,
        ):
            build(cluster, unfinished, self.schema, others)
            label = self._install(unfinished, label)
            for database, name in others.items():
                self._keep(database, name)
        # The templates of old schemas are not needed, and each is as large as this one.
        prune_templates(cluster, self.name)
        label = cluster.set_label(self.name, label)
        seconds = time.perf_counter() - started
        logger.debug("built %r in %.3f s", self, seconds)
        return Database(self.name, cluster.role, label, connections=0)

    def _install(self, name: str, label: Label) -> Label:
        """Add the testbed's functions to a database that was built; return its label."""
        with closing(self._cluster.connect(name)) as connection:
            install(connection)
            return replace(label, tables=count_tables(connection))

    def _keep(self, database: AppDatabase, name: str) -> None:
        """Make a template of another database of the application, which was built as well.

        It is held together with this one. Nothing is done if another process makes it now, or if
        the test database is on another server.

        :param name: present name of the database.
        """
        cluster = self._cluster
        server = cluster_of(target_of(database)).url
        if server.set(database="") != cluster.url.set(database=""):
            return
        sibling = Template(cluster, find_schema(database))
        building = f"building {sibling.name}"
        if not cluster.locks.try_lock(building):
            return
        try:
            if cluster.find(sibling.name) is None:
                label = self._install(name, Label.create(Kind.TEMPLATE, sibling.fingerprint))
                cluster.locks.lock_shared(sibling.name, "to drop the template")
                self._siblings.append(sibling)
                cluster.rename(name, sibling.name, label)
        finally:
            cluster.locks.unlock(building)


def count_tables(connection: Connection) -> int:
    """Return the number of the application's tables in a clone of a template."""
    row = connection.execute("SELECT count(*) FROM flask_testbed.user_table").fetchone()
    return int(row[0]) if row else 0


def _fingerprint(cluster: Cluster, schema: Schema) -> str:
    """Return a hash of the schema, the server, the role and the version of the testbed."""
    parts = (
        schema.fingerprint,
        str(cluster.version),
        cluster.locale,
        *cluster.extension_versions(schema.extensions),
        cluster.role,
        _version("flask-testbed"),
        f"labels {FORMAT}",
        INSTALL,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
