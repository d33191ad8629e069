"""A database for the tests of one process: made at first use, put back after each test."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool

from ..application.databases import AppDatabase
from ..application.schema import find_schema
from ..application.target import Target
from ..application.unmanaged import Strays
from ..databases.servers import cluster_of
from ..errors import ServerError, TestbedWarning
from ..isolation.commit.leaks import Leak
from ..isolation.commit.reset import persist, put_sequences_back
from ..isolation.commit.session_state import SessionChanges
from ..isolation.mode import Mode
from ..isolation.rollback.connection import Rollback, SharedConnection
from .database import RunDatabase
from .names import Keeping

#: Seconds that another process waits for a lock of a test in rollback mode.
OTHERS_PATIENCE = 10


@dataclass
class Sandbox:
    """The test database of one process.

    Constructing it connects to nothing.

    :param app_database: the database of the application whose schema it has.
    :param target: where it is, and its name.
    :param worker: of pytest-xdist (``gw0``), empty in a run of one process.
    :param keeping: what outlives the process.
    :param siblings: gives the other sandboxes of the process. One that is done with a database of
        the same schema gives it away: an application that each test makes anew needs no clone.
    """

    app_database: AppDatabase
    target: Target
    worker: str = ""
    keeping: Keeping = field(default_factory=Keeping)
    siblings: Callable[[], Iterable[Sandbox]] = tuple

    used: bool = field(default=False, init=False)
    """Whether it may not be as it was."""

    mode: Mode = field(default="commit", init=False)
    """How what is done from now on is undone."""

    reset_sequences: bool = field(default=False, init=False)
    """In rollback mode: whether sequences are put back too."""

    test: str = field(default="", init=False)
    """Which test runs now, for messages."""

    leaks: Sequence[Leak] = field(default=(), init=False)
    """What was not as at the start when the sandbox was closed."""

    _database: RunDatabase | None = field(default=None, init=False, repr=False)
    _moved: bool = field(default=False, init=False, repr=False)
    _rollback: Rollback | None = field(default=None, init=False, repr=False)
    _changes: SessionChanges = field(default_factory=SessionChanges, init=False, repr=False)
    _strays: Strays = field(default_factory=Strays, init=False, repr=False)
    _out: WeakSet[psycopg.Connection[Any]] = field(default_factory=WeakSet, init=False, repr=False)
    _given_up: WeakSet[psycopg.Connection[Any]] = field(
        default_factory=WeakSet, init=False, repr=False
    )
    _pid: int = field(default_factory=os.getpid, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    @property
    def name(self) -> str | None:
        """Of the database, once it is there."""
        return self._database.name if self._database is not None else None

    @property
    def database(self) -> RunDatabase:
        """The database. Makes it, if it is not there yet.

        :raises TestbedError: it cannot or must not be made.
        """
        with self._lock:
            if self._database is None:
                self._open()
            assert self._database is not None
            return self._database

    def redirect(self, app_database: AppDatabase) -> None:
        """Send an application's engines here. The database is made when one first connects."""
        self._watch()
        for route in app_database.routes.values():
            route.to_test = self.url
            route.share = self._share
            # What is in the pool leads to the application's own database.
            route.engine.dispose()
        self._strays.databases.add(app_database)
        name = self.name or self.target.name
        self._show(app_database, cluster_of(self.target).url.set(database=name))

    def _show(self, app_database: AppDatabase, url: URL) -> None:
        """Let nobody who looks at the engine or the configuration find the application's own."""
        for route in app_database.routes.values():
            route.engine.url = url
        app_database.configure(url)

    def url(self) -> URL:
        """Where the database is. Makes it, if it is not there yet.

        :raises TestbedError: it cannot or must not be made.
        """
        return self.database.url

    def _share(self, parameters: dict[str, Any]) -> SharedConnection | None:
        """In rollback mode, give the test's one connection to whoever connects."""
        if self.mode == "commit":
            self._changes.watch(parameters)
            return None
        if self._rollback is None:
            self._rollback = Rollback(self._bound_waits)
        return self._rollback.connect(parameters)

    def _bound_waits(self) -> None:
        """Let no other process wait for ever for what a test has locked.

        The test may itself be waiting for that process.
        """
        self.database.bound_waits(OTHERS_PATIENCE)

    def put_back(self) -> None:
        """Undo what has been done to the database since it was made.

        Warns with :class:`TestbedWarning` of transactions that had to be ended.

        :raises IsolationError: it cannot be undone.
        """
        with self._lock:
            if self._pid != os.getpid():
                return
            with ExitStack() as last:
                last.callback(self._put_rows_back)
                last.callback(self._roll_back)

    def _roll_back(self) -> None:
        end = self._rollback.outer.roll_back_all() if self._rollback is not None else None
        if end is None:
            return
        self.database.horizons.add(end, self.test)
        self._moved = True
        if self.reset_sequences:
            self._put_sequences_back()

    def _put_sequences_back(self) -> None:
        persist(self.database.connection, put_sequences_back)
        self._moved = False

    def _put_rows_back(self) -> None:
        if not self.used or self._database is None:
            return
        self._changes.close(self._out)
        ended = self._database.put_back()
        self._note_clean()
        for session in ended:
            warnings.warn(
                f"A transaction was left open, and has been ended: {session}. Close what the"
                " test opens, and join its threads.",
                TestbedWarning,
                stacklevel=2,
            )

    def _note_clean(self) -> None:
        # A connection that outlives the test may write in the next without being asked for.
        self.used = any(not connection.closed for connection in self._out)

    # Layers

    def keep(self, owner: object, name: str) -> None:
        """Make what was written since the database was put back a layer, for later tests.

        :param owner: whose it is, until :meth:`forget`.
        :param name: of the owner, as a sentence begins with it.
        :raises IsolationError: it cannot be kept; it is undone.
        """
        with self._lock:
            if self.used and self._database is not None and self._pid == os.getpid():
                self._database.layers.push(owner, name)
                self._note_clean()

    def forget(self, owner: object) -> None:
        """Take an owner's layers away. Everything else is put back as other layers say."""
        with self._lock:
            if self.has_layer(owner) and self._pid == os.getpid():
                self._put_rows_back()
                self.database.layers.pop(owner)

    def has_layer(self, owner: object) -> bool:
        """Whether an owner has written what later tests see."""
        return self._database is not None and self._database.layers.owns(owner)

    def copy(self) -> URL | None:
        """Make a database of what there is now, committed or not. It stays when the run ends.

        :returns: its URL; ``None`` if nothing was done in the test.
        :raises TestbedError: it cannot be made.
        """
        with self._lock, ExitStack() as stack:
            if self._database is None or self._pid != os.getpid():
                return None
            if self._rollback is not None and self._rollback.outer.begun:
                source = stack.enter_context(self._rollback.outer.looked_into())
            elif self.used:
                cluster, name = self._database.cluster, self._database.name
                source = stack.enter_context(closing(cluster.connect(name)))
            else:
                return None
            return self._database.keep_copy(source, self.test)

    def close(self) -> URL | None:
        """Drop the database, unless it is to be kept, and give everything back.

        :returns: the URL of a database that is kept.
        """
        with self._lock:
            if self._pid != os.getpid():
                return None  # a fork has come to its end: the database is its parent's
            self._look_for_leaks()
            self._unwatch()
            self._disconnect()
            database, self._database = self._database, None
            return database.close() if database is not None else None

    def _look_for_leaks(self) -> None:
        # Without a server there is nothing to find, and others say so.
        with suppress(ServerError, psycopg.Error):
            if self._database is not None:
                self.leaks = self._database.find_leaks()

    def _disconnect(self) -> None:
        """Give back all connections: those that are out, when they come in."""
        self._given_up.update(self._out)
        for app_database in list(self._strays.databases):
            app_database.dispose()
        if self._rollback is not None:
            self._rollback.close()

    # Watching

    def _watch(self) -> None:
        self._strays.listen()
        if not event.contains(Pool, "checkout", self._checkout):
            event.listen(Pool, "checkout", self._checkout)
            event.listen(Pool, "checkin", self._checkin)

    def _unwatch(self) -> None:
        self._strays.ignore()
        if event.contains(Pool, "checkout", self._checkout):
            event.remove(Pool, "checkout", self._checkout)
            event.remove(Pool, "checkin", self._checkin)

    def _checkout(self, connection: Any, record: Any, proxy: Any) -> None:
        """Note that a test has a connection to the database, whichever pool has given it."""
        if not isinstance(connection, psycopg.Connection):
            return
        if self._changes.was_closed(connection):
            # The pool answers this by connecting anew.
            raise DisconnectionError("a connection that the last test has changed")
        if connection.closed or connection.info.dbname != self.name:
            return
        if isinstance(connection, SharedConnection) != (self.mode == "rollback"):
            raise DisconnectionError("a connection of the other mode")
        if self._moved and (self.mode == "commit" or self.reset_sequences):
            # A test before has left the sequences where it had moved them.
            self._put_sequences_back()
        if self.mode == "commit":
            self.used = True
            self._out.add(connection)
            self._changes.taken(connection)

    def _checkin(self, connection: Any, record: Any) -> None:
        # It is None after invalidate(), and a bind may be of another database's driver.
        if isinstance(connection, psycopg.Connection):
            self._out.discard(connection)
            if connection in self._given_up:
                # Its pool is nobody's any more, and would not close it.
                connection.close()

    # Making

    def _open(self) -> None:
        self._watch()
        self._database = self._inherited() or RunDatabase(
            self.app_database, self.target, self.worker, self.keeping
        )
        self._database.disconnect = self._disconnect
        for app_database in [one for one in self._strays.databases if one.is_alive]:
            self._show(app_database, self._database.url)

    def _inherited(self) -> RunDatabase | None:
        """The database of a sibling that is done with it, if it has the same schema."""
        idle = [one for one in self.siblings() if one.target == self.target and one._is_idle]
        schema = find_schema(self.app_database) if idle else None
        for one in idle:
            if one._database is not None and one._database.schema == schema:
                one._disconnect()
                one._unwatch()
                database, one._database = one._database, None
                return database
        return None

    @property
    def _is_idle(self) -> bool:
        if self._database is None or self.used or self._database.layers:
            return False
        return self._rollback is None or not self._rollback.outer.begun
