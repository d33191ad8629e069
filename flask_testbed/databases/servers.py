"""On which server a database is."""

from __future__ import annotations

from pathlib import Path

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
