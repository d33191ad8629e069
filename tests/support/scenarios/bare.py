"""Databases with nothing of the engine in them: the measure of all things."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from flask import Flask
from psycopg import sql

from flask_testbed.application.target import Target
from flask_testbed.databases.servers import cluster_of

from .environment import Environment
from .toy import db

# By such a name, the next run drops what a killed one has left.
_PREFIX = "flask_testbed_new_"


@dataclass
class Bare:
    """Databases with nothing of the engine in them, and nothing of it before them.

    :param target: says on which server, and as whom.
    :param make_app: makes an application on a database.
    """

    target: Target
    make_app: Callable[..., Flask]
    _base: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.cluster = cluster_of(self.target)

    @contextmanager
    def environment(self) -> Iterator[Environment]:
        """A fresh database, and an application for it."""
        if self._base is None:
            self._base = self._make("template1")
            with self._app(self._base) as app, app.app_context():
                db.create_all(None)
        name = self._make(self._base)
        try:
            with self._app(name) as app:
                url = self.cluster.url.set(database=name)
                environment = Environment(app, url, lambda: url, self.make_app, requests_apart=True)
                with ExitStack() as last:
                    last.callback(environment.close_forgotten)
                    last.callback(environment.close)
                    yield environment
        finally:
            self._drop(name)

    def close(self) -> None:
        """Drop what is left, and disconnect."""
        if self._base is not None:
            self._drop(self._base)
        self.cluster.close()

    def _make(self, template: str) -> str:
        name = _PREFIX + secrets.token_hex(6)
        self.cluster.locks.try_lock(name)
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        if self.cluster.version >= 150000:  # before, there was no other way to copy one
            statement += sql.SQL(" STRATEGY FILE_COPY")
        self.cluster.connection.execute(statement)
        return name

    def _drop(self, name: str) -> None:
        self.cluster.drop(name)
        self.cluster.locks.unlock(name)

    @contextmanager
    def _app(self, name: str) -> Iterator[Flask]:
        app = self.make_app(self.cluster.url.set(database=name))
        try:
            yield app
        finally:
            with app.app_context():
                db.engine.dispose()
