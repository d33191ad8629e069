"""Statements that wait for a lock which is never released: the test would wait for itself.

A test may leave a row updated and not committed, and make a request that updates the same row. The
request is handled in the test's own thread, so nothing can commit meanwhile. PostgreSQL sees one
session that is idle, and no deadlock. So the waiting thread looks who blocks it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import psycopg

from ..._compat import watch_waits
from ...errors import IsolationError
from ...postgres.connecting import Connection

#: Seconds after which a waiting thread looks who blocks it, and looks again.
INTERVAL = 1.0

#: Seconds that a thread waits for an idle transaction of another thread of this process. The other
#: one may be waiting for the answer, as a test does that uses the live server.
PATIENCE = 30.0

# Who blocks a session, directly or not, and for how long each has been idle. A session that waits
# for a row holds a lock on the row's place meanwhile.
_BLOCKERS = """
WITH RECURSIVE blocking (pid) AS (
    SELECT unnest(pg_blocking_pids(%(pid)s))
    UNION SELECT unnest(pg_blocking_pids(pid)) FROM blocking
)
SELECT a.pid, waiter.query, a.query,
    coalesce((
        SELECT min(relation::regclass::text) FROM pg_locks
        WHERE pid = %(pid)s AND relation IS NOT NULL AND (locktype = 'tuple' OR NOT granted)), ''),
    extract(epoch FROM clock_timestamp() - a.state_change)
FROM blocking JOIN pg_stat_activity a USING (pid), pg_stat_activity waiter
WHERE waiter.pid = %(pid)s AND a.state LIKE 'idle in transaction%%'
"""


class LockWaits:
    """Watches the connections of a test database that wait for each other.

    :param connect: returns the testbed's own connection to the database.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._threads: WeakKeyDictionary[psycopg.Connection[Any], int] = WeakKeyDictionary()
        """The watched connections, and the thread that has used each of them last."""

    def __repr__(self) -> str:
        return f"<LockWaits of {len(self._threads)} connections>"

    def watch(self, connection: psycopg.Connection[Any], thread: int) -> None:
        """Watch a connection from now on.

        :param thread: the thread that has checked it out.
        """
        if connection not in self._threads:
            watch_waits(connection, self._begins, self._waits, INTERVAL)
        self._threads[connection] = thread

    def _begins(self, connection: psycopg.Connection[Any]) -> None:
        self._threads[connection] = threading.get_ident()

    def _waits(self, connection: psycopg.Connection[Any]) -> IsolationError | None:
        """Return the error for a statement that will not end, or None for one that may."""
        thread = threading.get_ident()
        pids = {
            one.info.backend_pid: used_by
            for one, used_by in list(self._threads.items())
            if not one.closed and one is not connection
        }
        query = {"pid": connection.info.backend_pid}
        for pid, waiting, blocking, relation, idle in self._connect().execute(_BLOCKERS, query):
            if pids.get(pid) == thread:
                return _error(waiting, blocking, relation, "the same thread")
            if pid in pids and idle > PATIENCE:
                return _error(waiting, blocking, relation, "another thread")
        return None


def _error(waiting: str, blocking: str, relation: str, holder: str) -> IsolationError:
    what = f"a lock on {relation}" if relation else "a lock"
    return IsolationError(
        f"The test waits for itself: {_short(waiting)!r} waits for {what}, which an open"
        f" transaction of {holder} holds. The last statement of that was {_short(blocking)!r}."
        " Commit it or roll it back before, as with db.session.commit() before the request."
    )


def _short(query: str) -> str:
    line = " ".join(query.split())
    return line if len(line) <= 200 else f"{line[:200]}…"
