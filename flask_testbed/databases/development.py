"""The application's own database on the embedded server: created and migrated at first use."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy.engine import URL

from ..application.databases import AppDatabase
from ..application.routes import Destination
from ..application.schema import find_schema
from ..embedded.server import EmbeddedServer
from ..postgres.labels import Kind, Label
from .building import build, temporary_databases
from .servers import own_cluster_of


def development_url(instance: Path | str, database: str) -> str:
    """Return the URL of a database on the embedded development server. Starts nothing.

    Use it for ``SQLALCHEMY_DATABASE_URI`` if ``DATABASE_URL`` is not set. With
    :meth:`.Testbed.init_app`, the server is started, and the database created and migrated, when
    the application first connects.

    :param instance: the application's instance folder.
    :param database: name of the database.
    """
    url = EmbeddedServer(Path(instance), "development").url(database)
    return url.render_as_string(hide_password=False)


class DevelopmentDatabase(Destination):
    """An application's database on its embedded development server.

    :param database: the application's own database.
    """

    def __init__(self, database: AppDatabase) -> None:
        self._database = database
        self._cluster = own_cluster_of(database)
        self._is_ready = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        state = "ready" if self._is_ready else "not ready"
        return f"<DevelopmentDatabase {self._database.own_url.database!r}, {state}>"

    def url(self) -> URL:
        """Return the URL. Start the server and create the database if needed.

        :raises TestbedError: that failed; nothing is left of the database.
        """
        with self._lock:
            if not self._is_ready:
                self._create()
                self._is_ready = True
        return self._database.own_url

    def _create(self) -> None:
        cluster, name = self._cluster, str(self._database.own_url.database)
        try:
            with cluster.locks.locked(name, "to make the development database"):
                if cluster.find(name) is None:
                    self._build(name)
        finally:
            # The server stays in use until this process ends; the connection does not.
            cluster.disconnect()

    def _build(self, name: str) -> None:
        cluster, schema = self._cluster, find_schema(self._database)
        cluster.drop_unfinished()
        label = Label.create(Kind.DEVELOPMENT, schema.fingerprint[:16])
        with (
            cluster.creating(name, label) as unfinished,
            temporary_databases(cluster, schema.others) as others,
        ):
            build(cluster, unfinished, schema, others)
