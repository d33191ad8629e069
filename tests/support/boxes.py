"""Databases that are ready for resets, without a sandbox and without an application."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.isolation.commit.reset import reset
from flask_testbed.postgres.connecting import Connection, connect_parameters

from .paths import INSTANCE


@dataclass
class Box:
    """A database that is ready for resets."""

    name: str
    connect: Callable[[], Connection]
    resetter: Connection

    def run(self, *statements: str) -> None:
        """Execute statements in one transaction, as a test does."""
        with closing(self.connect()) as connection, connection.transaction():
            for statement in statements:
                connection.execute(statement)

    def run_alone(self, *statements: str) -> None:
        """Execute statements that cannot be in a transaction."""
        with closing(self.connect()) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """What a superuser sees, who is not subject to policies."""
        server = EmbeddedServer(INSTANCE, "test")
        with closing(connect_as(server, self.name, None)) as connection:
            return [connection.execute(query).fetchall() for query in queries]

    def reset(self) -> list[str]:
        """Reset the database, and return what was ended."""
        ended: list[str] = []
        reset(self.resetter, ended)
        return ended


def connect_as(server: EmbeddedServer, database: str, role: str | None) -> Connection:
    """Connect to a database of an embedded server.

    :param role: None for the superuser.
    """
    url = server.url(database)
    url = url.set(username=role) if role else url
    return psycopg.connect(autocommit=True, **connect_parameters(url))


MakeBox = Callable[..., Box]
