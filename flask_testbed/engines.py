"""Where an application's engines connect to, decided at each connection.

An engine stays the object that it is, so one that was captured at import is redirected too, and
the application's pool, its events and its options are those of production.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg
from flask import Flask
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DisconnectionError

from .errors import SettingsError
from .guards import is_same_database, is_same_place
from .server import connect_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.pool import ConnectionPoolEntry

EXTENSION = "flask_testbed"

#: The attribute by which a dialect is known as that of an engine with a route.
ROUTED = "flask_testbed_routed"

#: Whether the engines lead elsewhere for a while: a database is being made.
is_detour: ContextVar[bool] = ContextVar("flask_testbed_is_detour", default=False)


class Route:
    """The way from an engine to a database.

    :param engine: an engine for PostgreSQL through psycopg 3.
    :raises SettingsError: it is for something else.
    """

    def __init__(self, engine: Engine) -> None:
        if (engine.dialect.name, engine.dialect.driver) != ("postgresql", "psycopg"):
            raise SettingsError(
                f"The application's engine is for {engine.dialect.name}+{engine.dialect.driver};"
                " the testbed supports PostgreSQL through psycopg 3 alone. Write the URL as"
                " postgresql+psycopg://user:password@host:5432/name."
            )
        self.engine = engine
        self.own = engine.url
        self.to_own: Callable[[], URL] | None = None
        """Has the application's own database ready; ``None`` leaves that to whoever keeps it."""
        self.to_test: Callable[[], URL] | None = None
        """Has a test database ready. Once it is set, nothing leads to the application's own."""
        self.share: Callable[[dict[str, Any]], Any] = _share_nothing
        """Gives a connection to the test database in place of a new one, or ``None``."""
        self._detour = threading.local()
        # Listeners to all engines are told the dialect, not the engine.
        setattr(engine.dialect, ROUTED, True)
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "checkout", self._checkout)
        event.listen(engine, "close", self._closed)
        # An application that a fixture made is forgotten with its pool, which closes nothing.
        self._open: set[psycopg.Connection[Any]] = set()
        weakref.finalize(engine, _close_all, self._open, os.getpid()).atexit = False

    @contextmanager
    def detour(self, url: URL) -> Iterator[None]:
        """Lead this thread to another database for a while. No connection to it survives.

        It is done in the middle of a connect, too, whose pool may allow no second connection.
        """
        shown, pool = self.engine.url, self.engine.pool
        self.engine.pool = temporary = pool.recreate()
        self._detour.url = self.engine.url = url
        self._detour.opened = []
        token = is_detour.set(True)
        try:
            yield
        finally:
            is_detour.reset(token)
            self._detour.url = None
            self.engine.url, self.engine.pool = shown, pool
            for connection in self._detour.opened:
                connection.close()
                self._open.discard(connection)
            temporary.dispose()

    @property
    def _detour_url(self) -> URL | None:
        """Where this thread is led for a while."""
        return getattr(self._detour, "url", None)

    def destination(self) -> URL | None:
        """Where to connect to, once that is ready; ``None`` is where the application says."""
        resolve = self.to_test or self.to_own
        return self._detour_url or (resolve() if resolve else None)

    @property
    def leads(self) -> bool:
        """Whether it leads elsewhere than the application says."""
        return (self._detour_url or self.to_test or self.to_own) is not None

    def lead(self, parameters: dict[str, Any], own: URL) -> Any:
        """Lead a connection that is about to be made.

        :param parameters: those of the connection, which are changed.
        :param own: where they lead.
        :returns: a connection to take instead, or ``None`` to make one.
        """
        url = self.destination()
        if url is None:
            return None
        redirect(parameters, own, url)
        if self._detour_url is not None:
            return None
        self.engine.url = url
        return self.share(parameters)

    def _connect(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry,
        arguments: tuple[Any, ...],
        parameters: dict[str, Any],
    ) -> Any:
        return self.lead(parameters, self.own)

    def _connected(self, connection: Any, record: ConnectionPoolEntry) -> None:
        if type(connection) is psycopg.Connection:  # and none that is shared
            self._open.add(connection)
        if self._detour_url is not None:
            record.info[EXTENSION] = self._detour_url
            self._detour.opened.append(connection)

    def _closed(self, connection: Any, record: ConnectionPoolEntry) -> None:
        self._open.discard(connection)

    def _checkout(self, connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:
        if record.info.get(EXTENSION) != self._detour_url:
            # The pool answers this by connecting anew.
            raise DisconnectionError("a connection to another database")


def _close_all(connections: Iterable[psycopg.Connection[Any]], pid: int) -> None:
    """Close connections of this process."""
    if os.getpid() == pid:
        for connection in connections:
            connection.close()


def redirect(parameters: dict[str, Any], own: URL, url: URL) -> None:
    """Make the parameters of a connection those of another one.

    What the application passes in ``connect_args`` stays; what its URL said goes.
    """
    for key in connect_parameters(own):
        parameters.pop(key, None)
    parameters.update(connect_parameters(url))


class Strays:
    """Engines that an application makes for itself, for its own database.

    While it listens, they are led to where the application's route leads.
    """

    def __init__(self) -> None:
        self.states: WeakKeyDictionary[Flask, State] = WeakKeyDictionary()

    def listen(self) -> None:
        """Begin, for every engine of the process."""
        if self not in _listening:
            _listening.append(self)
        if not event.contains(Engine, "do_connect", _lead_strays):
            event.listen(Engine, "do_connect", _lead_strays)

    def ignore(self) -> None:
        """End."""
        if self in _listening:
            _listening.remove(self)

    def lead(self, dialect: Dialect, parameters: dict[str, Any]) -> Any:
        """As :meth:`Route.lead`, if the connection is for one of the applications' own."""
        if hasattr(dialect, ROUTED) or dialect.name != "postgresql":
            return None
        # psycopg 2 and 3 say dbname, others database.
        place = {"dbname": parameters.get("database"), **parameters}
        for app, state in list(self.states.items()):
            for url in (state.own_url, state.configured(app)):
                if is_same_place(place, connect_parameters(url)):
                    return _lead_to(state.route, url, dialect, parameters)
        return None


#: Those that listen. SQLAlchemy's own list of listeners must not change while an engine connects,
#: which is when a database may be made, so one listener is there for all of them, and stays.
_listening: list[Strays] = []


def _lead_strays(dialect: Dialect, record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
    """Let the first that knows where to connect say so."""
    connections = (strays.lead(dialect, parameters) for strays in list(_listening))
    return next((one for one in connections if one is not None), None)


def _share_nothing(parameters: dict[str, Any]) -> None:
    """Leave it to the dialect to connect."""


def _lead_to(route: Route, url: URL, dialect: Dialect, parameters: dict[str, Any]) -> Any:
    if route.leads and dialect.driver != "psycopg":
        raise SettingsError(
            f"An engine for the application's own database uses the driver {dialect.driver!r};"
            " the testbed supports psycopg 3 alone. Write its URL as"
            " postgresql+psycopg://user:password@host:5432/name."
        )
    return route.lead(parameters, url)


@dataclass
class State:
    """What the testbed knows of one database of an application."""

    db: SQLAlchemy
    own_url: URL
    """The application's own database, as it was configured."""

    routes: dict[str | None, Route] = field(default_factory=dict)
    """By bind key: all that lead there."""

    bind: str | None = None
    """Which of the application's databases it is about; ``None`` is the default one."""

    @property
    def route(self) -> Route:
        """The way of the engine for that database."""
        return self.routes[self.bind]

    def dispose(self) -> None:
        """Close what is in the pools of the engines that lead there."""
        for route in self.routes.values():
            route.engine.dispose()

    def configured(self, app: Flask) -> URL:
        """Where the configuration says that the database is."""
        if self.bind is None:
            return make_url(app.config["SQLALCHEMY_DATABASE_URI"])
        given = app.config["SQLALCHEMY_BINDS"][self.bind]
        return make_url(given["url"] if isinstance(given, dict) else given)

    def configure(self, app: Flask, url: URL) -> None:
        """Have the configuration say that the database is elsewhere."""
        text = url.render_as_string(hide_password=False)
        if self.bind is None:
            app.config["SQLALCHEMY_DATABASE_URI"] = text
            return
        given = app.config["SQLALCHEMY_BINDS"][self.bind]
        said = {**given, "url": text} if isinstance(given, dict) else text
        app.config["SQLALCHEMY_BINDS"] = {**app.config["SQLALCHEMY_BINDS"], self.bind: said}


def attach(app: Flask) -> State:
    """Put routes under an application's engines, once. They lead nowhere else yet.

    :param app: an application on which Flask-SQLAlchemy is initialised.
    :returns: what there is to know of its default database.
    :raises SettingsError: it is not, or an engine cannot be redirected.
    """
    return attach_all(app)[0]


def attach_all(app: Flask) -> list[State]:
    """As :func:`attach`, of all its databases: binds that lead to one are together."""
    if EXTENSION in app.extensions:
        states: list[State] = app.extensions[EXTENSION]
        return states
    db = app.extensions.get("sqlalchemy")
    if db is None:
        raise SettingsError(
            f"The application {app.name!r} has no Flask-SQLAlchemy. Call db.init_app(app)"
            " before testbed.init_app(app)."
        )
    with app.app_context():
        engines = dict(db.engines)
    if None not in engines:
        raise SettingsError("SQLALCHEMY_DATABASE_URI is not set, and the testbed needs it.")
    states = []
    for key in sorted(engines, key=lambda key: key or ""):
        if key is None or engines[key].dialect.name == "postgresql":
            _add(states, db, key, Route(engines[key]))
    app.extensions[EXTENSION] = states
    return states


def _add(states: list[State], db: SQLAlchemy, key: str | None, route: Route) -> None:
    same = (state for state in states if is_same_database(route.own, state.own_url))
    state = next(same, None)
    if state is None:
        state = State(db, route.own, bind=key)
        states.append(state)
    state.routes[key] = route
