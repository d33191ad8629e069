"""Routes: where the engines of an application connect to, decided at each connection.

An engine stays the object that it is, so an engine that was captured at import is redirected too,
and the pool, the events and the options of the application are those of production.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg import pq
from sqlalchemy.engine import URL, Engine

from ..embedded.parameters import ignore_environment
from ..errors import SettingsError
from ..isolation.mode import Mode
from ..postgres.connecting import connect_parameters

logger = logging.getLogger(__name__)

#: Whether this context is in a detour: a database is being created.
is_detour: ContextVar[bool] = ContextVar("flask_testbed_is_detour", default=False)


class User(NamedTuple):
    """A role of the server, and its password."""

    name: str
    password: str | None


class Destination:
    """A database that routes lead to. Its methods stand in the order of a connection's life."""

    def url(self) -> URL:
        """Create the database if need be, and return its URL."""
        raise NotImplementedError

    @property
    def current_url(self) -> URL | None:
        """The URL of the database, or None before it has been created."""
        return None

    def connecting(self, tracked: TrackedConnection, parameters: dict[str, Any]) -> Any:
        """Return a connection to use in place of a new one, or None to connect.

        :param parameters: those of the connection, which lead to the database already.
        """
        return None

    def connected_directly(self) -> None:
        """Note that the application makes a connection without an engine."""

    def checked_out(self, tracked: TrackedConnection) -> None:
        """Note that a connection leaves its pool.

        :raises DisconnectionError: it does not fit any more; the pool connects anew.
        """


@dataclass(eq=False, slots=True, weakref_slot=True)
class TrackedConnection:
    """What is known of one connection."""

    route: Route | None = None
    """The route that it was made for; None for a connection that no application database knows."""

    destination: Destination | None = None
    """Where the route led when it was made; None for the application's own database."""

    detour: URL | None = None
    """The database of the detour in which it was made."""

    place: dict[str, Any] | None = None
    """The parameters that say where it was meant to lead; None where it was not redirected."""

    connection: Any = None
    """The driver's connection, or None before there is one."""

    user: User | None = None
    """The user that it connects as, if that is not the test database's."""

    mode: Mode = "commit"
    """How what is done on it is undone."""

    is_unmanaged: bool = False
    """Whether the application made its engine for itself."""

    is_out: bool = False
    """Whether it is checked out."""

    was_out: bool = False
    """Whether it has been checked out before: what was set until then belongs to it."""

    given_up: bool = False
    """Whether it must not be used any more: it is closed when it comes back to its pool."""


