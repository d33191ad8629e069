"""What a scenario acts with, and the words for what it sees."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import PoolProxiedConnection

from flask_testbed import IsolationError
from flask_testbed._compat import UnwatchedConnection
from flask_testbed.application.databases import database_of
from flask_testbed.postgres.connecting import connect_parameters
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.waiting import PATIENCE

from .toy import db

T = TypeVar("T")


class Environment:
    """An application and every way to its database. Closes at the end what it has opened.

    :param app: the application.
    :param own_url: the database that it was configured with.
    :param find_url: says where the database is that its statements reach.
    :param make_app: makes another application, on the URL of a database.
    :param requests_apart: whether a request is made in a thread of its own, as a server would,
        where nothing else gives it a context of its own.
    :param sandbox: what stands between the two, if something does.
    """

    def __init__(
        self,
        app: Flask,
        own_url: URL,
        find_url: Callable[[], URL],
        make_app: Callable[..., Flask],
        *,
        requests_apart: bool,
        sandbox: Sandbox | None = None,
    ) -> None:
        self.app = app
        self._sandbox = sandbox
        self.own_url = own_url
        self._find_url = find_url
        self._make_app = make_app
        self._requests_apart = requests_apart
        self._open = ExitStack()
        self._forgotten = ExitStack()

    # Ways to the database

    @property
    def engine(self) -> Engine:
        """The application's engine."""
        with self.app.app_context():
            return db.engine

    def session(self) -> Session:
        """A session of its own."""
        return self._open.enter_context(Session(self.engine))

    def connect(self) -> Connection:
        """A connection of SQLAlchemy's."""
        return self._open.enter_context(self.engine.connect())

    def raw(self) -> PoolProxiedConnection:
        """A connection of the driver's, from the pool."""
        return self._open.enter_context(closing(self.engine.raw_connection()))

    def own_engine(self, **options: Any) -> Engine:
        """An engine that the application makes for itself, by the URL it was configured with."""
        engine = sa.create_engine(self.own_url, **options)
        self._open.callback(engine.dispose)
        return engine

    def outside(self) -> psycopg.Connection[Any]:
        """Another program's connection to the same database, each statement committed."""
        parameters = connect_parameters(self._find_url())
        connection = UnwatchedConnection.connect(autocommit=True, **parameters)
        return self._open.enter_context(closing(connection))

    def parameters(self) -> dict[str, Any]:
        """Where another program finds the database, in libpq's words."""
        return connect_parameters(self._find_url())

    @contextmanager
    def second_app(self, *, binds: bool = False) -> Iterator[Flask]:
        """Another application on the same database, with a bind to it under a second key."""
        config = {"SQLALCHEMY_BINDS": {"other": self.own_url}} if binds else {}
        app = self._make_app(self.own_url, **config)
        if self._sandbox is not None:
            self._sandbox.redirect(database_of(app))
        try:
            yield app
        finally:
            with app.app_context():
                for engine in db.engines.values():
                    engine.dispose()

    def start_sequences_anew(self) -> None:
        """Have sequences put back after this test, where that has to be asked for."""
        if self._sandbox is not None:
            wanted = replace(self._sandbox.isolation, reset_sequences=True)
            self._sandbox.begin(wanted)

    # Doing things

    def commit(self, statement: str, **values: Any) -> None:
        """Run one statement in a transaction of its own."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def add(self, *names: str) -> None:
        """Add teams, in a transaction of their own."""
        for name in names:
            self.commit("INSERT INTO team (name) VALUES (:name)", name=name)

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """The first column of what a new transaction sees."""
        with self.engine.connect() as connection:
            return list(connection.scalars(sa.text(statement), values))

    def names(self) -> list[str]:
        """The teams that a new transaction sees."""
        return self.rows("SELECT name FROM team ORDER BY name")

    def request(self, path: str, method: str = "POST") -> Any:
        """What the application answers to a request: its JSON, or the status of a failure."""

        def send() -> Any:
            response = self.app.test_client().open(path, method=method)
            return response.json if response.status_code == 200 else response.status_code

        return in_thread(send) if self._requests_apart else send()

    # Ending

    def forget(self, close: Callable[[], Any]) -> None:
        """Leave something open that the end of a test finds, and close it after that."""
        self._forgotten.callback(attempt, close)

    def keep_open(self) -> None:
        """Leave everything open that was opened so far."""
        self._forgotten.push(self._open.pop_all().__exit__)

    def close(self) -> None:
        """Close what a careful test would have closed."""
        self._open.close()

    def close_forgotten(self) -> None:
        """Close what a careless test has left, when its database is somebody else's."""
        attempt(self._forgotten.close)


def insert(connection: Connection | Session, name: str) -> str:
    """Add a team, and commit nothing."""
    connection.execute(sa.text("INSERT INTO team (name) VALUES (:name)"), {"name": name})
    return name


def teams(connection: Connection | Session) -> list[str]:
    """The teams that a transaction sees."""
    return list(connection.scalars(sa.text("SELECT name FROM team ORDER BY name")))


def attempt(action: Callable[..., T], *arguments: Any, **options: Any) -> T | str:
    """What an action returns, or the name of its error with the SQLSTATE.

    :raises IsolationError: the action did; no application would see that.
    """
    try:
        return action(*arguments, **options)
    except IsolationError:
        raise
    except Exception as error:
        return _named(error)


def _named(error: Exception) -> str:
    state = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    return f"{type(error).__name__} {state}" if state else type(error).__name__


class Thread(threading.Thread):
    """A thread that has a result, or raises its error where it is joined."""

    def __init__(self, action: Callable[..., Any], *arguments: Any) -> None:
        super().__init__(daemon=True)
        self._action = action
        self._arguments = arguments
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._action(*self._arguments)
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        """Wait for its end."""
        self.join(PATIENCE)
        assert not self.is_alive(), f"a thread has not ended within {PATIENCE} s"
        if self._error is not None:
            raise self._error
        return self._result


def in_thread(action: Callable[..., Any], *arguments: Any) -> Any:
    """What an action returns in a thread of its own."""
    return Thread(action, *arguments).result()


def execute(
    connection: Connection | Session, statement: str, values: Sequence[Any] | None = None
) -> Any:
    """Run a statement, and return its rows if it has some."""
    result = connection.execute(sa.text(statement), values)
    return [tuple(row) for row in result] if result.returns_rows else None
