"""The connections that are open on one test database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakSet

from sqlalchemy.exc import DisconnectionError

from ..application.routes import TrackedConnection
from ..isolation.commit.lock_waits import LockWaits
from ..isolation.commit.session_state import session_changes
from ..postgres.connecting import Connection


class Connections:
    """The connections that engines have made to one test database.

    They belong to the pools of the engines, and are referred to weakly.

    :param connect: returns the testbed's own connection to the database.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._waits = LockWaits(connect)
        self._tracked: WeakSet[TrackedConnection] = WeakSet()

    def __repr__(self) -> str:
        out = sum(tracked.is_out for tracked in self._tracked)
        return f"<Connections: {len(self._tracked)}, of which {out} are checked out>"

    def add(self, tracked: TrackedConnection) -> None:
        """Add a connection that is about to be made."""
        self._tracked.add(tracked)

    def check_out(self, tracked: TrackedConnection) -> None:
        """Note that a connection leaves its pool.

        :raises DisconnectionError: it leads to another database, or to this one no more.
        """
        if tracked not in self._tracked:
            raise DisconnectionError("a connection to another database")
        if not tracked.was_out:
            # What was set while it was made, belongs to it.
            tracked.was_out = True
            session_changes.watch(tracked.connection)
        tracked.thread = threading.get_ident()
        if tracked.mode == "commit" and len(self._tracked) > 1:
            self._watch_waits(tracked)

    def _watch_waits(self, tracked: TrackedConnection) -> None:
        """Watch a connection that leaves its pool if it may wait for another one."""
        others = [one for one in self._tracked if one.is_out and one.mode == "commit"]
        for one in (tracked, *others) if others else ():
            self._waits.watch(one.connection, one.thread)

    @property
    def pids(self) -> list[int]:
        """Process identifiers of the sessions that are open, if their driver tells."""
        connections = [tracked.connection for tracked in self._tracked]
        return [
            connection.info.backend_pid
            for connection in connections
            if hasattr(connection, "info") and not getattr(connection, "closed", True)
        ]

    @property
    def in_use(self) -> bool:
        """Whether a connection is checked out, on which something may be written at any time."""
        return any(
            tracked.is_out and tracked.mode == "commit" and not tracked.connection.closed
            for tracked in self._tracked
        )

    def close_changed(self) -> None:
        """Close the idle connections whose session was changed: settings, locks, tables.

        The pool makes another connection when it is asked for one.
        """
        for tracked in list(self._tracked):
            idle = tracked.was_out and not tracked.is_out
            if idle and session_changes.is_changed(tracked.connection):
                self._give_up(tracked)

    def release(self) -> None:
        """Close all idle connections, and the others as soon as they come back to their pools."""
        for tracked in list(self._tracked):
            self._give_up(tracked)
        self._tracked.clear()

    def _give_up(self, tracked: TrackedConnection) -> None:
        tracked.given_up = True
        if not tracked.is_out:
            self._tracked.discard(tracked)
            if tracked.connection is not None:
                tracked.connection.close()