class Route:
    """The way from an engine to a database.

    :param engine: an engine for PostgreSQL through psycopg 3.
    :param main: URL of the engine that was configured first for the same database, or None.
    :raises SettingsError: the engine is for another database or driver.
    """

    def __init__(self, engine: Engine, main: URL | None = None) -> None:
        if (engine.dialect.name, engine.dialect.driver) != ("postgresql", "psycopg"):
            raise SettingsError(
                f"The application's engine is for {engine.dialect.name}+{engine.dialect.driver};"
                " the testbed supports PostgreSQL through psycopg 3 alone. Write the URL as"
                " postgresql+psycopg://user:password@host:5432/name."
            )
        self.engine = engine
        self.own = engine.url
        """The application's own database, as the engine was configured."""
        self._main = main or engine.url
        self.destination: Destination | None = None
        """Where the engine is redirected to; None for the application's own database."""
        self.is_test = False
        """Whether the destination is a test database: then nothing leads to the own one."""
        self._detour = threading.local()
        self._open: set[Any] = set()
        # An application that a fixture made is forgotten with its pool, which closes nothing.
        weakref.finalize(engine, _close_all, self._open, os.getpid()).atexit = False

    def __repr__(self) -> str:
        where = self.detour_url or self.destination or "the application's own database"
        return f"<Route of {self.own.database!r} to {where}>"

    def redirect(self, destination: Destination, *, to_test: bool) -> None:
        """Send the connections that are made from now on to another database.

        :param to_test: the destination is a test database.
        """
        logger.debug("%r is redirected to %r", self, destination)
        self.destination, self.is_test = destination, to_test

    @property
    def detour_url(self) -> URL | None:
        """The database of this thread's detour, or None outside of one."""
        return getattr(self._detour, "url", None)

    @property
    def url(self) -> URL | None:
        """Where connections lead now, or None before that database has been created."""
        if self.detour_url is None and self.destination is not None:
            return self.destination.current_url
        return self.detour_url

    @property
    def is_redirected(self) -> bool:
        """Whether connections lead to a test database, or to one that is being created."""
        return self.is_test or self.detour_url is not None

    @contextmanager
    def detour(self, url: URL) -> Iterator[None]:
        """Send this thread's connections to another database, and close them at the end.

        A detour may be taken while the engine connects, whose pool may allow no second connection.
        """
        shown, pool = self.engine.url, self.engine.pool
        self.engine.pool = temporary = pool.recreate()
        self._detour.url = self.engine.url = url
        opened: list[Any] = []
        self._detour.opened = opened
        token = is_detour.set(True)
        try:
            yield
        finally:
            is_detour.reset(token)
            self._detour.url = None
            self.engine.url, self.engine.pool = shown, pool
            for connection in opened:
                connection.close()
                self._open.discard(connection)
            temporary.dispose()

    def show(self, url: URL) -> None:
        """Make the engine say that it leads to a URL, as its own user if it has one."""
        self.engine.url = as_user(url, self.user)

    @property
    def user(self) -> User | None:
        """The user of the engine, if the database's first engine is another user's."""
        return user_besides(self._main, connect_parameters(self.own))

    # Called by the gate

    def connect(self, tracked: TrackedConnection, parameters: dict[str, Any], own: URL) -> Any:
        """Redirect a connection that is about to be made.

        :param parameters: those of the connection, which are changed.
        :param own: where they lead.
        :returns: a connection to use in its place, or None to connect.
        """
        own_user = user_besides(own, parameters) if tracked.is_unmanaged else self.user
        tracked.detour, tracked.destination = self.detour_url, self.destination
        if tracked.detour is not None:
            redirect(parameters, own, tracked.detour)
            tracked.place = place_in(parameters)
            return None
        if tracked.destination is None:
            return None
        url = tracked.destination.url()
        redirect(parameters, own, as_user(url, own_user))
        tracked.place = place_in(parameters)
        tracked.user = own_user
        return tracked.destination.connecting(tracked, parameters)

    def connect_directly(self, parameters: dict[str, Any]) -> None:
        """Redirect a connection that is about to be made without an engine."""
        url = self.detour_url
        if url is None and self.destination is not None:
            url = self.destination.url()
            self.destination.connected_directly()
        if url is not None:
            redirect_place(parameters, url)

    def opened(self, tracked: TrackedConnection) -> None:
        """Note that a connection was made."""
        if not tracked.is_unmanaged:
            self._open.add(tracked.connection)
        if tracked.detour is not None:
            self._detour.opened.append(tracked.connection)

    def closed(self, tracked: TrackedConnection) -> None:
        """Note that a connection was closed."""
        self._open.discard(tracked.connection)


def _close_all(connections: Iterable[Any], pid: int) -> None:
    """Close connections of this process."""
    if os.getpid() == pid:
        for connection in connections:
            connection.close()


def user_besides(main: URL, parameters: dict[str, Any]) -> User | None:
    """The user of a connection, if it has one that is not that of a URL."""
    name = parameters.get("user")
    if name is None or name == (main.username or _default_user()):
        return None
    return User(name, parameters.get("password"))


def _default_user() -> str | None:
    """The user of a connection that names none, as libpq finds it."""
    defaults = {option.keyword: option.val for option in pq.Conninfo.get_defaults()}
    found = defaults.get(b"user")
    return found.decode() if found else None


def as_user(url: URL, user: User | None) -> URL:
    """Return the URL of the same database for another user; for None, the same URL."""
    if user is None:
        return url
    # set() would ignore a password of None.
    return url._replace(username=user.name, password=user.password)


def redirect(parameters: dict[str, Any], own: URL, url: URL) -> None:
    """Make the parameters of a connection those of another one.

    What the application passes in ``connect_args`` stays, unless it says where the server is; what
    its URL said goes.
    """
    for key in (*connect_parameters(own), "hostaddr", "host", "port", "service"):
        parameters.pop(key, None)
    parameters.update(connect_parameters(url))
    ignore_environment(parameters)


def redirect_place(parameters: dict[str, Any], url: URL) -> None:
    """Make the parameters of a connection lead elsewhere, as the same user."""
    for key in ("hostaddr", "host", "port", "service"):
        parameters.pop(key, None)
    parameters.update(
        {key: value for key, value in place_in(connect_parameters(url)).items() if value}
    )
    ignore_environment(parameters)


def place_in(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that say where a connection leads."""
    return {key: parameters.get(key) for key in ("dbname", "host", "port")}
