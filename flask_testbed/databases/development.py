"""The application's own database on the embedded server: made and migrated at first use."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy.engine import URL

from ..application.databases import AppDatabase
from ..application.routes import Destination
from ..application.schema import build_schema, find_schema
from ..embedded.server import EmbeddedServer
from ..postgres.cluster import Cluster, Mark


def development_url(instance: Path | str, database: str) -> str:
    """The URL of a database on the embedded development server. Starts nothing.

    For ``SQLALCHEMY_DATABASE_URI`` where ``DATABASE_URL`` is not set. With
    :meth:`.Testbed.init_app`, the server is started, and the database made and migrated, when
    the application first connects.

    :param instance: the application's instance folder.
    :param database: its name.
    """
    url = EmbeddedServer(Path(instance), "development").url(database)
    return url.render_as_string(hide_password=False)


class DevelopmentDatabase(Destination):
    """An application's database on its embedded development server.

    :param database: the application's own database.
    """

    def __init__(self, database: AppDatabase) -> None:
        self._database = database
        self._cluster = Cluster(
            database.own_url,
            "the embedded server",
            EmbeddedServer(Path(database.app.instance_path), "development"),
        )
        self._ready = False
        self._lock = threading.Lock()

    def url(self) -> URL:
        """Where it is. Starts the server and makes the database, if need be.

        :raises TestbedError: that fails; nothing half-made is left.
        """
        with self._lock:
            if not self._ready:
                self._make()
                self._ready = True
        return self._database.own_url

    def _make(self) -> None:
        cluster, name = self._cluster, str(self._database.own_url.database)
        try:
            with cluster.locked(name, "to make the development database"):
                if cluster.find(name) is None:
                    self._build(cluster, name)
        finally:
            # The server is in use until this process ends; the connection is not.
            cluster.disconnect()

    def _build(self, cluster: Cluster, name: str) -> None:
        cluster.drop_unfinished()
        schema = find_schema(self._database)
        mark = Mark.make("development", schema.fingerprint[:16])
        with cluster.making(name, mark) as unfinished:
            url = cluster.url.set(database=unfinished)
            build_schema(self._database, schema, url)
