"""Which server a test database is on."""

from __future__ import annotations

from ..application.target import Target
from ..embedded.server import EmbeddedServer
from ..postgres.cluster import Cluster


def cluster_of(target: Target) -> Cluster:
    """The server of a test database. Connects to nothing."""
    if not target.embedded:
        return Cluster(target.url, target.source)
    server = EmbeddedServer(target.instance, "test")
    return Cluster(server.url(target.name), target.source, server)
