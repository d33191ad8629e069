"""On which server a database is, and where the others are while it is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy.engine import URL

from ..application.databases import AppDatabase
from ..application.target import Target, is_development, target_of
from ..embedded.server import EmbeddedServer
from ..postgres.cluster import Cluster


def cluster_of(target: Target) -> Cluster:
    """Return the server of a test database. Connects to nothing."""
    if not target.embedded:
        return Cluster(
            target.url, target.source, maintenance=target.maintenance, protected=target.own
        )
    server = EmbeddedServer(target.instance, "test")
    # What is on the development server is not on this one.
    others = [one for one in target.own if not is_development(one, target.instance)]
    return Cluster(server.url(target.name), target.source, server, protected=others)


def own_cluster_of(database: AppDatabase) -> Cluster:
    """Return the server of an application's own database. Connects to nothing."""
    url, instance = database.own_url, database.app.instance_path
    if is_development(url, instance):
        server = EmbeddedServer(Path(instance), "development")
        return Cluster(url, "the embedded server", server)
    maintenance = target_of(database).maintenance
    return Cluster(url, "SQLALCHEMY_DATABASE_URI", maintenance=maintenance)


@contextmanager
def temporary_databases(
    cluster: Cluster, databases: Sequence[AppDatabase]
) -> Iterator[dict[AppDatabase, str]]:
    """Create an empty database for each of an application's, yield their names, and drop them."""
    with ExitStack() as stack:
        yield {one: stack.enter_context(cluster.temporary()) for one in databases}


def urls_of(cluster: Cluster, names: dict[AppDatabase, str]) -> dict[AppDatabase, URL]:
    """Return the URLs of databases, by their names."""
    return {database: cluster.url.set(database=name) for database, name in names.items()}
