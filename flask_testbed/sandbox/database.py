"""The test database of one process, from its creation to its end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy.engine import URL

from ..application.databases import AppDatabase
from ..application.guards import check_target
from ..application.schema import Schema, find_schema
from ..application.target import Target
from ..databases.servers import cluster_of
from ..databases.template import Template
from ..isolation.commit.layers import Layers
from ..isolation.commit.leaks import Change, Horizons, Leak, find_leaks, find_shared
from ..isolation.commit.reset import (
    NeedsClone,
    accept_changes,
    bound_waits,
    persist,
    prepare,
    reset,
    reset_sequences,
)
from ..isolation.commit.row_copy import AnyConnection, copy_rows
from ..isolation.rollback.connection import Rollback
from ..postgres.connecting import Connection, address
from ..postgres.in_use import end_pooled_sessions
from ..postgres.labels import Kind, Label
from .background import Background
from .connections import Connections
from .names import Claims, Keeping

logger = logging.getLogger(__name__)

#: Seconds that another process waits for a lock that a test in rollback mode holds.
OTHERS_PATIENCE = 10


class ProcessDatabase:
    """A clone of a template, under a name that no other process uses as long as it exists.

    Constructing it creates the database.

    :param app_database: the database of the application whose schema it has.
    :param target: the server, and the name that its name begins with.
    :param worker: name of the worker of pytest-xdist, empty in a run of one process.
    :param keeping: whether it outlives the process.
    :raises TestbedError: it cannot or must not be created; nothing is left of it.
    """

    def __init__(
        self, app_database: AppDatabase, target: Target, worker: str, keeping: Keeping
    ) -> None:
        check_target(target)
        self.target = target
        self.keeping = keeping
        self.cluster = cluster_of(target)
        self.connections = Connections(self.connection)
        """The connections of the application's engines in commit mode and in rollback mode."""
        self.background = Background()
        self.rollback = Rollback(self._bound_waits)
        """The test transaction of rollback mode."""
        self.layers = Layers(self)
        self.horizons = Horizons()
        self._claims = Claims(self.cluster, target, worker, keeping)
        # Released in reverse order: the template, then the server.
        self._held = ExitStack()
        self._held.callback(self.cluster.close)
        self._resetter: Connection | None = None
        self._sessions: list[int] = []
        self._bounded = False
        try:
            self._open(app_database)
        except BaseException:
            with ExitStack() as last:
                last.callback(self._held.close)
                self.disconnect()
            raise

    def _open(self, app_database: AppDatabase) -> None:
        self._claims.check()
        self._claims.drop_leftovers()
        self.schema: Schema = find_schema(app_database)
        self._template = Template(self.cluster, self.schema)
        self._template.hold()
        # Not held(): a generator is closed when it is collected, also in a process that was forked.
        self._held.callback(self._template.release)
        self.name, is_there = self._claims.take(self._template.fingerprint)
        if is_there:
            try:
                self.layers.forget()
                self._reset([])
            except NeedsClone:
                self.replace(None)
            self.cluster.set_label(self.name, self._own_label())
            # A command may have created it, which has not compared its settings.
            persist(self.connection, accept_changes)
        else:
            self._clone(self._template.name)
        self._shared = persist(self.connection, find_shared)

    def __repr__(self) -> str:
        return f"<ProcessDatabase {self.name!r} on {address(self.cluster.url)}>"

    @property
    def url(self) -> URL:
        """URL of the database."""
        return self.cluster.url.set(database=self.name)

    # Resets

    def connection(self) -> Connection:
        """Connection for resets, in autocommit mode; a new one if the last one is of no use.

        It is in a transaction if a signal has interrupted the last reset.
        """
        if self._resetter is not None and (
            self._resetter.closed
            or self._resetter.pgconn.transaction_status != TransactionStatus.IDLE
        ):
            self._resetter.close()
            self._resetter = None
        if self._resetter is None:
            self._resetter = persist(lambda: self.cluster.connect(self.name), prepare)
        return self._resetter

    def reset(self) -> list[str]:
        """Restore what the layers say; returns and raises as :func:`.commit.reset.reset`."""
        ended: list[str] = []
        self._reset(ended)
        return ended

    def restore(self) -> list[str]:
        """Reset the database, or replace it by a new clone where only that is as it was.

        :returns: the transactions that had to be ended, in words.
        :raises IsolationError: neither can be done.
        """
        self.connections.close_changed()
        ended: list[str] = []
        try:
            self._reset(ended)
        except NeedsClone as reason:
            self._sessions = []
            logger.debug("%r is replaced by a clone: %s", self, reason)
            self.layers.replace()
        return ended

    def _reset(self, ended: list[str]) -> None:
        self._sessions = persist(self.connection, lambda connection: reset(connection, ended))

    def find_writer(self) -> str | None:
        """Return what goes on writing although the database has been reset, or None."""
        background = self.background
        suspects = background.find_suspects(self._sessions, self.connections)
        if suspects is None:
            return None
        with suppress(psycopg.Error):  # for example a lock, which the next reset will meet
            return persist(
                self.connection, lambda connection: background.find_writer(connection, suspects)
            )
        return None

    def reset_sequences(self) -> None:
        """Reset the sequences, which a rollback does not."""
        persist(self.connection, reset_sequences)

    def roll_back(self, test: str) -> bool:
        """Roll the test transaction of rollback mode back.

        :param test: name of the test.
        :returns: whether anything was done in it.
        """
        end = self.rollback.roll_back_all()
        # An attribute of the driver's connection may be all that was changed.
        self.connections.close_changed()
        if end is None:
            return False
        self.horizons.add(end, test)
        return True

    def _bound_waits(self) -> None:
        """Bound how long other processes wait for a lock that a test in rollback mode holds.

        The test may itself be waiting for such a process.
        """
        self._bounded = bound_waits(self.connection(), OTHERS_PATIENCE)

    def find_leaks(self) -> Sequence[Leak | Change]:
        """What is in the database that a reset should have removed, or is missing."""
        return find_leaks(self.connection(), self.horizons)

    def find_shared(self) -> Sequence[str]:
        """What the server has since the database was created, and other databases share."""
        return sorted(what for what, _ in persist(self.connection, find_shared) - self._shared)

    # Copies and clones

    def copy(self) -> str:
        """Create a copy of the database as it is now, to be cloned, and return its name.

        It has a name of this run, so that it is dropped even if the run is killed.

        :raises DatabaseError: a connection to the database is open.
        """
        self.disconnect()
        end_pooled_sessions(self.cluster, self.name)
        name = self._claims.take_another()
        self.cluster.clone(self.name, name, self._label(Kind.RUN))
        return name

    def drop_copy(self, name: str) -> None:
        """Drop a database that :meth:`copy` has created."""
        self.cluster.drop(name)
        self.cluster.locks.unlock(name)

    def replace(self, template: str | None) -> None:
        """Replace the database by a clone.

        :param template: name of the database to clone; None for the template of the schema.
        """
        self.disconnect()
        self.cluster.drop(self.name)
        self._clone(template or self._template.name)

    def keep_copy(self, source: AnyConnection, title: str) -> URL:
        """Create a database with the rows that a connection sees. It is kept when the run ends.

        :param title: name of the test whose database it shows.
        :raises TestbedError: it cannot be created.
        """
        name = self._claims.take_another()
        with self.cluster.creating(
            name, self._label(Kind.LEFT, title=title), self._template.name
        ) as unfinished:
            with closing(self.cluster.connect(unfinished)) as target:
                copy_rows(source, target)
            end_pooled_sessions(self.cluster, unfinished)
        return self.cluster.url.set(database=name)

    def _clone(self, template: str) -> None:
        self.cluster.clone(template, self.name, self._own_label())
        persist(self.connection, accept_changes)

    def _own_label(self) -> Label:
        return self._label(Kind.KEPT if self.keeping.reuse else Kind.RUN)

    def _label(self, kind: Kind, *, title: str = "") -> Label:
        return Label.create(kind, self._template.fingerprint, title=title)

    def disconnect(self) -> None:
        """Close all connections to the database, those that are out when they are checked in."""
        if self._resetter is not None:
            self._resetter.close()
        self.connections.release()
        self.rollback.close()

    # The end

    def close(self) -> URL | None:
        """Drop the database, unless it is to be kept, and close all connections.

        :returns: the URL of the database if it is kept.
        """
        with ExitStack() as last:
            last.callback(self._held.close)
            if self._bounded:
                bound_waits(self.connection(), None)
            self.disconnect()
            self.layers.close()
            return self._leave()

    def _leave(self) -> URL | None:
        if self.keeping.reuse:
            return self.url
        if self.keeping.keep:
            self.cluster.set_label(self.name, self._label(Kind.LEFT))
            return self.url
        self.cluster.drop(self.name)
        return None
