"""Templates: a schema is built once, and cloned ever after."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from dataclasses import replace
from functools import cache
from importlib import metadata

from ..application.databases import AppDatabase
from ..application.schema import Schema, build_schema
from ..isolation.commit.install import INSTALL, install
from ..postgres.cluster import TEMPLATE, Cluster, Found, Mark
from ..postgres.connecting import Connection
from .pruning import prune_templates

#: The version of an installed distribution. It takes most of a millisecond to read.
_version = cache(metadata.version)


def full_fingerprint(cluster: Cluster, schema: Schema) -> str:
    """Everything that a template depends on: schema, hooks, server, role and this engine."""
    parts = (
        schema.source,
        schema.fingerprint,
        str(cluster.version),
        cluster.locale,
        *cluster.extension_versions(schema.extensions),
        cluster.connection.info.user,
        _version("flask-testbed"),
        INSTALL,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def hold_template(database: AppDatabase, cluster: Cluster, schema: Schema) -> Found:
    """Have the template of a schema, built if need be, and hold it: nobody drops it meanwhile.

    Whoever comes second waits for the first to build it.

    :raises ServerError: there are more workers than the server has connections for.
    :raises DatabaseError: the schema cannot be built; nothing is left of it.
    """
    # pytest-xdist says so in each worker. Better now than when some of them have begun.
    cluster.check_room(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    name = TEMPLATE + full_fingerprint(cluster, schema)
    cluster.lock_shared(name)
    if found := _find(cluster, name):
        return found
    # A lock of its own: that on the name is shared by all users, as long as they run, and
    # whoever came second would wait for their end.
    with cluster.locked(f"building {name}", "to build the template"):
        return _find(cluster, name) or _build(database, cluster, schema, name)


def _build(database: AppDatabase, cluster: Cluster, schema: Schema, name: str) -> Found:
    cluster.drop_unfinished()
    mark = Mark.make("template", full_fingerprint(cluster, schema))
    with cluster.making(name, mark) as unfinished:
        build_schema(database, schema, cluster.url.set(database=unfinished))
        with closing(cluster.connect(unfinished)) as connection:
            install(connection)
            tables = count_tables(connection)
    # The templates of old schemas are of no use, and each takes as much room as this one.
    prune_templates(cluster, name)
    mark = replace(mark, tables=tables)
    cluster.mark(name, mark)
    return Found(name, cluster.connection.info.user, mark, connections=0)


def count_tables(connection: Connection) -> int:
    """How many tables the application has in a database."""
    row = connection.execute("SELECT count(*) FROM flask_testbed.user_table").fetchone()
    return int(row[0]) if row else 0


def release_template(cluster: Cluster, name: str, *, keep: bool) -> None:
    """Let go of a template. Unless it is to be kept, its last user drops it."""
    cluster.unlock_shared(name)
    if not keep and cluster.try_lock(name):
        found = cluster.find(name)
        if found is not None:
            cluster.check_mark(found)
            cluster.drop(name)
        cluster.unlock(name)


def _find(cluster: Cluster, name: str) -> Found | None:
    found = cluster.find(name)
    if found is not None:
        cluster.check_mark(found)
    return found
