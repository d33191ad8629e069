"""The way of a connection: what happens to it from the moment it is made until it is closed.

One object, :data:`gate`, listens to every engine and every pool of the process. Its five methods
stand in the order of a connection's life:

1. :meth:`Gate.connecting`: an engine is about to connect. The parameters are changed if its route
   leads elsewhere, or a connection is handed out that exists already (rollback mode).
2. :meth:`Gate.connected`: the driver has connected. Nothing was sent yet. Where the connection
   leads is compared with where it was meant to lead, whatever has made it.
3. :meth:`Gate.checked_out`: the pool is about to hand the connection out. A connection that does
   not fit any more is refused, and the pool connects anew.
4. :meth:`Gate.checked_in`: the connection has come back to its pool.
5. :meth:`Gate.closed`: the pool has closed it.

All that is known of one connection is its :class:`TrackedConnection`, in ``record.info`` of the
pool's record. https://docs.sqlalchemy.org/en/20/core/events.html
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool

from .._compat import pool_of
from ..errors import IsolationError, SettingsError
from ..postgres.addresses import is_same_place
from ..postgres.connecting import connect_parameters, reason
from .reflection import hide_schema
from .routes import PLACE, Route, TrackedConnection

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect, ExceptionContext
    from sqlalchemy.pool import ConnectionPoolEntry

#: Key of a :class:`TrackedConnection` in the ``info`` of the pool's record.
KEY = "flask_testbed"


class RedirectedDatabase(Protocol):
    """What the gate asks of a database of an application (:class:`.databases.AppDatabase`)."""

    own_urls: list[URL]
    """Its URLs as it was configured, the present one first."""

    shown: set[URL]

    @property
    def route(self) -> Route:
        """The route of its engine."""

    @property
    def configured(self) -> URL:
        """Its URL in the application's configuration."""

    @property
    def is_alive(self) -> bool:
        """Whether the application still exists."""


