"""Locks on names, held on the server, so that they count on every machine.

A lock ends with the connection that holds it, so a process that dies holds none.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

from psycopg import errors, sql

from ..errors import DatabaseError
from .server import Server, Statement
from .session import LOCK_TIMEOUT
from .terminal import tell_terminal

#: Seconds after which a process says that it waits for a lock.
NOTICE_AFTER = 1

#: Seconds after which a process stops waiting for a lock.
WAIT_AT_MOST = LOCK_TIMEOUT

# The key of an advisory lock is split into two columns of pg_locks.
_HOLDERS = """
    SELECT a.pid, coalesce(host(a.client_addr), 'this machine'), a.usename,
        to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS')
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND (l.classid::bigint << 32 | l.objid::bigint) = %s
"""


class Locks:
    """Locks that a server's maintenance connection holds.

    :param server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.tell = tell_terminal
        """Called with a sentence when waiting takes longer than :data:`NOTICE_AFTER`."""

    def try_lock(self, name: str) -> bool:
        """Take the exclusive lock on a name, unless another connection holds it."""
        return bool(self._ask("SELECT pg_try_advisory_lock(%s)", name))

    def is_locked(self, name: str) -> bool:
        """Return whether any connection holds a lock on a name. Takes none."""
        return self._ask(_HOLDERS, name) is not None

    @contextmanager
    def locked(self, name: str, purpose: str) -> Iterator[None]:
        """Wait for the exclusive lock on a name, and hold it inside.

        :param purpose: what its holder does, for the message of who waits: "to build …".
        :raises DatabaseError: another process held it for :data:`WAIT_AT_MOST` seconds.
        """
        if not self.try_lock(name):
            self._wait_for("SELECT pg_advisory_lock(%s)", name, purpose)
        try:
            yield
        finally:
            self.unlock(name)

    def lock_shared(self, name: str, purpose: str) -> None:
        """Wait for the shared lock on a name, and take it. Parameters and errors as :meth:`locked`.

        Any role may hold the exclusive lock for as long as it likes.
        """
        if not self._ask("SELECT pg_try_advisory_lock_shared(%s)", name):
            self._wait_for("SELECT pg_advisory_lock_shared(%s)", name, purpose)

    def unlock(self, name: str) -> None:
        """Release the exclusive lock. A connection that was ended has released it already."""
        if not self._server.connection.closed:
            self._ask("SELECT pg_advisory_unlock(%s)", name)

    def unlock_shared(self, name: str) -> None:
        """Release the shared lock. A connection that was ended has released it already."""
        if not self._server.connection.closed:
            self._ask("SELECT pg_advisory_unlock_shared(%s)", name)

    def _wait_for(self, statement: LiteralString, name: str, purpose: str) -> None:
        if self._lock_within(statement, name, NOTICE_AFTER):
            return
        self.tell(f"Waiting for {self._holder(name)} {purpose} …")
        if not self._lock_within(statement, name, WAIT_AT_MOST):
            raise DatabaseError(
                f"Waited {WAIT_AT_MOST} s in vain for {self._holder(name)} {purpose}. See what"
                " that process does, or end it; nothing half-made is left."
            )

    def _lock_within(self, statement: LiteralString, name: str, seconds: float) -> bool:
        self._bound_waits(seconds)
        connection = self._server.connection
        try:
            # Not _ask(): it would report the timeout as a failure of the server.
            connection.execute(statement, [_key(name)])
        except errors.LockNotAvailable:
            return False
        finally:
            if not connection.closed:
                self._bound_waits(LOCK_TIMEOUT)
        return True

    def _bound_waits(self, seconds: float) -> None:
        bound = sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{seconds}s"))
        self._server.execute(bound)

    def _holder(self, name: str) -> str:
        """Return who holds the lock on a name, for a message."""
        row = self._server.execute(_HOLDERS, [_key(name)]).fetchone()
        if row is None:
            return "another process"
        pid, place, user, since = row
        return f"{user} from {place} (server process {pid}, since {since})"

    def _ask(self, statement: Statement, name: str) -> Any:
        """Return the first column of a statement about the lock on a name, or None."""
        row = self._server.execute(statement, [_key(name)]).fetchone()
        return row[0] if row else None


def _key(name: str) -> int:
    digest = hashlib.sha256(f"flask-testbed:{name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
