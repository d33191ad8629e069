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
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DisconnectionError

from ..embedded.parameters import ignore_environment
from ..errors import SettingsError
from ..postgres.connecting import connect_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    What the application passes in ``connect_args`` stays, unless it says where the server is; what
    its URL said goes.
    """
    for key in (*connect_parameters(own), "hostaddr", "host", "port", "service"):
        parameters.pop(key, None)
    parameters.update(connect_parameters(url))
    ignore_environment(parameters)


def _share_nothing(parameters: dict[str, Any]) -> None:
    """Leave it to the dialect to connect."""
