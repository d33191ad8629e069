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
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import URL, Engine

from ..embedded.parameters import ignore_environment
from ..errors import SettingsError
from ..isolation.mode import Mode
from ..postgres.connecting import connect_parameters

logger = logging.getLogger(__name__)

#: Whether this context is in a detour: a database is being created.
is_detour: ContextVar[bool] = ContextVar("flask_testbed_is_detour", default=False)


#: The parameters that say where a redirected connection leads. ``hostaddr`` decides over ``host``.
PLACE = ("dbname", "host", "port", "hostaddr")


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

    parameters: dict[str, Any] | None = None
    """All its parameters, which other listeners may change until it is made."""

    connection: Any = None
    """The driver's connection, or None before there is one."""

    user: User | None = None
    """The user that it connects as, if that is not the test database's."""

    mode: Mode = "commit"
    """How what is done on it is undone."""

    is_unmanaged: bool = False
    """Whether the application made its engine for itself."""

    thread: int = 0
    """The thread that has checked it out."""

    is_out: bool = False
    """Whether it is checked out."""

    was_out: bool = False
    """Whether it has been checked out before: what was set until then belongs to it."""

    given_up: bool = False
    """Whether it must not be used any more: it is closed when it comes back to its pool."""


@dataclass(eq=False, slots=True)
class Detour:
    """A database that connections lead to for a while, and those that were made meanwhile."""

    url: URL
    refusal: str = ""
    """If it says something, every connection is refused with this message."""
    opened: list[Any] = field(default_factory=list)


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
        self._thread = threading.local()
        self._common_detour: Detour | None = None
        """A detour of all threads."""
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
        """The database of the detour that this thread takes, or None outside of one."""
        detour = self._detour
        return detour.url if detour is not None else None

    @property
    def _detour(self) -> Detour | None:
        return getattr(self._thread, "detour", None) or self._common_detour

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

    def leads_to(self) -> URL:
        """Return where connections lead; a test database is created if need be."""
        self._check_open()
        if self.detour_url is None and self.destination is not None:
            return self.destination.url()
        return self.detour_url or self.own

    def _check_open(self) -> None:
        if self._detour is not None and self._detour.refusal:
            raise SettingsError(self._detour.refusal)

    @contextmanager
    def detour(self, url: URL, *, refusal: str = "") -> Iterator[None]:
        """Send connections to another database, and close them at the end; or refuse them.

        All threads take the detour: a migration or a hook may start some, and these must not lead
        to the application's own database. Only if the destination is being created, because an
        engine connects or since it is a test database, this thread alone takes it: the others wait
        for the destination. That engine's pool may allow no second connection.
        """
        detour, shown, pool = Detour(url, refusal), self.engine.url, self.engine.pool
        alone = self.is_test or getattr(self._thread, "is_connecting", False)
        self.engine.pool = temporary = pool.recreate()
        self.engine.url = url
        before = self._take(detour, alone=alone)
        token = is_detour.set(True)
        try:
            yield
        finally:
            is_detour.reset(token)
            self._take(before, alone=alone)
            self.engine.url, self.engine.pool = shown, pool
            for connection in detour.opened:
                connection.close()
                self._open.discard(connection)
            temporary.dispose()

    def _take(self, detour: Detour | None, *, alone: bool) -> Detour | None:
        """Take a detour, and return the one that was taken until now."""
        if alone:
            before = getattr(self._thread, "detour", None)
            self._thread.detour = detour
        else:
            before, self._common_detour = self._common_detour, detour
        return before

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
        self._check_open()
        own_user = user_besides(own, parameters) if tracked.is_unmanaged else self.user
        tracked.detour, tracked.destination = self.detour_url, self.destination
        if tracked.detour is not None:
            self._lead(tracked, parameters, own, tracked.detour)
            return None
        if tracked.destination is None:
            return None
        self._thread.is_connecting = True
        try:
            url = tracked.destination.url()
        finally:
            self._thread.is_connecting = False
        self._lead(tracked, parameters, own, as_user(url, own_user))
        tracked.user = own_user
        return tracked.destination.connecting(tracked, parameters)

    def _lead(
        self, tracked: TrackedConnection, parameters: dict[str, Any], own: URL, url: URL
    ) -> None:
        redirect(parameters, own, url)
        tracked.place, tracked.parameters = place_in(parameters), parameters

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
        detour = self._detour
        if detour is not None and tracked.detour is detour.url:
            detour.opened.append(tracked.connection)

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
    _split_conninfo(parameters)
    for key in (*connect_parameters(own), "hostaddr", "host", "port", "service"):
        parameters.pop(key, None)
    parameters.update(connect_parameters(url))
    ignore_environment(parameters)


def _split_conninfo(parameters: dict[str, Any]) -> None:
    """Replace a connection string, which psycopg accepts too, by the parameters in it."""
    for key, value in conninfo_to_dict(parameters.pop("conninfo", "")).items():
        parameters.setdefault(key, value)


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
    return {key: parameters.get(key) for key in PLACE}