class Gate:
    """Listens to all engines and pools, and sends each connection where its route leads."""

    def __init__(self) -> None:
        self._routes: WeakValueDictionary[int, Route] = WeakValueDictionary()
        """The route of each engine of Flask-SQLAlchemy, by the id of the engine's dialect."""
        self._databases: WeakSet[RedirectedDatabase] = WeakSet()
        """Every database of every application, whose unmanaged engines are redirected too."""
        self._users: WeakKeyDictionary[Dialect, str] = WeakKeyDictionary()
        """The users of engines that keep their own, by the dialect of the engine."""
        self._forbidden = ""

    def __repr__(self) -> str:
        forbidden = ", forbidden" if self._forbidden else ""
        return f"<Gate of {len(self._databases)} databases, {len(self._routes)} engines{forbidden}>"

    def listen(self) -> None:
        """Begin, once for the process.

        SQLAlchemy's list of listeners must not change while an engine connects, which is when a
        test database may be created. So the listeners stay.
        """
        if not event.contains(Engine, "do_connect", self.connecting):
            event.listen(Engine, "do_connect", self.connecting)
            event.listen(Engine, "handle_error", self.failed)
            event.listen(Pool, "connect", self.connected)
            event.listen(Pool, "checkout", self.checked_out)
            event.listen(Pool, "checkin", self.checked_in)
            event.listen(Pool, "close", self.closed)

    def add_route(self, route: Route) -> None:
        """Send the connections of a route's engine where the route leads."""
        self.listen()
        # Listeners to all engines are told the dialect and not the engine. Each engine has a
        # dialect of its own, which lives as long as the engine, and so as the route.
        self._routes[id(route.engine.dialect)] = route

    def add_database(self, database: RedirectedDatabase) -> None:
        """Send the connections of unmanaged engines for a database where its route leads."""
        self._databases.add(database)

    def forbid(self, message: str) -> None:
        """Refuse every connection from now on.

        :param message: of the error.
        """
        self.listen()
        self._forbidden = message

    def allow(self) -> None:
        """Undo :meth:`forbid`."""
        self._forbidden = ""

    # The life of a connection

    def connecting(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry,
        arguments: tuple[Any, ...],
        parameters: dict[str, Any],
    ) -> Any:
        """Change the parameters of a connection, or return one to use in its place."""
        __tracebackhide__ = True
        self._check_allowed()
        route, own = self._routes.get(id(dialect)), None
        if route is None:
            route, own = self._unmanaged(dialect, parameters)
        if route is None:
            return None
        tracked = record.info[KEY] = TrackedConnection(route, is_unmanaged=own is not None)
        if route.is_redirected:
            hide_schema(dialect)
        connection = route.connect(tracked, parameters, own or route.own)
        if tracked.user is not None:
            self._users[dialect] = tracked.user.name
        return connection

    def connecting_directly(self, parameters: dict[str, Any]) -> None:
        """Change the parameters of a connection that the application makes without an engine.

        It is redirected if it leads where a test database was said to be. The application may have
        read that before the database had its name, or connect before it exists.
        """
        route, _ = self._shown_at(parameters)
        if route is not None:
            self._check_allowed()
            route.connect_directly(parameters)

    def failed(self, context: ExceptionContext) -> None:
        """Explain why a user of the application's own cannot connect to a test database."""
        __tracebackhide__ = True
        user = self._users.get(context.dialect)
        if user is None or context.connection is not None:
            return
        error = context.original_exception
        if isinstance(error, psycopg.OperationalError):
            raise SettingsError(_no_entry_message(user, reason(error))) from error

    def connected(self, connection: Any, record: ConnectionPoolEntry) -> None:
        """Check where a new connection leads, before anything is sent on it."""
        tracked = record.info.setdefault(KEY, TrackedConnection())
        tracked.connection = connection
        if tracked.mode == "rollback":
            return  # it shares a connection that was made with the redirected parameters
        if message := self._misled(tracked) or self._led_around(tracked, record):
            connection.close()
            raise SettingsError(message)
        tracked.parameters = None
        if tracked.route is not None:
            tracked.route.opened(tracked)

    def checked_out(self, connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:
        """Refuse a connection that does not fit any more; the pool answers by connecting anew."""
        __tracebackhide__ = True
        self._check_allowed()
        tracked = record.info.get(KEY)
        if tracked is None:
            # It was pooled before anything listened.
            tracked = record.info[KEY] = TrackedConnection(connection=connection)
            if self._misled(tracked):
                raise DisconnectionError("a connection to the application's own database")
        route = tracked.route
        if route is None:
            return
        if tracked.detour is not route.detour_url or tracked.given_up:
            raise DisconnectionError("a connection to another database")
        if tracked.detour is None:
            if tracked.destination is not route.destination:
                raise DisconnectionError("a connection to another database")
            if tracked.destination is not None:
                tracked.destination.checked_out(tracked)
        tracked.is_out = True

    def checked_in(self, connection: Any, record: ConnectionPoolEntry) -> None:
        """Note that a connection has come back to its pool."""
        tracked = record.info.get(KEY)
        if tracked is None or connection is None:  # it was invalidated
            return
        tracked.is_out = False
        if tracked.given_up:
            # Its pool may be forgotten, and would not close it.
            connection.close()

    def closed(self, connection: Any, record: ConnectionPoolEntry) -> None:
        """Forget a connection."""
        tracked = record.info.get(KEY)
        if tracked is not None and tracked.route is not None:
            tracked.is_out = False
            tracked.route.closed(tracked)

    # Parts

    def _check_allowed(self) -> None:
        __tracebackhide__ = True
        if self._forbidden:
            raise IsolationError(self._forbidden)

    def _unmanaged(
        self, dialect: Dialect, parameters: dict[str, Any]
    ) -> tuple[Route | None, URL | None]:
        """The route for an engine that the application made for itself, and where the engine leads.

        An engine for a database that is redirected is unmanaged if it is not Flask-SQLAlchemy's.
        """
        if dialect.name != "postgresql":
            return None, None
        # psycopg 2 and 3 say dbname, others database.
        place = {"dbname": parameters.get("database"), **parameters}
        route, url = self._shown_at(place)
        if route is None:
            route, url = self._own_at(place)
        if route is not None:
            _check_driver(dialect)
        return route, url

    def _own_at(self, place: dict[str, Any]) -> tuple[Route, URL] | tuple[None, None]:
        """The route of the database of an application that is at a place, and its URL."""
        owns = self._redirected()
        urls = [(one, url) for one in owns for url in (one.own_urls[0], one.configured)]
        # Another application may have now what this one had before.
        urls += [(one, url) for one in owns for url in one.own_urls[1:]]
        for database, url in urls:
            if is_same_place(place, connect_parameters(url)):
                return database.route, url
        return None, None

    def _shown_at(self, place: dict[str, Any]) -> tuple[Route, URL] | tuple[None, None]:
        """The route to the test database that is, or was said to be, at a place, and its URL."""
        tests = [one for one in self._redirected() if one.route.is_test]
        # Two of them may have been said to be where only one of them is.
        current = ((one.route, one.route.url) for one in tests)
        shown = ((one.route, url) for one in tests for url in list(one.shown))
        for route, url in chain(current, shown):
            if url is not None and _is_at(place, url):
                return route, url
        return None, None

    def _redirected(self) -> list[RedirectedDatabase]:
        return [one for one in list(self._databases) if one.is_alive and one.route.is_redirected]

    def _misled(self, tracked: TrackedConnection) -> str:
        """The message for a connection that leads where it was not meant to lead; else empty.

        Such a connection comes from a ``creator`` or a pool of the application's own, or from its
        own listener to ``do_connect``.
        """
        place = _place_of(tracked.connection)
        if place is None:
            return ""
        if tracked.place is not None:
            # libpq does not tell an address that it was given from one that it has looked up.
            place["hostaddr"] = (tracked.parameters or tracked.place).get("hostaddr")
            return "" if _is_same(place, tracked.place) else _misled_message(place)
        owns = [url for one in self._redirected() for url in one.own_urls]
        misled = any(is_same_place(place, connect_parameters(own)) for own in owns)
        return _misled_message(place) if misled else ""

    def _led_around(self, tracked: TrackedConnection, record: ConnectionPoolEntry) -> str:
        """The message for a connection of a redirected engine that was not made for its route.

        A ``creator`` or a pool of the application's own has made it. Where it leads, the URL of the
        engine need not say.
        """
        if tracked.route is not None:
            return ""
        pool = pool_of(record)
        routes = (one for one in list(self._routes.values()) if one.engine.pool is pool)
        url = next((one.leads_to() for one in routes if one.is_redirected), None)
        if url is None:
            return ""
        place = _place_of(tracked.connection) or {}
        meant = connect_parameters(url)
        return "" if place and is_same_place(place, meant) else _misled_message(place)


#: The gate of this process. SQLAlchemy's events are those of the whole process, too.
gate = Gate()


def _check_driver(dialect: Dialect) -> None:
    if dialect.driver != "psycopg":
        raise SettingsError(
            f"An engine for the application's own database uses the driver {dialect.driver!r};"
            " the testbed supports psycopg 3 alone. Write its URL as"
            " postgresql+psycopg://user:password@host:5432/name."
        )


def _place_of(connection: Any) -> dict[str, Any] | None:
    """Where a connection of libpq leads, or None for a connection of another kind."""
    info = getattr(connection, "info", None)
    if info is None or not hasattr(info, "dbname"):
        return None
    return {"dbname": info.dbname, "host": info.host, "port": info.port}


def _is_at(place: dict[str, Any], url: URL) -> bool:
    """Whether parameters lead to a URL, which names its database."""
    return place.get("dbname") == url.database and is_same_place(place, connect_parameters(url))


def _is_same(place: dict[str, Any], meant: dict[str, Any]) -> bool:
    """Whether a connection leads where it was meant to lead."""
    # Equal words need no look at the network.
    if all(str(place[key] or "") == str(meant[key] or "") for key in PLACE):
        return True
    return is_same_place(place, meant)


def _no_entry_message(user: str, said: str) -> str:
    return (
        f"An engine of the application connects as the user {user!r}, who is not that of its first"
        f" engine, and the server of the test database refuses: {said}. Let a template hook create"
        " that role, or give the engine a URL without a user in tests: it then connects as the user"
        " of the test database."
    )


def _misled_message(place: dict[str, Any]) -> str:
    where = "another database"
    if place:
        host = place.get("hostaddr") or place["host"]
        where = f"the database {place['dbname']!r} on {host}:{place['port']}"
    return (
        f"Refused: an engine of the application has connected to {where}, although the"
        " testbed redirects it. Something of the application's own decides where its engine"
        " connects: a 'creator' or a 'pool' in SQLALCHEMY_ENGINE_OPTIONS, or a listener to"
        " do_connect. Leave it out in tests, or let it use the parameters that it is given."
    )
