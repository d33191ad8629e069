"""The test database of one process: created at first use, reset after each test that used it."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from typing import Any, NoReturn
from weakref import WeakSet

import psycopg
from flask import Flask
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError

from ..application.databases import AppDatabase, database_of
from ..application.routes import Destination, TrackedConnection
from ..application.schema import Schema
from ..application.target import Target, target_of
from ..databases.servers import cluster_of
from ..errors import IsolationError, ServerError, TestbedError, TestbedWarning
from ..isolation.commit.leaks import Change, Leak
from ..isolation.mode import Isolation
from .database import ProcessDatabase
from .names import Keeping, name_of
from .shelf import Shelf

#: Seconds for which a thread waits for another one to create the database.
WAIT_AT_MOST = 600


class Sandbox(Destination):
    """The test database of one process, and how what is done in it is undone.

    Constructing it connects to nothing.

    :param app_database: the database of the application whose schema it has.
    :param target: where it is, and its name.
    :param worker: name of the worker of pytest-xdist (``gw0``), empty in a run of one process.
    :param keeping: what outlives the process.
    :param shelf: the sandboxes from which an idle database is taken over.
    :param failed: called with the error if the database cannot be created for a connection.
    """

    def __init__(
        self,
        app_database: AppDatabase,
        target: Target,
        worker: str = "",
        keeping: Keeping | None = None,
        *,
        shelf: Shelf | None = None,
        failed: Callable[[TestbedError], NoReturn] | None = None,
    ) -> None:
        self.app_database = app_database
        self.target = target
        self.isolation = Isolation()
        """How what is done from now on is undone."""
        self.used = False
        """Whether something may have been committed since the last reset."""
        self.leaks: Sequence[Leak | Change] = ()
        """What was not as at the start when the sandbox was closed."""
        self.shared: Sequence[str] = ()
        """What the server has since then, and no reset undoes: roles, for example."""
        # An AppDatabase refers to its application weakly, and this one is needed to build a schema.
        self._app = app_database.app
        self._worker = worker
        self._keeping = keeping or Keeping()
        self._shelf = shelf or Shelf()
        self._failed = failed
        self._redirected: WeakSet[AppDatabase] = WeakSet()
        self._database: ProcessDatabase | None = None
        self._sequences_moved = False
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._shelf.add(self)

    @classmethod
    def of(cls, app: Flask, worker: str = "", keeping: Keeping | None = None) -> Sandbox:
        """Create a sandbox for an application's default database, and redirect its engines."""
        app_database = database_of(app)
        made = cls(app_database, target_of(app_database), worker, keeping)
        made.redirect(app_database)
        return made

    def __repr__(self) -> str:
        state = "not created" if self._database is None else "used" if self.used else "as created"
        return f"<Sandbox {self.name or self.target.name!r}, {state}, {self.isolation.mode} mode>"

    @property
    def name(self) -> str | None:
        """Name of the test database, or None before it has been created."""
        return self._database.name if self._database is not None else None

    @property
    def database(self) -> ProcessDatabase:
        """The test database, which is created if need be.

        :raises TestbedError: it cannot or must not be created.
        """
        if not self._lock.acquire(timeout=WAIT_AT_MOST):
            raise IsolationError(
                f"Waited {WAIT_AT_MOST} s in vain for the test database, which another thread"
                " creates. If a migration or a template hook has started this thread and waits for"
                " it, let it do that work in its own thread."
            )
        try:
            if self._database is None:
                self._open()
            assert self._database is not None
            return self._database
        finally:
            self._lock.release()

    def _open(self) -> None:
        self._database = self._shelf.take(self.target, self.app_database) or ProcessDatabase(
            self.app_database, self.target, self._worker, self._keeping
        )
        for app_database in [one for one in self._redirected if one.is_alive]:
            app_database.show(self._database.url)

    def redirect(self, app_database: AppDatabase) -> None:
        """Redirect an application's engines here. The database is created when one connects."""
        app_database.redirect(self, to_test=True)
        self._redirected.add(app_database)
        # The engine and the configuration must not show the application's own database.
        name = self.name or name_of(self.target.name, self._worker)
        app_database.show(cluster_of(self.target).url.set(database=name))

    # As a destination of routes

    @property
    def current_url(self) -> URL | None:
        """URL of the test database, or None before it has been created."""
        return self._database.url if self._database is not None else None

    def url(self) -> URL:
        """URL of the test database, which is created if need be.

        :raises TestbedError: it cannot or must not be created.
        """
        try:
            return self.database.url
        except TestbedError as error:
            if self._failed is not None:
                self._failed(error)
            raise

    def connecting(self, tracked: TrackedConnection, parameters: dict[str, Any]) -> Any:
        """Watch a connection; in rollback mode, return one that shares the test's transaction."""
        database = self.database
        tracked.mode = self.isolation.mode
        database.connections.add(tracked)
        if tracked.mode == "rollback":
            return database.rollback.connect(parameters)
        return None

    def connected_directly(self) -> None:
        """Note that the test may write on a connection of its own, which no transaction undoes."""
        self.used = True

    def checked_out(self, tracked: TrackedConnection) -> None:
        """Note that the test has a connection, whichever pool has given it.

        :raises DisconnectionError: the connection is one of the other mode, or of a database that
            this sandbox has given away.
        """
        if self._database is None or tracked.mode != self.isolation.mode:
            raise DisconnectionError("a connection of the other mode")
        self._database.connections.check_out(tracked)
        commits = tracked.mode == "commit"
        if self._sequences_moved and (commits or self.isolation.reset_sequences):
            self._reset_sequences()
        if commits:
            self.used = True
            self._database.background.note_thread()

    # The end of a test

    def begin(self, isolation: Isolation) -> None:
        """Undo what is done from now on in another way."""
        self.isolation = isolation

    def reset(self) -> None:
        """Undo what has been done to the database since the last reset.

        Warns with :class:`TestbedWarning` of transactions that had to be ended.

        :raises IsolationError: it cannot be undone.
        """
        with self._lock:
            if self._database is None or self._pid != os.getpid():
                return
            with ExitStack() as last:
                last.callback(self._reset_rows)
                last.callback(self._roll_back)

    def _roll_back(self) -> None:
        if self.isolation.mode == "commit" and not self.database.rollback.begun:
            return
        if self.database.roll_back(self.isolation.test):
            self._sequences_moved = True
            if self.isolation.reset_sequences:
                self._reset_sequences()

    def _reset_sequences(self) -> None:
        self.database.reset_sequences()
        self._sequences_moved = False

    def _reset_rows(self) -> None:
        if not self.used or self._database is None:
            return
        ended = self._database.restore()
        writer = self._database.find_writer()
        if writer is not None:
            ended += self._database.restore()
        self._note_reset()
        for session in ended:
            _warn(
                f"A transaction was left open, and has been ended: {session}. Close what the"
                " test opens, and join its threads."
            )
        if writer is not None:
            self.used = True
            _warn(
                f"{self.isolation.test or 'A test'} has ended, and something that it started goes"
                f" on writing to the database: {writer}. Later tests see these rows. Join the"
                " test's threads, and end its processes."
            )

    def _note_reset(self) -> None:
        # On a connection that outlives its test, the next test may write without checking it out.
        self.used = self.database.connections.in_use

    # Layers

    def keep_layer(self, owner: object, name: str) -> None:
        """Make what was written since the last reset a layer, for later tests.

        :param owner: whose layer it is, until :meth:`drop_layers`.
        :param name: name of the owner, as a sentence begins with it.
        :raises IsolationError: it cannot be kept; it is undone.
        """
        with self._lock:
            if self.used and self._database is not None and self._pid == os.getpid():
                self._database.layers.push(owner, name)
                self._note_reset()

    def drop_layers(self, owner: object) -> None:
        """Drop an owner's layers. Everything else is restored as the other layers say."""
        with self._lock:
            if self.has_layer(owner) and self._pid == os.getpid():
                with ExitStack() as last:
                    last.callback(self.database.layers.pop, owner)
                    self._reset_rows()

    def has_layer(self, owner: object) -> bool:
        """Whether an owner has written what later tests see."""
        return self._database is not None and self._database.layers.owns(owner)

    # Copies, and the end of the process

    def copy(self) -> URL | None:
        """Create a database with the rows that there are now, committed or not. It stays.

        :returns: its URL; None if nothing was done in the test.
        :raises TestbedError: it cannot be created.
        """
        with self._lock, ExitStack() as stack:
            if self._database is None or self._pid != os.getpid():
                return None
            if self._database.rollback.begun:
                source = stack.enter_context(self._database.rollback.looked_into())
            elif self.used:
                cluster, name = self._database.cluster, self._database.name
                source = stack.enter_context(closing(cluster.connect(name)))
            else:
                return None
            return self._database.keep_copy(source, self.isolation.test)

    def close(self) -> URL | None:
        """Drop the database, unless it is to be kept, and close its connections.

        :returns: URL of a database that is kept.
        """
        with self._lock:
            if self._pid != os.getpid():
                return None  # a forked process has ended: the database is its parent's
            self._look_for_leaks()
            database, self._database = self._database, None
            return database.close() if database is not None else None

    def _look_for_leaks(self) -> None:
        # A server that cannot be reached is reported when the database is dropped.
        with suppress(ServerError, psycopg.Error):
            if self._database is not None:
                self.leaks = self._database.find_leaks()
                self.shared = self._database.find_shared()

    # For other sandboxes

    @property
    def is_idle(self) -> bool:
        """Whether there is a database that is as its template, and that no test is using."""
        if self._database is None or self.used or self._database.layers:
            return False
        return not self._database.rollback.begun

    def give_away(self, schema: Schema) -> ProcessDatabase | None:
        """Give away the database, which must be idle, if it has a schema; else return None.

        The connections to it are closed. At the next connection this sandbox takes another one.
        """
        with self._lock:
            if not self.is_idle or self.database.schema != schema:
                return None
            database, self._database = self.database, None
            database.disconnect()
            return database


def _warn(message: str) -> None:
    warnings.warn(message, TestbedWarning, stacklevel=3)
